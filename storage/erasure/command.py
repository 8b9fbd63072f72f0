"""`crosscam erase`: the command line around `storage.erasure.erase`. Light to import."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from storage.erasure.erase import ErasureReport, Survey
    from storage.erasure.records import Remain
    from storage.erasure.watched import ErasedWatch
    from storage.store import Store

EPILOG = """examples:
  crosscam erase --identity 7 --store sqlite:///crosscam.db --reason "request of 2026-02-01"
      shows what would go and what would still show the person, and asks
  crosscam erase --identity 7 --reason "request of 2026-02-01" --yes --json
  crosscam erase --identity 7 --reason "request of 2026-02-01" --watches --rewrite --yes
      also the watches made of it; the database's files are written anew (locks the store)
  crosscam erase --watch 3 --reason "request of 2026-02-01"
      one watch with its photo and its alerts, such as one made of a photo of the person
  crosscam erase --finish
      goes on with erasures whose files or log could not be removed at once

Pictures, vectors, boxes, links, alerts, case items, tracks and the identity go; one entry of the
audit trail stays. Footage, exports, pictures that alerts sent and what re-runs saw are not changed:
they are listed.
"""


def add_erase(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `erase` to the front door's parser."""
    parser = commands.add_parser(
        "erase",
        help="remove one identity for good, and list what still shows the person",
        description="Remove one identity with all its tracks, and list what still shows it; or a "
        "watch.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--identity", type=int, metavar="N", help="whom")
    what.add_argument("--watch", type=int, metavar="N", help="a watch: its photo, look and alerts")
    what.add_argument(
        "--finish", action="store_true", help="only finish what earlier erasures left to do"
    )
    parser.add_argument("--reason", help="why (goes into the audit trail)")
    add_store(parser)
    add_media(parser, "media folder (PostgreSQL)")
    parser.add_argument(
        "--watches", action="store_true", help="also the watches whose query was made of it"
    )
    parser.add_argument(
        "--rewrite",
        action="store_true",
        help="write the database's files anew afterwards: no free space holds old bytes then, but "
        "nobody else can use the store meanwhile",
    )
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument("--json", action="store_true", help="print JSON")
    parser.set_defaults(function=erase)


def erase(options: argparse.Namespace) -> int:
    """`crosscam erase`; 1 where something is left to be finished, or the person said no."""
    import json
    import sys

    from reid.errors import ConfigError
    from storage import scrub
    from storage.store import Store

    if not options.finish and not options.reason:
        raise ConfigError("--reason is missing: an erasure says why")
    if not options.finish and not options.yes and not sys.stdin.isatty():
        raise ConfigError("nobody is there to be asked: add --yes to erase without a question")
    with Store.open(options.store, options.media, create=False) as store:
        if options.finish:
            problems = scrub.finish(store, rewrite=options.rewrite)
            _say(problems or ["nothing is left to be finished"])
            return 1 if problems else 0
        report = _watch(store, options) if options.identity is None else _identity(store, options)
    if report is None:
        _say(["nothing was erased"])
        return 1
    _say([json.dumps(report.as_json(), indent=2)] if options.json else _report(report))
    return 1 if report.problems else 0


def _identity(store: Store, options: argparse.Namespace) -> ErasureReport | None:
    """Erase it, unless the person says no."""
    from storage.audit import person_at_terminal
    from storage.erasure.erase import erase, survey

    if not options.yes and not _asked(survey(store.reader(), options.identity)):
        return None
    return erase(
        store,
        options.identity,
        person_at_terminal(),
        options.reason,
        watches=options.watches,
        rewrite=options.rewrite,
    )


def _watch(store: Store, options: argparse.Namespace) -> ErasedWatch | None:
    """Erase it, unless the person says no."""
    from storage.audit import person_at_terminal
    from storage.erasure.watched import erase_watch
    from storage.watches.rows import one_watch

    if not options.yes:
        found = one_watch(store.reader(), options.watch)
        of = ", ".join(found.photos) or f"tracks {', '.join(map(str, found.tracks))}"
        _say([f"watch {found.id} ({found.name}), made of {of}, with {found.alerts} alerts"])
        if not _yes():
            return None
    actor = person_at_terminal()
    return erase_watch(store, options.watch, actor, options.reason, rewrite=options.rewrite)


def _asked(found: Survey) -> bool:
    cameras = sorted({track.camera for track in found.tracks})
    lines = [
        f"identity {found.identity}: {len(found.tracks)} tracks on {', '.join(cameras) or 'none'}: "
        + ", ".join(str(track.id) for track in found.tracks)
    ]
    lines += [f"identity {name} went into it and goes as well" for name in found.names]
    lines += [f"watch {n} ({name}) was made of it" for n, name in found.watches.items()]
    _say([*lines, *_remains(found.remains)])
    return _yes()


def _yes() -> bool:
    return input("erase it for good? [y/N] ").strip().lower() in ("y", "yes")


def _report(report: ErasureReport | ErasedWatch) -> list[str]:
    from storage.erasure.erase import ErasureReport

    removed = ", ".join(f"{count} {what}" for what, count in report.counts.items())
    if isinstance(report, ErasureReport):
        lines = [f"identity {report.identity} is erased: {len(report.tracks)} tracks, {removed}"]
        lines += _remains(report.remains)
    else:
        lines = [f"watch {report.watch} is erased: {removed}"]
    if report.problems:
        lines += [f"not done yet: {problem}" for problem in report.problems]
        lines.append("do it with: crosscam erase --finish")
    return lines


def _remains(remains: Iterable[Remain]) -> list[str]:
    from storage.models import iso_text

    lines = []
    for remain in remains:
        when = ""
        if remain.start is not None and remain.end is not None:
            when = f", {iso_text(remain.start)} to {iso_text(remain.end)}"
        camera = "" if remain.camera is None else f" (camera {remain.camera}{when})"
        lines.append(f"  {remain.kind}: {remain.what}{camera}")
    if lines:
        return ["what still shows the person:", *lines]
    return ["nothing else is known to show the person"]


def _say(lines: list[str]) -> None:
    import sys

    sys.stdout.write("\n".join(lines) + "\n")
