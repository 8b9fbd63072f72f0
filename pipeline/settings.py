"""Settings of the `pipeline` room: recording and the runtime."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from reid.settings import StrictModel


class RecordingSettings(StrictModel):
    """Keeping the cameras' own video. Not built yet, so it can only be off."""

    enabled: bool = Field(
        default=False,
        title="Recording",
        description="Only `false`: this version does not record video yet.",
    )

    @field_validator("enabled")
    @classmethod
    def _not_yet(cls, enabled: bool) -> bool:
        if enabled:
            raise ValueError("this version does not record video yet; only false is allowed")
        return enabled


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
