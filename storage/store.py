"""The store as the pipeline sees it: begin a run, put points, tracklets and links, finish."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextvars import copy_context
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine, delete, insert, select, update

from reid.errors import StoreError
from storage import rows, runs, scrub
from storage.allocator import StoreAllocator, next_revision
from storage.engine import (
    check_file,
    check_version,
    connect,
    migrate,
    parse_url,
    show_url,
    sqlite_path,
    store_errors,
)
from storage.media import media_folder, write_file
from storage.models import ExemplarCrop, Model, Run
from storage.process import this_process
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.redact import redact
from storage.settings import StoreSettings
from storage.statements import Statements
from storage.writer import Rows, Task, Writer
from trackers.records import LinkDecision, Tracklet, TrackPoint

log = logging.getLogger(__name__)

T = TypeVar("T")

STATUSES = ("finished", "failed", "interrupted")

_KINDS = ("track", "identity")
_PICTURE_WEIGHT = 20  # rows that are written in the time of one picture


class Store:
    """Everything that is written, by one thread in short transactions. Safe to share by threads.

    Rows are committed within `commit_interval`; a caller waits only while the queue is full.
    When a write fails, every later call raises the `StoreError`; what was committed stays.

    Use it in a `with` block or call `close`.
    """

    def __init__(
        self, engine: Engine, shown: str, media: Path, settings: StoreSettings, patience: float
    ) -> None:
        """Not for callers: see `open`."""
        self.url = shown
        self.media = media
        self._engine = engine
        self._sql = Statements(engine.dialect.name)
        self._lock = threading.Lock()
        self._tracks: dict[int, tuple[int, str]] = {}
        self._models: dict[str, tuple[int, int]] = {}
        self._runs: set[int] = set()
        self._writer = Writer(
            engine,
            shown,
            settings.commit_interval,
            settings.commit_rows,
            self._heartbeat,
            patience,
        )
        self._allocators = {kind: StoreAllocator(self._writer, kind) for kind in _KINDS}

    @classmethod
    def open(
        cls,
        url: str,
        media: Path | None = None,
        settings: StoreSettings | None = None,
        *,
        create: bool = True,
        patience: float = 0.0,
    ) -> Store:
        """Open a store for writing; makes it or brings it up to date where needed.

        Args:
            url: `sqlite:///FILE.db` or `postgresql://USER:PASSWORD@HOST/DATABASE`.
            media: folder of the pictures; by default beside a SQLite file.
            settings: how often to commit; its url and media are not read.
            create: if False, refuse what is not yet a store of this version: for commands about
                what is in it, where a mistyped name must not make a new one.
            patience: seconds that a lock of another process is waited for beyond the usual 20:
                for a run, whom no one waits for and whom a long VACUUM must not end.

        Raises:
            StoreError: naming what is wrong; a store of a newer version is left untouched.
        """
        parsed = parse_url(url)
        shown = show_url(parsed)
        folder = media_folder(parsed, media)
        path = sqlite_path(parsed)
        if path is not None:
            check_file(path, shown, must_exist=not create)
        if path is None or (path.exists() and path.stat().st_size):
            check_version(parsed, current=not create)
        engine = connect(parsed)
        try:
            migrate(engine, shown)
            with store_errors(shown, "cannot make the media folder of"):
                folder.mkdir(parents=True, exist_ok=True)
            store = cls(engine, shown, folder, settings or StoreSettings(), patience)
        except BaseException:
            engine.dispose()
            raise
        if (folder / "erasing").is_dir():
            store._go_on_erasing()
        return store

    @classmethod
    def from_settings(cls, settings: StoreSettings) -> Store:
        """`open` with everything as configured."""
        return cls.open(settings.url, settings.media, settings)

    def begin_run(
        self, config: Mapping[str, Any], cameras: Sequence[CameraRow], rerun_of: int | None = None
    ) -> int:
        """Start a run over some cameras; returns its id.

        Passwords are taken out of the configuration and the cameras' URLs. Runs that a dead
        process left `running` become `interrupted`.

        Args:
            config: anything that JSON can hold (paths become text).
            cameras: those of this run; known ids get their new place and URL.
            rerun_of: the run whose recordings this one plays again, if any.

        Raises:
            StoreError: if the configuration holds NaN, or the store cannot be written.
        """
        now = time.time()
        run_row = {
            "started": now,
            "status": "running",
            "config": rows.json_value(config, "configuration"),
            "version": runs.software_version(),
            "process": this_process(),
            "heartbeat": now,
            "rerun_of": rerun_of,
        }
        for camera in cameras:
            rows.check_numbers([camera.x, camera.y], f"camera {camera.id}, map coordinates")
        camera_rows = [
            {"id": c.id, "place": c.place, "x": c.x, "y": c.y, "url": redact(c.url)}
            for c in cameras
        ]

        def begin(connection: Connection) -> int:
            runs.interrupt_dead(connection, now)
            run = connection.execute(insert(Run).values(run_row).returning(Run.id)).scalar_one()
            if camera_rows:
                connection.execute(self._sql.camera.clause, camera_rows)
                connection.execute(
                    self._sql.run_camera.clause,
                    [runs.camera_state(run, c.id, "waiting") for c in cameras],
                )
            return int(run)

        run = self._writer.call(begin)
        with self._lock:
            self._runs.add(run)
        return run

    def camera_state(
        self,
        run: int,
        camera: str,
        state: str,
        error: str | None = None,
        frames: int = 0,
        dropped: int = 0,
        first: float | None = None,
        last: float | None = None,
    ) -> None:
        """Replace what the run says about a camera.

        Args:
            run: from `begin_run`.
            camera: its id.
            state: one word for people, at most 32 characters: waiting, running, ended, failed.
            error: why it failed; passwords are taken out.
            frames: frames processed so far.
            dropped: frames dropped so far.
            first: capture time of the first frame, UTC seconds.
            last: capture time of the last frame, UTC seconds.
        """
        what = f"camera {camera}"
        first, last = (None if t is None else rows.check_time(t, what) for t in (first, last))
        error = None if error is None else redact(error)
        row = runs.camera_state(run, camera, state, error, frames, dropped, first, last)
        self._writer.put(Rows(self._sql.run_camera, [row]))

    def track_allocator(self) -> StoreAllocator:
        """Ids for tracks, unique over all processes that share the store."""
        return self._allocators["track"]

    def identity_allocator(self) -> StoreAllocator:
        """Ids for identities, unique over all processes that share the store."""
        return self._allocators["identity"]

    def add_points(self, run: int, camera: str, track: int, points: Sequence[TrackPoint]) -> None:
        """Add boxes to a track, which begins with its first point. A frame sent twice counts once.

        Raises:
            StoreError: if a number is NaN or infinite, a box has no area, or the track is
                another camera's.
        """
        if not points:
            return
        what = f"camera {camera}, track {track}"
        box_rows = [rows.point_row(track, point, what) for point in points]
        self._own(run, camera, track)
        times = [row["time"] for row in box_rows]
        track_row = runs.track_row(run, camera, track, min(times), max(times), len(box_rows))
        self._writer.put(Rows(self._sql.track, [track_row]), Rows(self._sql.box, box_rows))

    def close_track(self, track: int) -> None:
        """No more points will come; the box count becomes exact."""
        with self._lock:
            self._tracks.pop(track, None)
        self._writer.put(Task(partial(runs.close_track, track)))

    def register_model(
        self, fingerprint: str, K: int, d: int, description: Mapping[str, Any]
    ) -> None:
        """Make a model known before its embeddings come.

        Args:
            fingerprint: of the weights.
            K: parts.
            d: numbers per part.
            description: for people: name, trunk, trained on what.

        Raises:
            StoreError: if the fingerprint is known with another K or d.
        """
        row = {
            "fingerprint": fingerprint,
            "parts": K,
            "dim": d,
            "description": rows.json_value(description, f"description of model {fingerprint}"),
        }

        def register(connection: Connection) -> tuple[int, int]:
            connection.execute(self._sql.model.clause, [row])
            found = select(Model.parts, Model.dim).where(Model.fingerprint == fingerprint)
            parts, dim = connection.execute(found).one()
            return parts, dim

        known = self._writer.call(register)
        if known != (K, d):
            raise StoreError(
                f"store {self.url}: model {fingerprint} is known with K={known[0]}, d={known[1]}, "
                f"not K={K}, d={d}"
            )
        with self._lock:
            self._models[fingerprint] = known

    def save_tracklet(self, run: int, tracklet: Tracklet) -> None:
        """Save or replace a track's pooled embedding and its set of pictures.

        Raises:
            StoreError: if its model was not registered or has another K or d, a number is NaN
                or infinite, or a picture is empty.
        """
        track, camera = tracklet.track, tracklet.camera
        what = f"camera {camera}, track {track}"
        start = rows.check_time(tracklet.start, what)
        end = rows.check_time(tracklet.end, what)
        track_row = runs.track_row(run, camera, track, start, end, 0)
        operations: list[Rows | Task] = [Rows(self._sql.track, [track_row])]
        if tracklet.embedding is not None:
            self._check_model(tracklet, what)
            row = rows.embedding_row(track, tracklet.embedding, what)
            operations.append(Task(partial(self._save_embedding, row)))
        pictures = [
            (rows.exemplar_row(run, camera, track, exemplar, what), exemplar.jpeg)
            for exemplar in tracklet.exemplars
        ]
        if pictures:
            save = partial(self._save_pictures, track, pictures)
            operations.append(Task(save, weight=_PICTURE_WEIGHT * len(pictures)))
        self._writer.put(*operations)

    def link(self, run: int, decision: LinkDecision) -> None:
        """Append a decision to the ledger; a new identity is made known with it.

        Raises:
            StoreError: if a number is NaN or infinite.
        """
        row = rows.ledger_row(decision, time.time())
        identity = {"id": row["identity"], "created": row["time"], "run": run}
        self._writer.put(Rows(self._sql.identity, [identity]), Rows(self._sql.ledger, [row]))

    def finish_run(self, run: int, status: str = "finished") -> None:
        """End a run and commit everything; its open tracks are closed.

        Args:
            run: from `begin_run`.
            status: `finished`, `failed` or `interrupted`.

        Raises:
            StoreError: if the status is none of these or a write failed.
        """
        if status not in STATUSES:
            raise StoreError(f"run {run}: status {status!r} is none of {', '.join(STATUSES)}")
        with self._lock:
            self._runs.discard(run)
            self._tracks = {t: owner for t, owner in self._tracks.items() if owner[0] != run}
        self._writer.call(partial(runs.finish, run, status))

    def write(self, function: Callable[[Connection], T]) -> T:
        """Run a function in the writer's transaction; returns its result once committed.

        For the other modules of this room (decisions, accounts, recordings ...), which own their
        tables; it has to be short, and to leave nothing half done when it raises.

        Raises:
            StoreError: if the store cannot be written. What the function raises itself comes out
                as it is, and nothing of its transaction stays.
        """
        # In the writer's thread it is still part of what its caller does (`audit.through`).
        context = copy_context()
        return self._writer.ask(lambda connection: context.run(function, connection))

    def write_soon(self, function: Callable[[Connection], object]) -> None:
        """As `write`, but returns at once; an error in it fails the store like any other write.

        Raises:
            StoreError: if the store is closed or an earlier write failed.
        """
        self._writer.put(Task(lambda connection, stale: function(connection)))

    def maintain(self, function: Callable[[Engine], T]) -> T:
        """Work on the database itself, beside the writer and its transactions (see `scrub`)."""
        return function(self._engine)

    def reader(self) -> StoreReader:
        """The reading side, on the same store; sees what is committed (see `flush`)."""
        return StoreReader(self._engine, self.url, self.media, own=False)

    def flush(self) -> None:
        """Return once everything put so far is committed."""
        self._writer.call(lambda connection: None)

    def close(self) -> None:
        """Commit, give unused ids back, mark runs that were not finished as interrupted.

        Raises:
            StoreError: if a write failed, now or earlier.
        """
        try:
            if not self._writer.closed:
                for run in sorted(self._runs):
                    self.finish_run(run, "interrupted")
                for allocator in self._allocators.values():
                    allocator.give_back()
        finally:
            try:
                self._writer.close()
            finally:
                self._engine.dispose()

    def __enter__(self) -> Store:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        try:
            self.close()
        except StoreError:
            if error is None:
                raise  # else the first error is the one to be seen; the writer logged this one

    def _go_on_erasing(self) -> None:
        """Finish erasures that a crash, or a reader in the way, cut off."""
        try:
            for problem in scrub.finish(self, patience=1.0):
                log.warning("store %s, an erasure is not finished: %s", self.url, problem)
        except BaseException:
            self.close()
            raise

    def _own(self, run: int, camera: str, track: int) -> None:
        with self._lock:
            owner = self._tracks.setdefault(track, (run, camera))
        if owner != (run, camera):
            raise StoreError(
                f"track {track} belongs to camera {owner[1]} in run {owner[0]}; "
                f"got a point of camera {camera} in run {run}"
            )

    def _save_embedding(
        self, row: dict[str, Any], connection: Connection, stale: list[Path]
    ) -> None:
        """In the writer: each write gets the store's next revision, for caches to follow."""
        connection.execute(self._sql.embedding, {**row, "revision": next_revision(connection)})

    def _check_model(self, tracklet: Tracklet, what: str) -> None:
        embedding = tracklet.embedding
        if embedding is None:
            return
        known = self._models.get(embedding.fingerprint)
        shape = embedding.parts.shape[1:]
        if known is None:
            raise StoreError(f"{what}: model {embedding.fingerprint} was not registered")
        if known != shape or embedding.global_parts.shape[1:] != shape:
            raise StoreError(
                f"{what}: embedding has K={shape[0]}, d={shape[1]}, but model "
                f"{embedding.fingerprint} has K={known[0]}, d={known[1]}"
            )

    def _save_pictures(
        self,
        track: int,
        pictures: Sequence[tuple[dict[str, Any], bytes]],
        connection: Connection,
        stale: list[Path],
    ) -> None:
        """In the writer: the files first, then their rows; outdated files go after the commit."""
        found = select(ExemplarCrop.frame, ExemplarCrop.path).where(ExemplarCrop.track == track)
        old = {path: frame for frame, path in connection.execute(found)}
        new = {row["path"]: (row, jpeg) for row, jpeg in pictures}
        for path, (_, jpeg) in new.items():
            if path not in old:
                write_file(self.media / path, jpeg)
        outdated = [path for path in old if path not in new]
        if outdated:
            gone = delete(ExemplarCrop).where(
                ExemplarCrop.track == track, ExemplarCrop.path.in_(outdated)
            )
            connection.execute(gone)
            stale.extend(self.media / path for path in outdated)
        connection.execute(self._sql.exemplar.clause, [row for row, _ in new.values()])

    def _heartbeat(self, connection: Connection) -> None:
        with self._lock:
            alive = sorted(self._runs)
        if alive:
            connection.execute(update(Run).where(Run.id.in_(alive)).values(heartbeat=time.time()))
