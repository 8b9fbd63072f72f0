"""Records that the `trackers` room makes: boxes, detections, tracked boxes, tracklets, links."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from reid.records import PartEmbeddings


@dataclass(frozen=True, slots=True)
class Box:
    """An axis-aligned box in pixels of the camera's frame, origin at the top left.

    Right and bottom are exclusive. Boxes may reach outside the frame.
    """

    left: float
    top: float
    right: float
    bottom: float

    @property
    def width(self) -> float:
        """Width in pixels."""
        return self.right - self.left

    @property
    def height(self) -> float:
        """Height in pixels."""
        return self.bottom - self.top

    @property
    def area(self) -> float:
        """Area in square pixels; 0 for an inverted box."""
        return max(0.0, self.width) * max(0.0, self.height)

    @property
    def foot(self) -> tuple[float, float]:
        """Middle of the lower edge: where the person stands."""
        return (self.left + self.right) / 2, self.bottom

    def is_valid(self) -> bool:
        """True if all four numbers are finite and the area is above zero."""
        numbers = (self.left, self.top, self.right, self.bottom)
        return all(math.isfinite(v) for v in numbers) and self.width > 0 and self.height > 0

    def intersection(self, other: Box) -> float:
        """Shared area in square pixels."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.bottom, other.bottom) - max(self.top, other.top)
        return max(0.0, width) * max(0.0, height)

    def iou(self, other: Box) -> float:
        """Intersection over union, 0..1."""
        shared = self.intersection(other)
        union = self.area + other.area - shared
        return shared / union if union > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Detection:
    """One person found in one frame."""

    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class TrackedBox:
    """One box of one track in one frame. `track` is unique over all cameras of a run."""

    track: int
    box: Box
    confidence: float


@dataclass(frozen=True, slots=True)
class TrackPoint:
    """Where a track was at one moment: frame index (from 0), capture time (UTC seconds), box."""

    frame: int
    time: float
    box: Box
    confidence: float


@dataclass(frozen=True, slots=True, eq=False)
class Exemplar:
    """A crop of a track worth keeping.

    Attributes:
        frame: index in its video, from 0.
        time: capture time, UTC seconds.
        box: the detector's box, pixels of the frame.
        jpeg: the crop as embedded (padded to the whole body), JPEG bytes.
        quality: the K part qualities the model gave it.
        visible: per part, the share 0..1 of its rows that lie inside the detector's box.
        score: how good the crop is as a picture (size, confidence, little overlap).
    """

    frame: int
    time: float
    box: Box
    jpeg: bytes
    quality: tuple[float, ...]
    visible: tuple[float, ...]
    score: float


@dataclass(frozen=True, slots=True, eq=False)
class Tracklet:
    """One finished (or long enough) track of one camera, pooled to one embedding (N = 1).

    `embedding` is None when no crop of the track was worth embedding.
    """

    track: int
    camera: str
    start: float
    end: float
    first: TrackPoint
    last: TrackPoint
    boxes: int
    embedding: PartEmbeddings | None
    exemplars: tuple[Exemplar, ...] = field(default=())


@dataclass(frozen=True, slots=True)
class LinkDecision:
    """What the matcher decided about one track; becomes one row of the append-only ledger.

    Attributes:
        track: the track decided about.
        identity: the identity the track belongs to from now on.
        action: `create` (like nobody known: a new identity), `link` (joined a known identity),
            `abstain` (too little shared evidence to tell: an identity of its own, `candidate`
            says whom it might be), `move` (a later look at all evidence changed its identity).
        time: capture time of the evidence that led to the decision, UTC seconds.
        candidate: the nearest identity that was considered, linked or not.
        distance: D of Eq. 15 to the candidate, 0..2.
        runner_up: D to the second nearest identity.
        support: sum_k q_k^p q_k^g of the pair that decided, on the scale of Eq. 2's denominator.
        threshold: the distance below which a link was allowed.
        reason: one plain sentence for a person who reads the ledger.
        matcher: name and version of the matcher.
    """

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
    matcher: str


@dataclass(frozen=True, slots=True)
class Rulings:
    """What people decided while a run goes on, for the matcher to heed.

    Attributes:
        moved: track -> the identity it has now, for tracks that people put somewhere since the
            last time. The ledger says so already.
        confirmed: identities with a track that a person confirmed: they keep their id, and two of
            them never become one.
        apart: (track, identity) never to be linked.
        distinct: (identity, identity) never to become one.
    """

    moved: Mapping[int, int]
    confirmed: frozenset[int]
    apart: frozenset[tuple[int, int]]
    distinct: frozenset[tuple[int, int]]
