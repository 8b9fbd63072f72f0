"""The store as its readers see it: frozen records out, nothing written."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

import numpy as np
from sqlalchemy import Connection, Engine, Row, Select, and_, func, select
from sqlalchemy.orm import aliased

from reid.errors import FingerprintMismatch, StoreError
from reid.records import PartEmbeddings
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
from storage.models import (
    Camera,
    ExemplarCrop,
    Identity,
    LedgerEntry,
    Model,
    Run,
    RunCamera,
    Track,
    TrackBox,
    TrackletEmbedding,
)
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
from trackers.records import Box, TrackPoint

CHUNK = 2000

# The last ledger row of a track says whose it is (the view `current_links`, per track).
_later = aliased(LedgerEntry)
CURRENT = and_(
    LedgerEntry.track == Track.id,
    LedgerEntry.id
    == select(func.max(_later.id))
    .where(_later.track == Track.id)
    .correlate(Track)
    .scalar_subquery(),
)


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
            return [_run(row) for row in connection.execute(_RUNS.order_by(Run.id))]

    def run(self, run: int | None = None) -> RunRow:
        """One run, or the latest finished one.

        Raises:
            StoreError: if there is none; the message lists what there is.
        """
        wanted = Run.status == "finished" if run is None else Run.id == run
        with self._read() as connection:
            row = connection.execute(_RUNS.where(wanted).order_by(Run.id.desc()).limit(1)).first()
            if row is not None:
                return _run(row)
            last = connection.execute(
                select(Run.id, Run.status).order_by(Run.id.desc()).limit(10)
            ).all()
        there = ", ".join(f"{i} ({status})" for i, status in reversed(last)) or "no run at all"
        what = "holds no finished run" if run is None else f"has no run {run}"
        raise StoreError(f"store {self.url} {what}; it has: {there}")

    def cameras(self) -> list[CameraRow]:
        """All cameras ever used, by id, as last configured."""
        columns = (Camera.id, Camera.url, Camera.place, Camera.x, Camera.y)
        with self._read() as connection:
            found = connection.execute(select(*columns).order_by(Camera.id))
            return [CameraRow(*row) for row in found]

    def run_cameras(self, run: int) -> list[RunCameraRow]:
        """The cameras of a run and how they fared, by id."""
        found = (
            select(
                RunCamera.run,
                RunCamera.camera,
                Camera.place,
                RunCamera.state,
                RunCamera.error,
                RunCamera.frames,
                RunCamera.dropped,
                RunCamera.first,
                RunCamera.last,
            )
            .join(Camera, Camera.id == RunCamera.camera)
            .where(RunCamera.run == run)
            .order_by(RunCamera.camera)
        )
        with self._read() as connection:
            return [RunCameraRow(*row) for row in connection.execute(found)]

    # ---- tracks ------------------------------------------------------------------------------

    def tracks(
        self, run: int | None = None, camera: str | None = None, identity: int | None = None
    ) -> Iterator[TrackRow]:
        """Tracks with their current identity, by id; arguments narrow the choice."""
        yield from (TrackRow(*row) for row in self._stream(_tracks(run, camera, identity)))

    def boxes(self, track: int) -> Iterator[TrackPoint]:
        """The boxes of a track, by frame."""
        found = (
            select(
                TrackBox.frame,
                TrackBox.time,
                TrackBox.left,
                TrackBox.top,
                TrackBox.width,
                TrackBox.height,
                TrackBox.confidence,
            )
            .where(TrackBox.track == track)
            .order_by(TrackBox.frame)
        )
        for frame, time, left, top, width, height, confidence in self._stream(found):
            yield TrackPoint(frame, time, _box(left, top, width, height), confidence)

    def exemplars(self, track: int) -> list[ExemplarRow]:
        """The pictures of a track, best first."""
        found = _EXEMPLARS.where(ExemplarCrop.track == track).order_by(
            ExemplarCrop.score.desc(), ExemplarCrop.frame
        )
        with self._read() as connection:
            return [self._exemplar(row) for row in connection.execute(found)]

    def ledger(self, track: int) -> list[LedgerRow]:
        """All that was ever decided about a track, oldest first."""
        found = _LEDGER.where(LedgerEntry.track == track).order_by(LedgerEntry.id)
        with self._read() as connection:
            return [LedgerRow(*row) for row in connection.execute(found)]

    # ---- embeddings --------------------------------------------------------------------------

    def models(self) -> list[ModelRow]:
        """The models whose embeddings may lie in the store."""
        columns = (Model.fingerprint, Model.parts, Model.dim, Model.description)
        with self._read() as connection:
            found = connection.execute(select(*columns).order_by(Model.fingerprint))
            return [ModelRow(*row) for row in found]

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
            wanted = sorted(set(tracks))
            parts = [
                self._embeddings(run, fingerprint, wanted[i : i + 500])
                for i in range(0, len(wanted), 500)
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
        found = _embeddings(run, fingerprint, tracks)
        rows = list(self._stream(found))
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
        return list(self._identities(run))

    def contact_sheet(self, run: int | None = None) -> Iterator[IdentitySheet]:
        """What a report shows: each identity with its tracks, pictures, qualities and evidence."""
        for identity in self._identities(run):
            sheets: dict[str, list[TrackSheet]] = {}
            tracks = sorted(self.tracks(run, identity=identity.id), key=lambda t: (t.start, t.id))
            for track in sorted(tracks, key=lambda t: t.camera):
                sheets.setdefault(track.camera, []).append(self.track_sheet(track))
            yield IdentitySheet(identity, {camera: tuple(s) for camera, s in sheets.items()})

    def track_sheet(self, track: TrackRow) -> TrackSheet:
        """One track with its pictures, pooled part qualities and ledger."""
        stored = self.embeddings(tracks=[track.id])
        return TrackSheet(
            track=track,
            exemplars=tuple(self.exemplars(track.id)),
            quality=None if stored is None else tuple(map(float, stored.embeddings.quality[0])),
            ledger=tuple(self.ledger(track.id)),
        )

    def _identities(self, run: int | None) -> Iterator[IdentityRow]:
        found = (
            select(
                Identity.id,
                Identity.created,
                Identity.run,
                Track.camera,
                func.count().label("tracks"),
                func.min(Track.start).label("start"),
                func.max(Track.end).label("end"),
            )
            .join(LedgerEntry, LedgerEntry.identity == Identity.id)
            .join(Track, CURRENT)
            .group_by(Identity.id, Identity.created, Identity.run, Track.camera)
            .order_by(Identity.id, Track.camera)
        )
        if run is not None:
            found = found.where(Track.run == run)
        group: list[Row[Any]] = []
        for row in self._stream(found):
            if group and group[0].id != row.id:
                yield _identity(group)
                group = []
            group.append(row)
        if group:
            yield _identity(group)

    # ---- plumbing ----------------------------------------------------------------------------

    @contextmanager
    def _read(self) -> Iterator[Connection]:
        with store_errors(self.url, "cannot read"), self._engine.connect() as connection:
            yield connection

    def _stream(self, statement: Select[Any]) -> Iterator[Row[Any]]:
        """Rows as they come, never all in memory; one consistent moment of the store."""
        with self._read() as connection:
            yield from connection.execution_options(yield_per=CHUNK).execute(statement)

    def stream(self, statement: Select[Any]) -> Iterator[Row[Any]]:
        """Rows of a statement over `storage.models`, streamed (for exports)."""
        yield from self._stream(statement)

    def _exemplar(self, row: Row[Any]) -> ExemplarRow:
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


_RUNS = select(Run.id, Run.started, Run.finished, Run.status, Run.config, Run.version)
_EXEMPLARS = select(*ExemplarCrop.__table__.columns)
_LEDGER_FIELDS = tuple(LedgerRow.__dataclass_fields__)
_LEDGER = select(*(getattr(LedgerEntry, name) for name in _LEDGER_FIELDS))


def _tracks(run: int | None, camera: str | None, identity: int | None) -> Select[Any]:
    found = (
        select(
            Track.id,
            Track.run,
            Track.camera,
            Camera.place,
            Track.start,
            Track.end,
            Track.boxes,
            Track.closed,
            LedgerEntry.identity,
            LedgerEntry.action,
        )
        .join(Camera, Camera.id == Track.camera)
        .order_by(Track.id)
    )
    found = (
        found.outerjoin(LedgerEntry, CURRENT)
        if identity is None
        else found.join(LedgerEntry, CURRENT).where(LedgerEntry.identity == identity)
    )
    if run is not None:
        found = found.where(Track.run == run)
    return found if camera is None else found.where(Track.camera == camera)


def _embeddings(
    run: int | None, fingerprint: str | None, tracks: Sequence[int] | None
) -> Select[Any]:
    found = (
        select(
            Track.id,
            LedgerEntry.identity,
            TrackletEmbedding.parts,
            TrackletEmbedding.global_parts,
            TrackletEmbedding.quality,
            Model.fingerprint,
            Model.parts.label("K"),
            Model.dim.label("d"),
        )
        .select_from(Track)
        .join(TrackletEmbedding, TrackletEmbedding.track == Track.id)
        .join(Model, Model.fingerprint == TrackletEmbedding.model)
        .outerjoin(LedgerEntry, CURRENT)
        .order_by(Track.id)
    )
    if run is not None:
        found = found.where(Track.run == run)
    if fingerprint is not None:
        found = found.where(TrackletEmbedding.model == fingerprint)
    return found if tracks is None else found.where(Track.id.in_(tracks))


def _run(row: Row[Any]) -> RunRow:
    return RunRow(row.id, row.started, row.finished, row.status, row.config, row.version)


def _identity(group: Sequence[Row[Any]]) -> IdentityRow:
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


def _half(blob: bytes, shape: tuple[int, ...], what: str) -> np.ndarray[Any, np.dtype[np.float32]]:
    if len(blob) != 2 * int(np.prod(shape)):
        raise StoreError(f"{what}: {len(blob)} bytes do not hold {shape} half-precision numbers")
    return np.frombuffer(blob, "<f2").reshape(shape).astype(np.float32)
