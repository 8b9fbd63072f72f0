"""`crosscam hold`: the command line around `storage.footage.holds`. Light to import."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from storage.footage.holds import HoldRow

EPILOG = """examples:
  crosscam hold add --store sqlite:///crosscam.db --camera gate \\
      --from 2026-01-31T14:00:00Z --to 2026-01-31T15:00:00Z --reason "theft, report 17/26"
  crosscam hold add --all-cameras --from 2026-01-31T14:00:00Z --to 2026-01-31T15:00:00Z \\
      --reason "fire"
  crosscam hold list
  crosscam hold release 3 --reason "report 17/26 is closed"

What a hold covers is not deleted by retention until the hold is released. Times are ISO 8601;
without an offset they are UTC.
"""


def add_hold_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `hold` to the front door's parser."""
    parser = commands.add_parser(
        "hold",
        help="keep footage from being deleted, or let it go",
        description="Keep footage from being deleted by retention, or let it go again.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    add = actions.add_parser("add", help="place a hold")
    where = add.add_mutually_exclusive_group(required=True)
    where.add_argument("--camera", metavar="ID", help="whose footage")
    where.add_argument("--all-cameras", action="store_true", help="the footage of every camera")
    add.add_argument("--from", dest="start", metavar="TIME", required=True)
    add.add_argument("--to", dest="end", metavar="TIME", required=True)
    add.add_argument("--reason", required=True, help="why it is kept (goes into the audit trail)")
    add.add_argument("--case", type=int, metavar="N", help="the case it is for")
    shown = actions.add_parser("list", help="print the holds")
    shown.add_argument("--all", action="store_true", help="also those that were released")
    release = actions.add_parser("release", help="let a hold's footage go")
    release.add_argument("hold", type=int, metavar="N", help="number of the hold")
    release.add_argument("--reason", required=True, help="why (goes into the audit trail)")
    for action in (add, shown, release):
        add_store(action)
        add_media(action, "media folder (PostgreSQL)")
        action.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=_hold)


def _hold(options: argparse.Namespace) -> int:
    from investigation.asking import parse_time
    from storage.audit import note_from_terminal, person_at_terminal
    from storage.footage.holds import add_hold, holds, release_hold
    from storage.queries import StoreReader
    from storage.store import Store

    if options.action == "list":
        with StoreReader.open(options.store, options.media) as reader:
            note_from_terminal(options.store, "view", "holds")
            return _print(holds(reader, released=options.all), options.json)
    actor = person_at_terminal()
    with Store.open(options.store, options.media, create=False) as store:
        if options.action == "release":
            return _print([release_hold(store, options.hold, actor, options.reason)], options.json)
        start, end = parse_time(options.start, "--from"), parse_time(options.end, "--to")
        camera = None if options.all_cameras else options.camera
        hold = add_hold(store, camera, start, end, actor, options.reason, case=options.case)
        return _print([hold], options.json)


def _print(rows: list[HoldRow], as_json: bool) -> int:
    import json
    import sys

    from storage.models import iso_text

    def text(seconds: float | None) -> str | None:
        return None if seconds is None else iso_text(seconds)

    if as_json:
        data = [
            {
                "id": row.id,
                "camera": row.camera,
                "from": text(row.start),
                "to": text(row.end),
                "reason": row.reason,
                "case": row.case,
                "created": text(row.created),
                "by": row.actor,
                "released": text(row.released),
            }
            for row in rows
        ]
        json.dump(data, sys.stdout, indent=2)
        sys.stdout.write("\n")
        return 0
    for row in rows:
        where = "all cameras" if row.camera is None else f"camera {row.camera}"
        end = "" if row.released is None else f", released {text(row.released)}"
        sys.stdout.write(
            f"hold {row.id}: {where}, {text(row.start)} to {text(row.end)}, by {row.actor} "
            f"({row.reason}){end}\n"
        )
    if not rows:
        sys.stdout.write("no holds\n")
    return 0
