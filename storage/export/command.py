"""`crosscam export`: the command line around `storage.export.files`. Light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from storage.arguments import add_store

EPILOG = """examples:
  crosscam export --store sqlite:///crosscam.db --format mot --out mot/
      one MOTChallenge file per camera: frame,id,left,top,width,height,confidence,-1,-1,-1
      (frames from 1; id is the identity over all cameras)
  crosscam export --store sqlite:///crosscam.db --format parquet --out tables/ --run 3
      sightings.parquet, boxes.parquet and ledger.parquet of run 3
"""


def add_export(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `export` to the front door's parser."""
    parser = commands.add_parser(
        "export",
        help="write a run as MOTChallenge, Parquet or CSV files",
        description="Write a run of a store as files for other tools.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_store(parser)
    parser.add_argument("--format", choices=("mot", "parquet", "csv"), required=True)
    parser.add_argument("--out", type=Path, metavar="DIR", required=True, help="folder to write")
    parser.add_argument(
        "--run",
        type=int,
        metavar="N",
        help="run to export (default: the latest finished one, else the latest)",
    )
    parser.set_defaults(function=_export)


def _export(options: argparse.Namespace) -> int:
    from rich.console import Console

    from storage.audit import note_from_terminal
    from storage.export.files import export
    from storage.models import iso_text
    from storage.queries import StoreReader

    console = Console(highlight=False, soft_wrap=True)
    with StoreReader.open(options.store) as reader:
        run = reader.run(options.run)
        which = "finished one" if run.status == "finished" else f"one, {run.status}"
        latest = f" (the latest {which})" if options.run is None else ""
        console.print(
            f"run {run.id}{latest}, started {iso_text(run.started)}, {run.status}", markup=False
        )
        about = {"format": options.format, "out": str(options.out)}
        note_from_terminal(options.store, "export", f"run {run.id}", about)
        report = export(reader, options.format, options.out, run.id)
    for path, rows in report.files.items():
        console.print(f"{path}: {rows} rows", markup=False)
    if report.duplicates:
        console.print(
            f"warning: {report.duplicates} boxes left out: their identity had a more confident "
            "box in the same camera and frame"
        )
    if report.unlinked_tracks:
        console.print(
            f"warning: {report.unlinked_tracks} tracks ({report.unlinked_boxes} boxes) left out: "
            "no identity was decided for them"
        )
    return 0
