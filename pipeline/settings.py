"""Settings of the `pipeline` room: the detector, recording and the runtime."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from reid.settings import StrictModel


class DetectorSettings(StrictModel):
    """Which detector finds people, and how sure it must be."""

    name: str = Field(
        default="auto",
        title="Detector",
        description="Which detector to use; `auto` takes the first that is there and says which.",
    )
    weights: str | None = Field(
        default=None,
        title="Weights",
        description="Path or name of the detector's weights; empty takes the detector's own.",
    )
    confidence: float = Field(
        default=0.25,
        ge=0,
        le=1,
        title="Confidence",
        description="Boxes below this confidence are dropped before tracking.",
    )
    tiles: int = Field(
        default=0,
        ge=0,
        le=16,
        title="Tiles",
        description="Tiles looked at besides the full frame; 0 lets the detector choose.",
    )
    device: str = Field(
        default="auto",
        title="Device",
        description="`auto`, `cpu`, `cuda` or `cuda:N`.",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
    )


class RecordingSettings(StrictModel):
    """Keeping the cameras' own video. Not built yet, so it can only be off."""

    enabled: Literal[False] = Field(
        default=False,
        title="Recording",
        description="Only `false`: this version does not record video yet.",
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
