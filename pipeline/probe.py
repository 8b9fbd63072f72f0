"""A look at each camera: does it open, and what does it give?"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime

from rich.table import Table
from rich.text import Text

from pipeline.config import CameraConfig
from pipeline.decode import open_source
from pipeline.pictures import StreamInfo
from reid.errors import SourceError


@dataclass(frozen=True, slots=True)
class Probe:
    """What a look at one camera found. `error` is None if it gave a picture.

    Attributes:
        camera: the camera's id.
        url: its address, redacted.
        info: what the stream says about itself, if it could be opened.
        first: capture time of the first picture, UTC seconds.
        error: why there is no picture.
    """

    camera: str
    url: str
    info: StreamInfo | None
    first: float | None
    error: str | None


def probe_all(cameras: Sequence[CameraConfig]) -> list[Probe]:
    """Probe all cameras side by side, each within its own time-outs."""
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(cameras)))) as pool:
        return list(pool.map(probe, cameras))


def probe(camera: CameraConfig) -> Probe:
    """Open one camera and decode its first picture."""
    info: StreamInfo | None = None
    try:
        source = open_source(camera)
        try:
            info = source.info
            for picture in source.pictures(float("-inf")):
                height, width = picture.image().shape[:2]
                first = picture.time
                info = replace(info, width=width, height=height)
                return Probe(camera.id, str(camera.url), info, first, None)
            error = "gave no picture"
        finally:
            source.close()
    except SourceError as problem:
        prefix = f"camera {camera.id} ({camera.url}): "
        error = str(problem).removeprefix(prefix)
    return Probe(camera.id, str(camera.url), info, None, error)


def table(probes: Sequence[Probe]) -> Table:
    """Draw the table that `crosscam check` prints."""
    result = Table(title="Cameras")
    for heading in ("camera", "address", "codec", "size", "fps", "first picture (UTC)", "state"):
        result.add_column(heading, overflow="fold")
    for p in probes:
        info = p.info
        first = (
            "" if p.first is None else f"{datetime.fromtimestamp(p.first, UTC):%Y-%m-%d %H:%M:%S}"
        )
        if info is not None and info.start_from:
            first += f"\n({info.start_from})"
        result.add_row(
            p.camera,
            Text(p.url),
            info.codec if info else "",
            f"{info.width}x{info.height}" if info else "",
            f"{info.frame_rate:g}" if info and info.frame_rate else "",
            first,
            Text("ok", style="green") if p.error is None else Text(p.error, style="red"),
        )
    return result
