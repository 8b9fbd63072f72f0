"""`crosscam report`: the command line around `investigation.report`. Light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from storage.arguments import add_media, add_store

EPILOG = """examples:
  crosscam report --store sqlite:///crosscam.db --out report.html
  crosscam report --store sqlite:///crosscam.db --out report.html --run 3 --crops 4
  crosscam report --store postgresql://USER@HOST/DB --media media/ --out report.html

The page is one file: the pictures lie inside it, no script, nothing is loaded from elsewhere.
"""


def add_report(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `report` to the front door's parser."""
    parser = commands.add_parser(
        "report",
        help="write a contact sheet: each identity with its pictures and the evidence",
        description="Write a run's contact sheet as one HTML file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    add_media(parser)
    parser.add_argument("--out", type=Path, metavar="FILE", required=True, help="the HTML file")
    parser.add_argument(
        "--run",
        type=int,
        metavar="N",
        help="run to show (default: the latest finished one, else the latest)",
    )
    parser.add_argument(
        "--crops",
        type=int,
        default=2,
        metavar="N",
        help="pictures per track, at most (default: %(default)s)",
    )
    parser.add_argument(
        "--limit",
        type=int,
        default=500,
        metavar="N",
        help="identities on the page, at most (default: %(default)s)",
    )
    parser.set_defaults(function=report)


def report(options: argparse.Namespace) -> int:
    """`crosscam report`."""
    from rich.console import Console

    from investigation.report import write_report
    from reid.errors import ConfigError
    from storage.audit import note_from_terminal
    from storage.queries import StoreReader

    for name in ("crops", "limit"):
        if getattr(options, name) < 1:
            raise ConfigError(f"--{name} is {getattr(options, name)}; allowed: 1 or more")
    console = Console(highlight=False, soft_wrap=True)
    with StoreReader.open(options.store, options.media) as reader:
        run = reader.run(options.run).id
        about = {"format": "report", "out": str(options.out)}
        note_from_terminal(options.store, "export", f"run {run}", about)
        counts = write_report(reader, options.out, run, crops=options.crops, limit=options.limit)
    console.print(
        f"{options.out}: {counts.identities} identities, {counts.tracks} tracks, "
        f"{counts.links} links, {counts.abstentions} abstentions",
        markup=False,
    )
    return 0
