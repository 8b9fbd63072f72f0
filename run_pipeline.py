"""The front door: `run_pipeline.py --cameras cams.yaml` runs; sub-commands do the rest.

The same program is installed as `crosscam` (where the main job is `crosscam run`).
Each room offers its commands in a light `commands.py`; whatever is slow to
import is imported inside the command, so that `--help` answers at once.
"""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version

ROOMS = ("pipeline", "reid", "storage", "investigation", "web")

EPILOG = """examples:
  crosscam demo                               four real cameras, then a contact sheet
  crosscam run --cameras cams.yaml            watch every camera in cams.yaml
  crosscam serve --store sqlite:///crosscam.db  live wall, search, replay in a browser
  crosscam check cams.yaml                    open every camera once and print a table
  crosscam export --store sqlite:///crosscam.db --format mot --out out/
  crosscam report --store sqlite:///crosscam.db --out report.html
  crosscam search --image photo.jpg           who looks like the person in a photo
  crosscam decide confirm --track 12 --identity 17 --reason "same rucksack"
  crosscam erase --identity 17 --reason "request"   remove somebody for good
  crosscam replay --identity 17 --out way.mp4 where somebody went, as an annotated clip
  crosscam case export 1 --out case-1.zip     clips, crops, ledger, report and their hashes
  crosscam watch run                          look at what is new for every watch, raise alerts
  crosscam hold add --camera gate --from T --to T --reason "theft"   keep this footage
  crosscam retention --dry-run                what recordings would go by age and room
  crosscam embed --images crops/ --out crops.npz

`run_pipeline.py --cameras cams.yaml` is `crosscam run --cameras cams.yaml`.
"""


def build_parser() -> argparse.ArgumentParser:
    """Collect the sub-commands of every room; imports nothing heavy."""
    parser = argparse.ArgumentParser(
        prog="crosscam",
        description="Find a person across many cameras, even half hidden.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--version", action="version", version=_version())
    parser.set_defaults(main=main)  # a command that is made of other commands calls them by it
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for room in ROOMS:
        importlib.import_module(f"{room}.commands").add_commands(commands)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; our own errors print one clear line."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    if arguments and arguments[0].startswith("--") and arguments[0] not in ("--help", "--version"):
        arguments.insert(0, "run")
    options = build_parser().parse_args(arguments)

    from reid.errors import CrosscamError

    try:
        return int(options.function(options))
    except CrosscamError as error:
        sys.stderr.write(f"crosscam: error: {error}\n")
        return 2
    except KeyboardInterrupt:
        sys.stderr.write("crosscam: stopped\n")
        return 130


def _version() -> str:
    try:
        return f"crosscam {version('crosscam')}"
    except PackageNotFoundError:
        return "crosscam (not installed)"


if __name__ == "__main__":
    sys.exit(main())
