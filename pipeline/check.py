"""`crosscam check cams.yaml`: open every enabled camera once and say how it is.

Light to import: what looks at cameras is in `probe.py`.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

EPILOG = """examples:
  crosscam check cams.yaml
  FRONT_PASSWORD=... crosscam check configs/cams.example.yaml

The exit code is 0 if every enabled camera gave a picture, 1 if one did not,
2 if cams.yaml itself is wrong.
"""


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
    from pipeline.probe import probe_all, table

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
