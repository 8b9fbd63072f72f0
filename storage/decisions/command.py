"""`crosscam decide`: the command line around `storage.decisions.decide`. Light to import."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from storage.decisions.decide import DecisionRow
    from storage.decisions.precision import Precision, Share

EPILOG = """examples:
  crosscam decide confirm --track 12 --identity 3 --reason "same rucksack, seen by Anna"
  crosscam decide reject --track 14 --identity 3 --reason "taller"
  crosscam decide merge --keep 3 --other 8 --reason "came back the next day"
  crosscam decide split --identity 3 --tracks 15 16 --reason "two people"
  crosscam decide undo --decision 4 --reason "clicked the wrong one"
  crosscam decide list --track 12
  crosscam decide precision --run 2 --json

Each decision is a row that is never changed; the identity follows at once, and a running pipeline
at its next look. A decision cannot be undone while a later one about the same tracks stands.
"""


def add_decide(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `decide` to the front door's parser."""
    parser = commands.add_parser(
        "decide",
        help="confirm, reject, merge, split or undo what the matcher linked",
        description="Say which tracks are one person, and how often the matcher was right.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    actions = parser.add_subparsers(dest="action", metavar="ACTION", required=True)
    confirm = actions.add_parser("confirm", help="the track is this identity")
    reject = actions.add_parser("reject", help="the track is not this identity")
    for action in (confirm, reject):
        action.add_argument("--track", type=int, metavar="N", required=True)
        action.add_argument("--identity", type=int, metavar="N", required=True)
    merge = actions.add_parser("merge", help="two identities are one person")
    merge.add_argument("--keep", type=int, metavar="N", required=True, help="the one that stays")
    merge.add_argument("--other", type=int, metavar="N", required=True, help="the one that ends")
    split = actions.add_parser("split", help="some tracks of an identity are somebody else")
    split.add_argument("--identity", type=int, metavar="N", required=True)
    split.add_argument(
        "--tracks", type=int, metavar="N", nargs="+", required=True, help="those that leave"
    )
    undo = actions.add_parser("undo", help="take a decision back")
    undo.add_argument("--decision", type=int, metavar="N", required=True)
    for action in (confirm, reject, merge, split, undo):
        action.add_argument("--reason", required=True, help="why (goes into the audit trail)")
    shown = actions.add_parser("list", help="print the decisions, newest first")
    shown.add_argument("--track", type=int, metavar="N", help="only about this track")
    shown.add_argument("--identity", type=int, metavar="N", help="only about this identity")
    shown.add_argument(
        "--limit", type=int, metavar="N", default=100, help="at most (default: %(default)s)"
    )
    right = actions.add_parser("precision", help="how often people agreed with the matcher")
    right.add_argument("--run", type=int, metavar="N", help="only this run (default: all)")
    for action in (confirm, reject, merge, split, undo, shown, right):
        add_store(action)
        add_media(action, "media folder (PostgreSQL)")
        action.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=decide)


def decide(options: argparse.Namespace) -> int:
    """`crosscam decide`."""
    from reid.errors import ConfigError
    from storage.audit import note_from_terminal, person_at_terminal
    from storage.decisions.decide import Decisions, decisions, precision
    from storage.queries import StoreReader
    from storage.store import Store

    if options.action == "list":
        if options.limit < 1:
            raise ConfigError(f"--limit is {options.limit}; allowed: 1 or more")
        with StoreReader.open(options.store, options.media) as reader:
            note_from_terminal(options.store, "view", "decisions")
            found = decisions(
                reader, limit=options.limit, track=options.track, identity=options.identity
            )
        return _print([row.as_json() for row in found], options.json, _lines(found))
    if options.action == "precision":
        with StoreReader.open(options.store, options.media) as reader:
            note_from_terminal(options.store, "view", "precision")
            judged = precision(reader, options.run)
        return _print(judged.as_json(), options.json, _table(judged))
    who, why = person_at_terminal(), options.reason
    with Store.open(options.store, options.media, create=False) as store:
        desk = Decisions(store)
        if options.action == "confirm":
            done = desk.confirm(options.track, options.identity, who, why)
        elif options.action == "reject":
            done = desk.reject(options.track, options.identity, who, why)
        elif options.action == "merge":
            done = desk.merge(options.keep, options.other, who, why)
        elif options.action == "split":
            done = desk.split(options.identity, options.tracks, who, why)
        else:
            done = desk.undo(options.decision, who, why)
    return _print(done.as_json(), options.json, _lines([done]))


def _print(data: object, as_json: bool, lines: list[str]) -> int:
    import json
    import sys

    text = json.dumps(data, indent=2) if as_json else "\n".join(lines)
    sys.stdout.write(f"{text}\n")
    return 0


def _lines(rows: list[DecisionRow]) -> list[str]:
    from storage.models import iso_text

    lines = []
    for row in rows:
        taken = "" if row.undone_by is None else f"; undone by decision {row.undone_by}"
        lines.append(
            f"decision {row.id}, {iso_text(row.time)}, {row.actor}: {_words(row)} "
            f"({row.reason}){taken}"
        )
    return lines or ["no decisions"]


def _words(row: DecisionRow) -> str:
    if row.action == "undo":
        return f"decision {row.undoes} undone"
    if not row.tracks:
        return f"{row.action}; its tracks were erased"
    tracks = ("track " if len(row.tracks) == 1 else "tracks ") + ", ".join(map(str, row.tracks))
    identity, other = (
        "an identity that was erased" if number is None else f"identity {number}"
        for number in (row.identity, row.other)
    )
    before = "" if row.other is None else f" (was {other})"
    return {
        "confirm": f"{tracks} confirmed as {identity}{before}",
        "reject": f"{tracks} not {identity}; is {other}",
        "merge": f"{other} merged into {identity}: {tracks}",
        "split": f"{tracks} split from {identity}; now {other}",
    }[row.action]


def _table(found: Precision) -> list[str]:
    if found.links.share is None:
        first = "no judged link yet: confirm or reject some of the matcher's links"
    else:
        first = f"of {found.links.judged} links that people judged, {_share(found.links)} right"
    lines = [first]
    if found.missed:
        lines.append(f"{found.missed} pairs that people put together had not been linked")
    if any(row.precision.judged for row in found.table):
        lines.append("by distance alone, over all pairs that people judged:")
        lines.append(f"{'threshold':>16}  {'precision':<32}  recall of the judged")
        for row in found.table:
            at = "" if row.threshold is None else f" = {row.threshold:.3f}"
            name = f"x {row.factor:.1f}{at}"
            lines.append(f"{name:>16}  {_share(row.precision):<32}  {_share(row.recall)}")
    return lines


def _share(found: Share) -> str:
    """`8 of 10 (0.80; 95 %: 0.49 to 0.94)`."""
    if found.share is None or found.low is None or found.high is None:
        return "none judged"
    return (
        f"{found.right} of {found.judged} "
        f"({found.share:.2f}; 95 %: {found.low:.2f} to {found.high:.2f})"
    )
