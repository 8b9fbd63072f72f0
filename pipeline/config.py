"""`cams.yaml` and `pipeline.yaml`: what they may hold, and how they are read."""

from __future__ import annotations

import os
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    AwareDatetime,
    Field,
    PlainSerializer,
    PlainValidator,
    model_validator,
)
from pydantic import ValidationInfo as Info

from detectors.settings import DetectorSettings
from pipeline.redact import SourceUrl
from pipeline.settings import RecordingSettings, RuntimeSettings
from pipeline.yamlfile import Document, fill, read_yaml, validate
from reid.errors import ConfigError
from reid.settings import EmbeddingSettings, StrictModel
from storage.settings import StoreSettings
from trackers.settings import MatchingSettings, TrackerSettings


def _read_url(value: object, info: Info) -> SourceUrl:
    if isinstance(value, SourceUrl):
        return value
    if not isinstance(value, str):
        raise ValueError(f"should be text; allowed: {SourceUrl.ALLOWED}")
    context: Mapping[str, Any] = info.context or {}
    return SourceUrl(value, context.get("shown", {}).get(value), context.get("folder"))


Url = Annotated[SourceUrl, PlainValidator(_read_url), PlainSerializer(str)]
Share = Annotated[float, Field(ge=0, le=1, allow_inf_nan=False)]
Polygon = Annotated[tuple[tuple[Share, Share], ...], Field(min_length=3, max_length=256)]
Metres = Annotated[float, Field(ge=-1e6, le=1e6, allow_inf_nan=False)]
FIRST_MOMENT = datetime(1970, 1, 1, tzinfo=UTC)
# The store keeps moments up to the end of 9999; a file may be a year long.
LAST_START = datetime(9999, 1, 1, tzinfo=UTC)


def _in_bounds(start: datetime) -> datetime:
    if not FIRST_MOMENT <= start < LAST_START:
        raise ValueError("should be in the years 1970 to 9998, UTC")
    return start


StartTime = Annotated[AwareDatetime, AfterValidator(_in_bounds)]
Seconds = Annotated[float, Field(gt=0, le=3600, allow_inf_nan=False)]


class Place(StrictModel):
    """Where a camera stands."""

    name: str = Field(
        default="", max_length=200, title="Name", description="The place's name, for people."
    )
    x: Metres | None = Field(
        default=None, title="Map x", description="Metres to the east on a map of the site."
    )
    y: Metres | None = Field(
        default=None, title="Map y", description="Metres to the north on a map of the site."
    )

    @model_validator(mode="after")
    def _both_or_none(self) -> Place:
        if (self.x is None) != (self.y is None):
            raise ValueError("x and y belong together: give both or none")
        return self


class CameraConfig(StrictModel):
    """One camera, or one video file."""

    id: str = Field(
        min_length=1,
        max_length=64,
        pattern=r"^[A-Za-z0-9_][A-Za-z0-9_.-]*$",
        title="Id",
        description="Unique name of the camera: letters, digits, `_`, `.` and `-`.",
    )
    url: Url = Field(
        title="Address",
        description="`rtsp://`, `rtsps://`, `http://`, `https://`, a file's path (relative to the "
        "YAML file), or a device such as `/dev/video0` or `device:0`. `${NAME}` takes a value "
        "from the environment; passwords are never shown.",
    )
    enabled: bool = Field(
        default=True, title="Enabled", description="`false` leaves the camera out of the run."
    )
    start_time: StartTime | None = Field(
        default=None,
        title="Start time",
        description="Files only: when the first picture was taken, ISO 8601 with its zone, such "
        "as `2024-05-01T08:00:00+02:00`, in the years 1970 to 9998. Empty: from the file's "
        "metadata (`creation_time`), else the time the file was last modified.",
    )
    max_fps: float | None = Field(
        default=None,
        gt=0,
        le=1000,
        allow_inf_nan=False,
        title="Frame-rate cap",
        description="Pictures a second that are looked at, at most; empty takes all.",
    )
    zones: tuple[Polygon, ...] = Field(
        default=(),
        max_length=64,
        title="Zones",
        description="Polygons of `[x, y]` points in shares 0..1 of the picture, origin at the top "
        "left. Only people whose feet stand in a zone count; empty is the whole picture.",
    )
    masks: tuple[Polygon, ...] = Field(
        default=(),
        max_length=64,
        title="Masks",
        description="Polygons, as in `zones`. People whose feet stand in a mask do not count.",
    )
    place: Place = Field(
        default=Place(), title="Place", description="Where the camera stands: `name`, `x`, `y`."
    )
    record: bool = Field(
        default=True,
        title="Record",
        description="Keep this camera's video, where `recording.enabled` is true. A device has no "
        "packets to keep: it needs `false` then.",
    )
    transport: Literal["tcp", "udp"] = Field(
        default="tcp", title="Transport", description="How RTSP carries the video."
    )
    live: bool | None = Field(
        default=None,
        title="Live",
        description="HTTP only: `true` a live stream, `false` a recording; empty: a recording if "
        "the stream says how long it is. RTSP and devices are live, files are not.",
    )
    open_timeout: Seconds = Field(
        default=10.0, title="Open time-out", description="Seconds to wait for a connection."
    )
    read_timeout: Seconds = Field(
        default=10.0,
        title="Read time-out",
        description="Seconds without data, or of a live camera without a picture, that mean a "
        "stall. The first picture may take three times as long: raise it for a camera that sends "
        "a key frame less than every 30 seconds.",
    )
    reconnect_min: Seconds = Field(
        default=1.0,
        title="First pause",
        description="Live only: seconds before the first new attempt; doubles every time.",
    )
    reconnect_max: Seconds = Field(
        default=60.0, title="Longest pause", description="Live only: the pause grows up to this."
    )
    give_up_after: Annotated[float, Field(gt=0, le=31_536_000, allow_inf_nan=False)] | None = Field(
        default=None,
        title="Give up after",
        description="Live only: seconds without a picture after which a lost camera no longer "
        "keeps the run alive; empty: never. One that was never reached does not keep it alive.",
    )

    @model_validator(mode="after")
    def _fits_together(self) -> CameraConfig:
        if self.reconnect_min > self.reconnect_max:
            raise ValueError(
                f"reconnect_min {self.reconnect_min} is above reconnect_max {self.reconnect_max}"
            )
        if self.start_time is not None and (self.live or self.url.kind in ("rtsp", "device")):
            raise ValueError("start_time is for files; a live camera has its own clock")
        if self.live is not None and self.url.kind != "http":
            raise ValueError(f"live is for HTTP addresses, and this is a {self.url.kind}")
        for name, polygons in (("zones", self.zones), ("masks", self.masks)):
            for index, polygon in enumerate(polygons):
                if _area(polygon) < 1e-6:
                    raise ValueError(f"{name}[{index}] has no area")
        return self


def _area(polygon: tuple[tuple[float, float], ...]) -> float:
    """Area by the shoelace formula, as a share of the picture."""
    pairs = zip(polygon, polygon[1:] + polygon[:1], strict=True)
    return abs(sum(ax * by - bx * ay for (ax, ay), (bx, by) in pairs)) / 2


class CamerasConfig(StrictModel):
    """All of `cams.yaml`."""

    cameras: tuple[CameraConfig, ...] = Field(
        min_length=1,
        max_length=4096,
        title="Cameras",
        description="A list of cameras, or a mapping from id to camera.",
    )

    @property
    def enabled(self) -> tuple[CameraConfig, ...]:
        """The cameras that take part."""
        return tuple(c for c in self.cameras if c.enabled)


class PipelineConfig(StrictModel):
    """All of `pipeline.yaml`; every section and key may be left out."""

    detector: DetectorSettings = Field(
        default=DetectorSettings(), title="Detector", description="Finds people in a frame."
    )
    tracker: TrackerSettings = Field(
        default=TrackerSettings(), title="Tracker", description="Follows them on one camera."
    )
    embedding: EmbeddingSettings = Field(
        default=EmbeddingSettings(), title="Embedding", description="Describes them (QPM)."
    )
    matching: MatchingSettings = Field(
        default=MatchingSettings(), title="Matching", description="Links them over cameras."
    )
    recording: RecordingSettings = Field(
        default=RecordingSettings(), title="Recording", description="Keeps the cameras' video."
    )
    store: StoreSettings = Field(
        default=StoreSettings(), title="Store", description="Where the results go."
    )
    runtime: RuntimeSettings = Field(
        default=RuntimeSettings(),
        title="Runtime",
        description="Batches, queues, logging, live pictures.",
    )


def load_cameras(path: Path, environ: Mapping[str, str] | None = None) -> CamerasConfig:
    """Read `cams.yaml`.

    Args:
        path: the YAML file; relative video files start from its folder.
        environ: where `${NAME}` comes from; the process's environment if not given.

    Raises:
        ConfigError: every problem on a line of its own: file, line, key, value, what is allowed.
    """
    document = read_yaml(path)
    document = _as_list(document)
    data, shown = fill(document, os.environ if environ is None else environ)
    context = {"shown": shown, "folder": path.parent.absolute()}
    config = validate(CamerasConfig, document, data, context)
    _check_ids(document, config)
    if not config.enabled:
        raise ConfigError(f"{path}: every camera is disabled; set `enabled: true` on one")
    return config


def load_pipeline(path: Path | None, environ: Mapping[str, str] | None = None) -> PipelineConfig:
    """Read `pipeline.yaml`, or take the defaults if `path` is None.

    Raises:
        ConfigError: every problem on a line of its own: file, line, key, value, what is allowed.
    """
    if path is None:
        return PipelineConfig()
    document = read_yaml(path)
    data, _ = fill(document, os.environ if environ is None else environ)
    return validate(PipelineConfig, document, {} if data is None else data)


def _as_list(document: Document) -> Document:
    """Turn a mapping from id to camera into the list that the model takes."""
    data = document.data
    cameras = data.get("cameras") if isinstance(data, dict) else None
    if not isinstance(cameras, dict):
        return document
    rows: list[Any] = []
    lines = dict(document.lines)
    for index, (name, camera) in enumerate(cameras.items()):
        if not isinstance(camera, dict):
            raise ConfigError(
                f"{document.where(('cameras', str(name)))}: should be a mapping with `url`"
            )
        if "id" in camera:
            raise ConfigError(
                f"{document.where(('cameras', str(name), 'id'))}: the id is the key {name!r} "
                "already; leave it out"
            )
        rows.append({"id": str(name), **camera})
        for key, line in document.lines.items():
            if key[:2] == ("cameras", str(name)):
                lines[("cameras", index, *key[2:])] = line
    return Document(document.path, {**data, "cameras": rows}, lines)


def _check_ids(document: Document, config: CamerasConfig) -> None:
    """Refuse two cameras with one id, also where only upper and lower case differ."""
    seen: dict[str, int] = {}
    problems = []
    for index, camera in enumerate(config.cameras):
        first = seen.setdefault(camera.id.lower(), index)
        if first != index:
            problems.append(
                f"{document.where(('cameras', index, 'id'))}: {camera.id!r}: two cameras have "
                f"this id (the other is cameras[{first}]); ids must be unique"
            )
    if problems:
        raise ConfigError("\n".join(problems))
