"""`crosscam case`: folders of evidence, and their export as one ZIP. Light to import."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from storage.queries import StoreReader

EPILOG = """examples:
  crosscam case create "Missing child, east gate" --reason "report 17/26"
  crosscam case add 1 --identity 17 --note "red jacket"
  crosscam case add 1 --camera gate --from 2026-01-31T14:08:00Z --to 2026-01-31T14:12:00Z
  crosscam case list
  crosscam case show 1
  crosscam case export 1 --out case-1.zip --blur-others --reason "for the prosecutor"
  crosscam case verify case-1.zip --store sqlite:///crosscam.db
  crosscam case close 1 --reason "found"

While a case is open, retention keeps the footage of what is in it. The ZIP holds clips, crops,
ledger, a report and the SHA-256 of each file; `verify` compares them, and with --store also looks
the ZIP itself up in the audit trail. Every step is written there. `verify` exits with 1 if
anything was changed.
"""


def add_case(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `case` to the front door's parser."""
    parser = commands.add_parser(
        "case",
        help="collect evidence in a case, export it as one ZIP, check such a ZIP",
        description="Collect evidence in a case and hand it over.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    create = actions.add_parser("create", help="open a case")
    create.add_argument("name", help="what it is about")
    create.add_argument("--reason", required=True, metavar="TEXT", help="why")
    add = actions.add_parser("add", help="put a track, an identity or a stretch of footage in")
    add.add_argument("case", type=int, metavar="CASE")
    what = add.add_mutually_exclusive_group(required=True)
    what.add_argument("--track", type=int, metavar="N", help="a track")
    what.add_argument("--identity", type=int, metavar="N", help="an identity")
    what.add_argument("--camera", metavar="ID", help="this camera's footage: --from, --to")
    add.add_argument("--from", dest="start", metavar="TIME", help="with --camera")
    add.add_argument("--to", dest="end", metavar="TIME", help="with --camera")
    add.add_argument("--note", default="", metavar="TEXT", help="what there is to say about it")
    remove = actions.add_parser("remove", help="take an item out again")
    remove.add_argument("case", type=int, metavar="CASE")
    remove.add_argument("item", type=int, metavar="ITEM")
    remove.add_argument("--reason", required=True, metavar="TEXT", help="why")
    shown = actions.add_parser("list", help="print the cases")
    shown.add_argument("--open", action="store_true", help="only those that are not closed")
    show = actions.add_parser("show", help="print what is in a case")
    show.add_argument("case", type=int, metavar="CASE")
    close = actions.add_parser("close", help="close a case: its footage may age")
    close.add_argument("case", type=int, metavar="CASE")
    close.add_argument("--reason", required=True, metavar="TEXT", help="why")
    export = actions.add_parser("export", help="write a case as one ZIP")
    export.add_argument("case", type=int, metavar="CASE")
    export.add_argument("--out", type=Path, required=True, metavar="FILE.zip")
    export.add_argument("--reason", default="", metavar="TEXT", help="why, for whom")
    export.add_argument(
        "--blur-others", action="store_true", help="make everybody else unrecognisable in clips"
    )
    export.add_argument(
        "--crops", type=int, default=3, metavar="N", help="pictures per track (default: 3)"
    )
    verify = actions.add_parser("verify", help="compare a ZIP with its own hashes")
    verify.add_argument("file", type=Path, metavar="FILE.zip")
    verify.add_argument("--store", metavar="URL", help="look for the export in its audit trail")
    verify.add_argument("--json", action="store_true", help="print JSON")
    for action in (create, add, remove, shown, show, close, export):
        add_store(action)
        add_media(action, "media folder (PostgreSQL)")
        action.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=case)


def case(options: argparse.Namespace) -> int:
    """`crosscam case`."""
    if options.action == "verify":
        return _verify(options)
    if options.action == "add":
        _check_add(options)

    from storage.queries import StoreReader

    # The reader first: it does not make a store where there is none.
    with StoreReader.open(options.store, options.media) as reader:
        if options.action == "list":
            return _list(reader, options)
        return _deed(reader, options)


def _deed(reader: StoreReader, options: argparse.Namespace) -> int:
    """What leaves a row in the audit trail."""
    from storage.audit import Audit, person_at_terminal, write
    from storage.cases import Cases
    from storage.store import Store

    actor = person_at_terminal()
    with Store.open(options.store, options.media, create=False) as store:
        desk = Cases(store)
        if options.action == "create":
            made = desk.create(options.name, actor, options.reason)
            return _say(options, made.as_json(), f"case {made.id}: {made.name}")
        if options.action == "add":
            return _add(desk, options, actor)
        if options.action == "remove":
            desk.remove(options.case, options.item, actor, options.reason)
            return _say(options, {"removed": options.item}, f"item {options.item} is out")
        if options.action == "close":
            done = desk.close(options.case, actor, options.reason)
            return _say(options, done.as_json(), f"case {done.id} is closed")
        if options.action == "show":
            shown = _show(reader, options)
            write(store, Audit(actor, "view", f"case {options.case}"))
            return shown
        return _export(reader, store, options, actor)


def _add(desk: Any, options: argparse.Namespace, actor: str) -> int:
    from investigation.asking import parse_time

    if options.track is not None:
        item = desk.add_track(options.case, options.track, actor, options.note)
    elif options.identity is not None:
        item = desk.add_identity(options.case, options.identity, actor, options.note)
    else:
        start, end = parse_time(options.start, "--from"), parse_time(options.end, "--to")
        item = desk.add_clip(options.case, options.camera, start, end, actor, options.note)
    return _say(options, item.as_json(), f"case {options.case}, item {item.id}: {item.subject}")


def _check_add(options: argparse.Namespace) -> None:
    from reid.errors import ConfigError

    times = (options.start, options.end)
    if options.camera is not None and None in times:
        raise ConfigError("--camera takes a stretch of its footage: give --from TIME and --to TIME")
    if options.camera is None and times != (None, None):
        raise ConfigError("--from and --to belong to --camera")


def _list(reader: StoreReader, options: argparse.Namespace) -> int:
    from storage.audit import note_from_terminal
    from storage.cases import cases
    from storage.models import iso_text

    note_from_terminal(options.store, "view", "cases")
    found = cases(reader, closed=not options.open)
    lines = [
        f"case {row.id}: {row.name}, {row.items} items, opened {iso_text(row.created)[:19]}Z by "
        f"{row.actor}" + ("" if row.closed is None else f", closed {iso_text(row.closed)[:19]}Z")
        for row in found
    ]
    return _say(options, [row.as_json() for row in found], "\n".join(lines) or "no cases")


def _show(reader: StoreReader, options: argparse.Namespace) -> int:
    from storage.cases import case, case_items

    row, items = case(reader, options.case), case_items(reader, options.case)
    lines = [f"case {row.id}: {row.name}", f"  {row.reason}"]
    lines += [f"  item {i.id}: {i.subject}" + (f" ({i.note})" if i.note else "") for i in items]
    told = {**row.as_json(), "items": [item.as_json() for item in items]}
    return _say(options, told, "\n".join(lines))


def _export(reader: StoreReader, store: Any, options: argparse.Namespace, actor: str) -> int:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from investigation.cases.export import export_case
    from reid.errors import ConfigError

    if not 0 <= options.crops <= 100:
        raise ConfigError(f"--crops is {options.crops}; allowed: 0 to 100")
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("export", total=1.0)
        report = export_case(
            reader,
            store,
            options.case,
            options.out,
            actor=actor,
            reason=options.reason,
            blur_others=options.blur_others,
            crops=options.crops,
            progress=lambda what, share: bar.update(task, description=what, completed=share),
        )
    lines = [f"{report.path}: {len(report.files)} files, {report.bytes} bytes"]
    lines += [f"SHA-256 {report.sha256}", *report.notes]
    return _say(options, report.as_json(), "\n".join(lines))


def _verify(options: argparse.Namespace) -> int:
    from investigation.cases.verify import verify_case

    report = verify_case(options.file)
    told = report.as_json()
    lines = [f"{report.path}: case {report.case.get('id')}, made {report.made}"]
    lines += [f"SHA-256 {report.sha256}", *report.problems]
    lines.append(
        f"intact: {report.files} files are as the manifest says"
        if report.intact
        else f"CHANGED: {len(report.problems)} of {report.files} files are not as exported"
    )
    known = True
    if options.store is not None:
        exported = _exported(options.store, report.sha256)
        known = exported is not None
        told["exported"] = exported
        lines.append(
            f"exported from {options.store} by {exported['by']} at {exported['time']}"
            if exported is not None
            else f"store {options.store} never exported this very file"
        )
    _say(options, told, "\n".join(lines))
    return 0 if report.intact and known else 1


def _exported(url: str, sha256: str) -> dict[str, str] | None:
    """Who exported the ZIP of this hash, and when; None if the audit trail does not have it."""
    from storage.audit import entries
    from storage.models import iso_text
    from storage.queries import StoreReader

    with StoreReader.open(url) as reader:
        before: int | None = None
        while page := entries(reader, before=before, limit=500, action="export"):
            for entry in page:
                if entry.details.get("sha256") == sha256:
                    return {"by": entry.actor, "time": iso_text(entry.time)}
            before = page[-1].id
    return None


def _say(options: argparse.Namespace, told: object, text: str) -> int:
    sys.stdout.write((json.dumps(told, indent=2) if options.json else text) + "\n")
    return 0
