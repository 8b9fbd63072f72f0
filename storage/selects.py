"""The statements of the readers: what is chosen from which tables."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, TypeVar

from sqlalchemy import Row, Select, and_, func, select
from sqlalchemy.orm import aliased

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
from storage.records import LedgerRow

AnySelect = Select[*tuple[Any, ...]]
AnyRow = Row[*tuple[Any, ...]]
Id = TypeVar("Id", int, str)
CHUNK = 500  # ids in one statement

# The last ledger row of a track says whose it is (the view `current_links`, per track).
_other = aliased(LedgerEntry)
_last = select(func.max(_other.id)).where(_other.track == Track.id).correlate(Track)
CURRENT = and_(LedgerEntry.track == Track.id, LedgerEntry.id == _last.scalar_subquery())

RUNS: AnySelect = select(
    Run.id, Run.started, Run.finished, Run.status, Run.config, Run.version
).order_by(Run.id)

CAMERAS: AnySelect = select(Camera.id, Camera.url, Camera.place, Camera.x, Camera.y).order_by(
    Camera.id
)

MODELS: AnySelect = select(Model.fingerprint, Model.parts, Model.dim, Model.description).order_by(
    Model.fingerprint
)


def chunks(ids: Sequence[Id]) -> Iterator[Sequence[Id]]:
    """Ids in portions that fit one statement."""
    for first in range(0, len(ids), CHUNK):
        yield ids[first : first + CHUNK]


def run_cameras(run: int) -> AnySelect:
    """Columns of `RunCameraRow`."""
    return (
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


def tracks(run: int | None, camera: str | None, identity: int | None) -> AnySelect:
    """Columns of `TrackRow`."""
    columns = (
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
    found: AnySelect = select(*columns).join(Camera, Camera.id == Track.camera).order_by(Track.id)
    if identity is None:
        found = found.outerjoin(LedgerEntry, CURRENT)
    else:
        # Few of many tracks: come from the identity's ledger rows, by their index.
        named = select(_other.track).where(_other.identity == identity)
        found = found.join(LedgerEntry, CURRENT).where(
            Track.id.in_(named), LedgerEntry.identity == identity
        )
    if run is not None:
        found = found.where(Track.run == run)
    return found if camera is None else found.where(Track.camera == camera)


def boxes(track: int) -> AnySelect:
    """Frame, time, left, top, width, height, confidence."""
    columns = (
        TrackBox.frame,
        TrackBox.time,
        TrackBox.left,
        TrackBox.top,
        TrackBox.width,
        TrackBox.height,
        TrackBox.confidence,
    )
    return select(*columns).where(TrackBox.track == track).order_by(TrackBox.frame)


def exemplars(track: int) -> AnySelect:
    """All columns, best picture first."""
    return (
        select(*ExemplarCrop.__table__.columns)
        .where(ExemplarCrop.track == track)
        .order_by(ExemplarCrop.score.desc(), ExemplarCrop.frame)
    )


def exemplars_of(tracks: Sequence[int]) -> AnySelect:
    """All columns of many tracks' pictures, by track, best picture first."""
    return (
        select(*ExemplarCrop.__table__.columns)
        .where(ExemplarCrop.track.in_(tracks))
        .order_by(ExemplarCrop.track, ExemplarCrop.score.desc(), ExemplarCrop.frame)
    )


def ledger(track: int) -> AnySelect:
    """Columns of `LedgerRow`."""
    columns = (getattr(LedgerEntry, name) for name in LedgerRow.__dataclass_fields__)
    return select(*columns).where(LedgerEntry.track == track).order_by(LedgerEntry.id)


def embeddings(run: int | None, fingerprint: str | None, chosen: Sequence[int] | None) -> AnySelect:
    """Track id, identity, the three blobs, fingerprint, K, d; by track."""
    found: AnySelect = (
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
    return found if chosen is None else found.where(Track.id.in_(chosen))


def identities(run: int | None) -> AnySelect:
    """A row for each identity and camera: id, created, run, camera, tracks, start, end."""
    found: AnySelect = (
        select(
            Identity.id,
            Identity.created,
            Identity.run,
            Track.camera,
            func.count().label("tracks"),
            func.min(Track.start).label("start"),
            func.max(Track.end).label("end"),
        )
        .select_from(Track)
        .join(LedgerEntry, CURRENT)
        .join(Identity, Identity.id == LedgerEntry.identity)
        .group_by(Identity.id, Identity.created, Identity.run, Track.camera)
        .order_by(Identity.id, Track.camera)
    )
    return found if run is None else found.where(Track.run == run)
