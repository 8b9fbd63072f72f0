"""`crosscam retention`: the command line around `storage.footage.retention`. Light to import."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arguments import STORE_VARIABLE, store_url

if TYPE_CHECKING:
    from storage.footage.retention import RetentionReport

EPILOG = """examples:
  crosscam retention --store sqlite:///crosscam.db --pipeline pipeline.yaml --dry-run
      what would go by the limits of pipeline.yaml (recording.keep_...)
  crosscam retention --store sqlite:///crosscam.db --keep-days 30 --keep-gigabytes 500

A run that records does this by itself every minute. What an open case or a hold protects stays.
"""


def add_retention_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `retention` to the front door's parser."""
    parser = commands.add_parser(
        "retention",
        help="delete recordings that are too old or too many",
        description="Delete recordings by age and by room, oldest first, and finish what a crash "
        "left half done.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--store",
        metavar="URL",
        help=f"store URL; overrides that of pipeline.yaml (default: ${STORE_VARIABLE})",
    )
    parser.add_argument("--media", type=Path, metavar="DIR", help="media folder (PostgreSQL)")
    parser.add_argument(
        "--pipeline", type=Path, help="pipeline.yaml with the limits (default: no limit)"
    )
    for option, what in (
        ("--keep-days", "days after its capture that a recording goes"),
        ("--keep-gigabytes", "room for all recordings"),
        ("--keep-free", "gigabytes left free on the disk"),
    ):
        text = f"{what}; overrides recording.{option[2:].replace('-', '_')}"
        parser.add_argument(option, type=float, metavar="N", help=text)
    parser.add_argument("--dry-run", action="store_true", help="only say what would be done")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=_retention)


def _retention(options: argparse.Namespace) -> int:
    import logging

    from pipeline.config import load_pipeline
    from pipeline.recorder import repair
    from reid.errors import ConfigError, StoreError
    from storage.engine import parse_url, sqlite_path
    from storage.footage.retention import enforce
    from storage.store import Store

    logging.basicConfig(level="WARNING", format="%(message)s")
    config = load_pipeline(options.pipeline)
    limits: dict[str, float | None] = {}
    for name in ("keep_days", "keep_gigabytes", "keep_free"):
        value = limits[name] = getattr(options, name)
        if value is not None and not 0 < value < 1e9:
            raise ConfigError(f"--{name.replace('_', '-')} is {value:g}; allowed: above 0")
        # A site's limits are in its pipeline.yaml: the built-in ones must not go for them.
        if value is None and options.pipeline is not None:
            limits[name] = getattr(config.recording, name)
    url = store_url(options.store, config.store.url)
    path = sqlite_path(parse_url(url))
    if path is not None and not path.exists():
        raise StoreError(f"store {url}: there is no file {path}")
    with Store.open(url, options.media or config.store.media, config.store) as store:
        if not options.dry_run:
            repair(store)
        report = enforce(
            store,
            keep_days=limits["keep_days"],
            keep_gigabytes=limits["keep_gigabytes"],
            keep_free=limits["keep_free"] or 0.0,
            margin=config.recording.segment,
            dry_run=options.dry_run,
        )
    if options.json:
        _print_json(report)
    else:
        _print(report, limits)
    return 0


def _print(report: RetentionReport, limits: Mapping[str, float | None]) -> None:
    from rich.console import Console

    console = Console(highlight=False, soft_wrap=True, markup=False)
    units = {
        "keep_days": "days",
        "keep_gigabytes": "GB for all recordings",
        "keep_free": "GB free on the disk",
    }
    said = [f"{limits[name]:g} {unit}" for name, unit in units.items() if limits[name]]
    console.print(f"limits: {', '.join(said) or 'none'}")
    would = "would delete" if report.dry_run else "deleted"
    console.print(
        f"{would} {len(report.deleted)} recordings, {report.bytes / 1e9:.3f} GB; "
        f"{report.left / 1e9:.3f} GB stay"
    )
    if report.protected:
        console.print(
            f"{report.protected / 1e9:.3f} GB beyond the limits stay: a case or a hold protects "
            "them, or they are being written"
        )
    for row, why in report.deleted:
        console.print(f"  {row.camera} {_iso(row.start)} to {_iso(row.end)} ({why})")
    found = report.sweep
    if found is None:
        return
    for text, names in (
        ("files whose deletion a crash broke off, now finished", found.finished),
        ("files whose deletion was never decided, restored", found.restored),
        ("recordings whose file is gone; their rows are removed", found.missing),
        ("files that belong to no recording of this store; they stay", found.unknown),
    ):
        if names:
            console.print(f"{text}: {len(names)}")
    if found.unmounted:
        console.print("none of the recordings is in the media folder: is its disk mounted?")


def _print_json(report: RetentionReport) -> None:
    import json
    import sys

    found = report.sweep
    data = {
        "dry_run": report.dry_run,
        "deleted": [
            {
                "id": row.id,
                "camera": row.camera,
                "start": _iso(row.start),
                "end": _iso(row.end),
                "bytes": row.bytes,
                "file": str(row.path),
                "because": why,
            }
            for row, why in report.deleted
        ],
        "bytes": report.bytes,
        "left": report.left,
        "protected": report.protected,
        "finished": [str(p) for p in found.finished] if found else [],
        "restored": [str(p) for p in found.restored] if found else [],
        "missing": list(found.missing) if found else [],
        "unknown": [str(p) for p in found.unknown] if found else [],
    }
    json.dump(data, sys.stdout, indent=2)
    sys.stdout.write("\n")


def _iso(seconds: float) -> str:
    """UTC seconds as text."""
    from storage.models import iso_text

    return iso_text(seconds)
