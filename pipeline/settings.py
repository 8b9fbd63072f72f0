"""Settings of the `pipeline` room: recording and the runtime."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reid.settings import StrictModel


class RecordingSettings(StrictModel):
    """Keeping the cameras' own video: packets are copied into files, never re-encoded."""

    enabled: bool = Field(
        default=False,
        title="Recording",
        description="Keep the video of every camera whose `record` is true, in the folder "
        "`recordings` of the media folder.",
    )
    segment: float = Field(
        default=60.0,
        ge=2,
        le=3600,
        allow_inf_nan=False,
        title="Segment",
        description="Seconds of video in one file; it is cut at the next key frame.",
    )
    keep_days: float | None = Field(
        default=None,
        gt=0,
        le=36_500,
        allow_inf_nan=False,
        title="Keep days",
        description="Days after its capture that a recording is deleted; empty: never for its "
        "age. Files whose pictures are older than that are not recorded at all. What an open case "
        "or a hold protects stays.",
    )
    keep_gigabytes: float | None = Field(
        default=100.0,
        gt=0,
        le=1e9,
        allow_inf_nan=False,
        title="Keep gigabytes",
        description="Room for all recordings of the store (10^9 bytes); beyond it the oldest go "
        "first, over all cameras. Empty: no limit. What an open case or a hold protects stays, "
        "and counts.",
    )
    keep_free: float = Field(
        default=2.0,
        ge=0,
        le=1e9,
        allow_inf_nan=False,
        title="Keep free",
        description="Gigabytes (10^9 bytes) left free on the disk of the media folder, or a "
        "twentieth of a small disk: the oldest recordings go for it, as for the limits above. "
        "With less than half of it left nothing is recorded, for a full disk would end the run.",
    )


class RuntimeSettings(StrictModel):
    """How the stages are fed, and what is logged."""

    batch: int = Field(
        default=8,
        ge=1,
        le=256,
        title="Batch",
        description="Frames, over all cameras, that go through the stages together, at most.",
    )
    queue: int = Field(
        default=8,
        ge=1,
        le=1024,
        title="Queue",
        description="Decoded frames that wait per file camera, at most (memory: frames x size). "
        "A live camera always holds one, the newest.",
    )
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        default="info", title="Log level", description="The least important message that is logged."
    )
    live_pictures: bool = Field(
        default=True,
        title="Live pictures",
        description="Keep each camera's newest picture as a small file in the media folder's "
        "`live`, once a second, for the live wall; it is removed when the run ends.",
    )
