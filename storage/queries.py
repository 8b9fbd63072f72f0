"""The store as its readers see it: frozen records out, nothing written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from itertools import groupby
from pathlib import Path
from types import TracebackType

import numpy as np
from sqlalchemy import Connection, Engine, select

from reid.errors import FingerprintMismatch, StoreError
from reid.records import FloatArray, PartEmbeddings
from storage import selects
from storage.engine import (
    check_file,
    check_version,
    connect,
    parse_url,
    show_url,
    sqlite_path,
    store_errors,
)
from storage.media import media_folder
from storage.models import Run
from storage.records import (
    CameraRow,
    ExemplarRow,
    IdentityRow,
    IdentitySheet,
    LedgerRow,
    ModelRow,
    RunCameraRow,
    RunRow,
    StoredEmbeddings,
    TrackRow,
    TrackSheet,
)
from storage.selects import AnyRow, AnySelect
from trackers.records import Box, TrackPoint

CHUNK = 2000


class StoreReader:
    """Reads a store, also while a run writes to it. Safe to share by threads.

    Lists are for what is few (runs, cameras, one track's pictures); iterators stream the rest.
    An iterator holds a database connection until it is used up or closed.
    """

    def __init__(self, engine: Engine, shown: str, media: Path | None, own: bool = True) -> None:
        """Not for callers: see `open` and `Store.reader`."""
        self.url = shown
        self.media = media
        self._engine = engine
        self._own = own

    @classmethod
    def open(cls, url: str, media: Path | None = None) -> StoreReader:
        """Open a store that exists; changes nothing.

        Args:
            url: as for `Store.open`.
            media: folder of the pictures; by default beside a SQLite file. A PostgreSQL store
                without it can be read, but its pictures have no path.

        Raises:
            StoreError: if there is no store of this version.
        """
        parsed = parse_url(url)
        shown = show_url(parsed)
        path = sqlite_path(parsed)
        if path is not None:
            check_file(path, shown, must_exist=True)
        check_version(parsed, current=True)
        folder = media_folder(parsed, media) if media is not None or path is not None else None
        return cls(connect(parsed, "rw"), shown, folder)

    def close(self) -> None:
        """Let go of the store."""
        if self._own:
            self._engine.dispose()

    def __enter__(self) -> StoreReader:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    # ---- runs and cameras -------------------------------------------------------------------

    def runs(self) -> list[RunRow]:
        """All runs, oldest first."""
        with self._read() as connection:
            return [_run(row) for row in connection.execute(selects.RUNS)]

    def run(self, run: int | None = None) -> RunRow:
        """One run, or the latest finished one; of a live site, where none ends so, the latest.

        Raises:
            StoreError: if there is none; the message lists what there is.
        """
        wanted = Run.status == "finished" if run is None else Run.id == run
        with self._read() as connection:
            latest = selects.RUNS.where(wanted).order_by(None).order_by(Run.id.desc()).limit(1)
            row = connection.execute(latest).first()
            if row is None and run is None:
                own = selects.RUNS.where(Run.rerun_of.is_(None)).order_by(None)
                row = connection.execute(own.order_by(Run.id.desc()).limit(1)).first()
            if row is not None:
                return _run(row)
            last = connection.execute(
                select(Run.id, Run.status).order_by(Run.id.desc()).limit(10)
            ).all()
        there = ", ".join(f"{i} ({status})" for i, status in reversed(last)) or "no run at all"
        what = "holds no run" if run is None else f"has no run {run}"
        raise StoreError(f"store {self.url} {what}; it has: {there}")

    def cameras(self) -> list[CameraRow]:
        """All cameras ever used, by id, as last configured."""
        with self._read() as connection:
            return [CameraRow(*row) for row in connection.execute(selects.CAMERAS)]

    def run_cameras(self, run: int) -> list[RunCameraRow]:
        """The cameras of a run and how they fared, by id."""
        with self._read() as connection:
            return [RunCameraRow(*row) for row in connection.execute(selects.run_cameras(run))]

    # ---- tracks ------------------------------------------------------------------------------

    def tracks(
        self, run: int | None = None, camera: str | None = None, identity: int | None = None
    ) -> Iterator[TrackRow]:
        """Tracks with their current identity, by id; arguments narrow the choice."""
        found = self._stream(selects.tracks(run, camera, identity))
        yield from (TrackRow(*row) for row in found)

    def boxes(self, track: int) -> Iterator[TrackPoint]:
        """The boxes of a track, by frame."""
        found = self._stream(selects.boxes(track))
        for frame, time, left, top, width, height, confidence in found:
            yield TrackPoint(frame, time, _box(left, top, width, height), confidence)

    def exemplars(self, track: int) -> list[ExemplarRow]:
        """The pictures of a track, best first."""
        with self._read() as connection:
            found = connection.execute(selects.exemplars(track))
            return [self._exemplar(row) for row in found]

    def best_exemplars(self, tracks: Collection[int]) -> dict[int, ExemplarRow]:
        """The best picture of each of these tracks; those that have none are left out."""
        best: dict[int, ExemplarRow] = {}
        for some in selects.chunks(sorted(set(tracks))):
            for row in self._stream(selects.exemplars_of(some)):
                if row.track not in best:
                    best[row.track] = self._exemplar(row)
        return best

    def ledger(self, track: int) -> list[LedgerRow]:
        """All that was ever decided about a track, oldest first."""
        with self._read() as connection:
            return [LedgerRow(*row) for row in connection.execute(selects.ledger(track))]

    # ---- embeddings --------------------------------------------------------------------------

    def models(self) -> list[ModelRow]:
        """The models whose embeddings may lie in the store."""
        with self._read() as connection:
            return [ModelRow(*row) for row in connection.execute(selects.MODELS)]

    def embeddings(
        self,
        run: int | None = None,
        fingerprint: str | None = None,
        tracks: Sequence[int] | None = None,
    ) -> StoredEmbeddings | None:
        """The embeddings of many tracks; None if there are none.

        Args:
            run: only of this run.
            fingerprint: only of this model.
            tracks: only of these tracks.

        Raises:
            FingerprintMismatch: if they come from more than one model.
            StoreError: if stored bytes do not fit their model.
        """
        if tracks is not None:
            parts = [
                self._embeddings(run, fingerprint, some)
                for some in selects.chunks(sorted(set(tracks)))
            ]
            found = [part for part in parts if part is not None]
            if not found:
                return None
            return StoredEmbeddings(
                np.concatenate([part.tracks for part in found]),
                np.concatenate([part.identities for part in found]),
                PartEmbeddings.concatenate([part.embeddings for part in found]),
            )
        return self._embeddings(run, fingerprint, None)

    def _embeddings(
        self, run: int | None, fingerprint: str | None, tracks: Sequence[int] | None
    ) -> StoredEmbeddings | None:
        rows = list(self._stream(selects.embeddings(run, fingerprint, tracks)))
        if not rows:
            return None
        prints = sorted({row.fingerprint for row in rows})
        if len(prints) > 1:
            raise FingerprintMismatch(
                f"store {self.url} holds embeddings of different models, which cannot be "
                f"compared: {', '.join(prints)}; choose one"
            )
        shape = (rows[0].K, rows[0].d)
        what = f"store {self.url}, model {prints[0]}"
        return StoredEmbeddings(
            np.array([row.id for row in rows], np.int64),
            np.array([row.identity or 0 for row in rows], np.int64),
            PartEmbeddings(
                np.stack([_half(row.parts, shape, what) for row in rows]),
                np.stack([_half(row.global_parts, shape, what) for row in rows]),
                np.stack([_half(row.quality, shape[:1], what) for row in rows]),
                prints[0],
            ),
        )

    # ---- identities and reports --------------------------------------------------------------

    def identities(self, run: int | None = None) -> list[IdentityRow]:
        """The identities that tracks (of a run) currently have, by id."""
        groups = groupby(self._stream(selects.identities(run)), key=lambda row: row.id)
        return [_identity(list(group)) for _, group in groups]

    def contact_sheet(self, run: int | None = None) -> Iterator[IdentitySheet]:
        """What a report shows: each identity with its tracks, pictures, qualities and evidence."""
        for identity in self.identities(run):
            yield self.identity_sheet(identity, run)

    def identity_sheet(self, identity: IdentityRow, run: int | None = None) -> IdentitySheet:
        """One identity with its tracks (of a run), by camera, then by time."""
        sheets: dict[str, list[TrackSheet]] = {}
        tracks = sorted(self.tracks(run, identity=identity.id), key=lambda t: (t.start, t.id))
        for track in sorted(tracks, key=lambda t: t.camera):
            sheets.setdefault(track.camera, []).append(self.track_sheet(track))
        return IdentitySheet(identity, {camera: tuple(s) for camera, s in sheets.items()})

    def track_sheet(self, track: TrackRow) -> TrackSheet:
        """One track with its pictures, pooled part qualities and ledger."""
        stored = self.embeddings(tracks=[track.id])
        return TrackSheet(
            track=track,
            exemplars=tuple(self.exemplars(track.id)),
            quality=None if stored is None else tuple(map(float, stored.embeddings.quality[0])),
            ledger=tuple(self.ledger(track.id)),
        )

    # ---- plumbing ----------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with store_errors(self.url, "cannot read"), self._engine.connect() as connection:
            yield connection

    def _stream(self, statement: AnySelect) -> Iterator[AnyRow]:
        """Rows as they come, never all in memory; one consistent moment of the store."""
        with self._read() as connection:
            yield from connection.execution_options(yield_per=CHUNK).execute(statement)

    @contextmanager
    def connection(self) -> Iterator[Connection]:
        """A connection to read from (for the other modules of this room).

        Raises:
            StoreError: if the store cannot be read.
        """
        with self._read() as connection:
            yield connection

    def stream(self, statement: AnySelect) -> Iterator[AnyRow]:
        """Rows of a statement over `storage.models`, streamed (for exports)."""
        yield from self._stream(statement)

    def _exemplar(self, row: AnyRow) -> ExemplarRow:
        return ExemplarRow(
            id=row.id,
            track=row.track,
            frame=row.frame,
            time=row.time,
            box=_box(row.left, row.top, row.width, row.height),
            path=(self.media or Path()) / row.path,
            sha256=row.sha256,
            quality=tuple(row.quality),
            visible=tuple(row.visible),
            score=row.score,
        )


def _run(row: AnyRow) -> RunRow:
    return RunRow(row.id, row.started, row.finished, row.status, row.config, row.version)


def _identity(group: Sequence[AnyRow]) -> IdentityRow:
    return IdentityRow(
        id=group[0].id,
        created=group[0].created,
        run=group[0].run,
        tracks=sum(row.tracks for row in group),
        cameras=tuple(row.camera for row in group),
        start=min(row.start for row in group),
        end=max(row.end for row in group),
    )


def _box(left: float, top: float, width: float, height: float) -> Box:
    return Box(left, top, left + width, top + height)


def _half(blob: bytes, shape: tuple[int, ...], what: str) -> FloatArray:
    if len(blob) != 2 * int(np.prod(shape)):
        raise StoreError(f"{what}: {len(blob)} bytes do not hold {shape} half-precision numbers")
    return np.frombuffer(blob, "<f2").reshape(shape).astype(np.float32)
