"""Settings of the `web` room."""

from __future__ import annotations

from zoneinfo import ZoneInfo

from pydantic import Field

from reid.settings import StrictModel

MEBIBYTE = 1024 * 1024


class WebSettings(StrictModel):
    """How the pages are served and how long a sign-in lasts."""

    host: str = Field(
        default="127.0.0.1",
        title="Address to listen on",
        description="`127.0.0.1` is this machine alone.",
    )
    port: int = Field(default=8800, ge=0, le=65535, title="Port", description="0: any free one.")
    base_url: str | None = Field(
        default=None,
        pattern=r"^https?://[^/\s]+/?$",
        title="Address for people",
        description="What people type, where a proxy stands in front (`https://cameras.example`). "
        "With https the cookie is sent over https alone, and X-Forwarded-For is believed from "
        "this machine.",
    )
    allowed_hosts: tuple[str, ...] = Field(
        default=(),
        title="Host names",
        description="Names by which this server may be called, beside localhost, its own address "
        "and that of `base_url`; numeric addresses are always allowed.",
    )
    time_zone: ZoneInfo = Field(
        default=ZoneInfo("UTC"),
        title="Time zone",
        description="In which pages show and take times, by its IANA name (`Europe/Berlin`). "
        "Programs, exports and the command line stay with UTC.",
    )
    session_idle: float = Field(
        default=3600,
        ge=1,
        title="Idle time",
        description="Seconds after which an unused session is over; an open live wall is use.",
    )
    session_longest: float = Field(
        default=12 * 3600,
        ge=1,
        title="Longest session",
        description="Seconds after which one has to sign in again in any case.",
    )
    link_hours: float = Field(
        default=24, gt=0, title="One-time links", description="Hours that they are valid."
    )
    upload_limit: int = Field(
        default=30 * MEBIBYTE,
        ge=1024,
        title="Upload limit",
        description="Bytes of a request, at most, from somebody who is signed in.",
    )
    weights: str = Field(
        default="default",
        min_length=1,
        title="Model",
        description="`default` or a model file; has to be the model of the store's embeddings.",
    )
    detector: str = Field(
        default="auto",
        min_length=1,
        title="Detector",
        description="Finds people in photos; as `detector.name` of pipeline.yaml.",
    )
    device: str = Field(
        default="auto",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
        title="Device",
        description="Of the model: `auto`, `cpu`, `cuda` or `cuda:N`.",
    )
    password_time: int = Field(
        default=3, ge=1, title="argon2 passes", description="Lower it in tests alone."
    )
    password_memory: int = Field(
        default=65536,
        ge=32,  # 8 KiB for each of the four lanes
        title="argon2 memory",
        description="KiB for each hash. Lower it in tests alone.",
    )

    @property
    def secure(self) -> bool:
        """True if people come over https."""
        return self.base_url is not None and self.base_url.startswith("https:")

    @property
    def cookie(self) -> str:
        """Name of the session's cookie; browsers refuse `__Host-` over plain http."""
        return "__Host-crosscam" if self.secure else "crosscam"
