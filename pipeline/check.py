"""`crosscam check cams.yaml`: open every enabled camera once and say how it is."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.table import Table

    from pipeline.config import CameraConfig
    from pipeline.decode import StreamInfo

EPILOG = """examples:
  crosscam check cams.yaml
  FRONT_PASSWORD=... crosscam check configs/cams.example.yaml

The exit code is 0 if every enabled camera gave a picture, 1 if one did not,
2 if cams.yaml itself is wrong.
"""


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


def add_check_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `check` to the front door's parser."""
    parser = commands.add_parser(
        "check",
        help="open every camera of cams.yaml once and print a table",
        description="Open every enabled camera, decode one picture, and print a table.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("cameras", type=Path, metavar="cams.yaml", help="the cameras' file")
    parser.set_defaults(function=check)


def check(options: argparse.Namespace) -> int:
    """Run `crosscam check`; returns the exit code."""
    from rich.console import Console

    from pipeline.config import load_cameras

    config = load_cameras(options.cameras)
    probes = probe_all(config.enabled)
    console = Console()
    if not sys.stdout.isatty():  # a log or a pipe: nothing may be cut off
        console = Console(width=max(console.width, 200))
    console.print(table(probes))
    left_out = len(config.cameras) - len(config.enabled)
    good = sum(p.error is None for p in probes)
    console.print(
        f"{good} of {len(probes)} cameras give pictures"
        + (f"; {left_out} disabled" if left_out else "")
    )
    return 0 if good == len(probes) else 1


def probe_all(cameras: Sequence[CameraConfig]) -> list[Probe]:
    """Probe all cameras side by side, each within its own time-outs."""
    with ThreadPoolExecutor(max_workers=max(1, min(32, len(cameras)))) as pool:
        return list(pool.map(probe, cameras))


def probe(camera: CameraConfig) -> Probe:
    """Open one camera and decode its first picture."""
    from pipeline.decode import open_source
    from reid.errors import SourceError

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
    from rich.table import Table
    from rich.text import Text

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
