"""Settings of the `trackers` room: the single-camera tracker and the cross-camera matcher."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from reid.settings import StrictModel


class TrackerSettings(StrictModel):
    """The single-camera tracker."""

    kind: Literal["tracktrack", "bytetrack", "botsort", "ocsort"] = Field(
        default="tracktrack",
        title="Tracker",
        description="Which of Ultralytics' trackers: TrackTrack, ByteTrack, BoT-SORT or OC-SORT.",
    )
    high: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Sure",
        description="Detections at or above this confidence are matched as sure ones.",
    )
    low: float = Field(
        default=0.1,
        ge=0,
        le=1,
        title="Unsure",
        description="Detections between this and `high` only continue a track, never begin one.",
    )
    new: float = Field(
        default=0.6,
        ge=0,
        le=1,
        title="New track",
        description="A track begins only at or above this confidence.",
    )
    match: float = Field(
        default=0.9,
        gt=0,
        le=1,
        title="Match",
        description="Largest cost (1 - overlap, adjusted by confidence) at which a detection "
        "continues a track. Raise it where people move far between two frames.",
    )
    buffer: float = Field(
        default=1.0,
        ge=0,
        le=60,
        title="Buffer",
        description="Seconds that a lost track waits for its person to come back where its motion "
        "predicts them. Longer absences are the matcher's work: it looks at the person.",
    )
    min_hits: int = Field(
        default=3,
        ge=1,
        le=100,
        title="Smallest number of hits",
        description="Frames in a row that must show a person before a track is believed (only "
        "`tracktrack`; the others take 2).",
    )
    fuse_score: bool = Field(
        default=True,
        title="Fuse score",
        description="Weigh overlap by confidence (`bytetrack`, `botsort`, `ocsort`).",
    )
    moving_camera: bool = Field(
        default=False,
        title="Moving camera",
        description="Estimate the camera's own motion in every frame (`tracktrack`, `botsort`): "
        "slow, and of no use for a camera on a wall.",
    )
    fill: float = Field(
        default=1.0,
        ge=0,
        le=60,
        title="Fill",
        description="Gaps of at most this many seconds in a track are filled with boxes on the "
        "straight line between both ends; 0 fills none.",
    )

    @model_validator(mode="after")
    def _ordered(self) -> Self:
        """Thresholds must rise from `low` over `high` to `new`."""
        if not self.low <= self.high <= self.new:
            raise ValueError(
                f"low ({self.low}) <= high ({self.high}) <= new ({self.new}) is needed"
            )
        return self


class MatchingSettings(StrictModel):
    """The cross-camera matcher."""

    enabled: bool = Field(
        default=True, title="Matching", description="Link tracks over cameras to identities."
    )
    same_camera: bool = Field(
        default=False,
        title="Same camera",
        description="`true` links two tracks of one camera by their looks alone. `false` leaves "
        "that to the tracker, which saw the motion between them, unless a track of another camera "
        "stands between the two.",
    )
    threshold: float | None = Field(
        default=None,
        ge=0,
        le=2,
        title="Threshold",
        description="Mean distance (Eq. 15, 0..2) below which tracks are linked. Empty: the value "
        "that was calibrated for the model on held-out training identities.",
    )
    possible: float | None = Field(
        default=None,
        ge=0,
        le=2,
        title="Possible",
        description="Between the threshold and this distance nobody is linked, but the ledger "
        "says who it may be: an abstention. Empty: the value calibrated with the threshold.",
    )
    recency: float = Field(
        default=0.055,
        ge=0,
        le=1,
        title="Recency",
        description="How much the threshold sinks for every factor e of seconds since the person "
        "was last seen, from one second on: others have come by meanwhile. The default was fitted "
        "by logistic regression on held-out Market-1501 identities (`benchmarks/market_links.py`).",
    )
    recency_limit: float = Field(
        default=0.15,
        ge=0,
        le=2,
        title="Recency limit",
        description="The threshold sinks by this much at most, however long ago it was.",
    )
    margin: float = Field(
        default=0.02,
        ge=0,
        le=1,
        title="Margin",
        description="A link is refused as ambiguous when another identity that cannot be the same "
        "person is nearer than this to the best one.",
    )
    min_support: float = Field(
        default=0.5,
        ge=0,
        le=1,
        title="Smallest shared support",
        description="Share 0..1 of the two tracks' evidence that shows the same body parts (cosine "
        "of their part qualities). Below it the matcher abstains: too little in common to tell.",
    )
    gamma: float | None = Field(
        default=None,
        ge=0,
        le=1,
        title="gamma",
        description="Share of the part distance in Eq. 15. Empty: the model's own.",
    )
    top_n: int = Field(
        default=30,
        ge=1,
        le=1000,
        title="n",
        description="Nearest tracks by Eq. 2 that are scored again by Eq. 15.",
    )
    interval: float = Field(
        default=5.0,
        gt=0,
        le=3600,
        title="Interval",
        description="Seconds of capture time between two decisions on finished tracks.",
    )
    early: float = Field(
        default=10.0,
        gt=0,
        le=3600,
        title="First look",
        description="A track that lasts is matched first after this many seconds, before it ends.",
    )
    max_speed: float = Field(
        default=3.0,
        gt=0,
        le=100,
        title="Walking speed",
        description="Metres per second at most between two places that have map coordinates: "
        "nobody is in two distant places at one time.",
    )
    view_reach: float = Field(
        default=40.0,
        ge=0,
        le=10000,
        title="View reach",
        description="Metres that two cameras' views together may reach towards each other, beyond "
        "the distance of their coordinates.",
    )
    max_image_speed: float = Field(
        default=4.0,
        gt=0,
        le=1000,
        title="Speed in the picture",
        description="Body heights per second at most between two tracks of one camera.",
    )
    overlap_tolerance: float = Field(
        default=0.3,
        ge=0,
        le=60,
        title="Overlap tolerance",
        description="Seconds that two tracks of one camera may overlap and still be one person "
        "(a tracker that hands over).",
    )
    window: float = Field(
        default=86400.0,
        gt=0,
        le=2592000,
        title="Window",
        description="Seconds of capture time that the matcher looks back: clothes change.",
    )
    gallery: int = Field(
        default=2000,
        ge=10,
        le=20000,
        title="Gallery",
        description="Tracklets held for matching at most; the oldest leave first (they stay in "
        "the store).",
    )
