"""Records that the `storage` room makes: what goes in beside tracks, and what comes out."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from reid.records import PartEmbeddings
from trackers.records import Box


@dataclass(frozen=True, slots=True)
class CameraRow:
    """A camera. `x`, `y`: map coordinates of its place; `url` loses its password on writing."""

    id: str
    url: str
    place: str | None = None
    x: float | None = None
    y: float | None = None


@dataclass(frozen=True, slots=True)
class RunRow:
    """One run. `status`: running, finished, failed or interrupted; times are UTC seconds."""

    id: int
    started: float
    finished: float | None
    status: str
    config: dict[str, Any]
    version: str


@dataclass(frozen=True, slots=True)
class RunCameraRow:
    """How a camera fared in a run; `first` and `last` are capture times, UTC seconds."""

    run: int
    camera: str
    place: str | None
    state: str
    error: str | None
    frames: int
    dropped: int
    first: float | None
    last: float | None


@dataclass(frozen=True, slots=True)
class TrackRow:
    """A track with its current identity (None: nobody decided yet); times are UTC seconds."""

    id: int
    run: int
    camera: str
    place: str | None
    start: float
    end: float
    boxes: int
    closed: bool
    identity: int | None
    action: str | None


@dataclass(frozen=True, slots=True)
class ExemplarRow:
    """A stored crop. `path` is absolute or relative to the working directory; JPEG."""

    id: int
    track: int
    frame: int
    time: float
    box: Box
    path: Path
    sha256: str
    quality: tuple[float, ...]
    visible: tuple[float, ...]
    score: float


@dataclass(frozen=True, slots=True)
class LedgerRow:
    """One entry of the ledger; see `trackers.records.LinkDecision`. `written` is wall clock.

    `decision`: the person's decision it belongs to; None for the matcher's own.
    """

    id: int
    written: float
    track: int
    identity: int
    action: str
    time: float
    candidate: int | None
    distance: float | None
    runner_up: float | None
    support: float | None
    threshold: float | None
    reason: str
    actor: str
    decision: int | None = None


@dataclass(frozen=True, slots=True)
class IdentityRow:
    """A person as currently linked, over the tracks of the runs asked for."""

    id: int
    created: float
    run: int
    tracks: int
    cameras: tuple[str, ...]
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class ModelRow:
    """A model whose embeddings the store holds."""

    fingerprint: str
    parts: int
    dim: int
    description: dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class StoredEmbeddings:
    """Embeddings of N tracks of one model, in rising track order.

    Attributes:
        tracks: (N,) int64.
        identities: (N,) int64, the current identity; 0 where nobody decided yet.
        embeddings: N pooled tracklets; float32, exact to half precision.
    """

    tracks: NDArray[np.int64]
    identities: NDArray[np.int64]
    embeddings: PartEmbeddings


@dataclass(frozen=True, slots=True, eq=False)
class TrackSheet:
    """What a report shows of one track: best pictures first, the ledger oldest first.

    `quality`: the K pooled part qualities; None when the track was never embedded.
    """

    track: TrackRow
    exemplars: tuple[ExemplarRow, ...]
    quality: tuple[float, ...] | None
    ledger: tuple[LedgerRow, ...]


@dataclass(frozen=True, slots=True, eq=False)
class IdentitySheet:
    """One row of a contact sheet: an identity and its tracks by camera, then by time."""

    identity: IdentityRow
    cameras: dict[str, tuple[TrackSheet, ...]]
