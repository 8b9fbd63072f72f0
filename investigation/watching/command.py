"""`crosscam watch`: the command line around standing queries. Light to import."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from investigation.search.queries import Query
    from investigation.watching.watcher import CheckReport
    from storage.queries import StoreReader

EPILOG = """examples:
  crosscam watch add --image photo.jpg --name "blue coat" --reason "missing child" --expires 2d
  crosscam watch add --track 12 --name "east gate" --reason "case 7" --expires 2026-02-01T08:00Z \\
      --level possible --camera gate --notify 'mqtt://desk:${MQTT_PASSWORD}@broker/alerts'
  crosscam watch run                      look at what is new every two seconds; Ctrl-C ends it
  crosscam watch alerts --unseen --json
  crosscam watch end 3 --reason "she was found"

A watch first covers what is stored, then all that is written while `watch run` (or `crosscam
serve`) is at work. An alert says that somebody looks alike; a person decides. Addresses to notify:
https://HOST/HOOK (JSON), mqtt[s]://USER:PASSWORD@HOST/TOPIC, or any of apprise's (json://,
mailto://, ntfy://, slack:// ...). ${NAME} is read from the environment of the program that sends.
"""
LOOK = 2.0


def add_watch_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `watch` to the front door's parser."""
    parser = commands.add_parser(
        "watch",
        help="keep looking for a person: past first, then everything new, one alert per track",
        description="Standing queries: add, list and end them, read their alerts, run them.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    deeds = parser.add_subparsers(dest="deed", metavar="WHAT", required=True)
    _add_add(deeds)
    listed = _deed(deeds, "list", "list the watches", list_watches)
    listed.add_argument("--all", action="store_true", help="also those that ended")
    listed.add_argument("--json", action="store_true", help="print a list")
    ended = _deed(deeds, "end", "end a watch; its alerts stay", end)
    ended.add_argument("watch", type=int, metavar="ID")
    ended.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit trail")
    alerts = _deed(deeds, "alerts", "list alerts, newest first", list_alerts)
    alerts.add_argument("--watch", type=int, metavar="ID", help="only of this watch")
    alerts.add_argument("--unseen", action="store_true", help="only those nobody marked as seen")
    alerts.add_argument("--top", type=int, default=100, metavar="N", help="alerts, at most")
    alerts.add_argument("--json", action="store_true", help="print a list")
    seen = _deed(deeds, "seen", "mark alerts as seen, by you", mark)
    seen.add_argument("alert", type=int, nargs="+", metavar="ID")
    run = _deed(deeds, "run", "look at what is new, raise alerts and send them", run_watches)
    run.add_argument("--weights", default="default", help="model: default, or a file")
    run.add_argument("--base-url", metavar="URL", help="address of the pages, for links")
    run.add_argument("--once", action="store_true", help="look once, send what is due, and end")


def _deed(
    deeds: argparse._SubParsersAction[argparse.ArgumentParser], name: str, says: str, function: Any
) -> argparse.ArgumentParser:
    parser = deeds.add_parser(name, help=says, description=f"{says[0].upper()}{says[1:]}.")
    add_store(parser)
    add_media(parser)
    parser.set_defaults(function=function)
    return parser


def _add_add(deeds: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    parser = _deed(deeds, "add", "add a watch and cover the past", add)
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument(
        "--image", type=Path, action="append", metavar="FILE",
        help="a photo of the person; several make one query",
    )  # fmt: skip
    whom.add_argument("--track", type=int, metavar="N", help="a track of the store")
    whom.add_argument("--identity", type=int, metavar="N", help="an identity of the store")
    parser.add_argument(
        "--person", type=int, action="append", metavar="N",
        help="who is meant where a photo shows several people; once for each --image, in order",
    )  # fmt: skip
    parser.add_argument("--crop", action="store_true", help="the images are crops already")
    parser.add_argument("--parts", metavar="PARTS", help="trust only these: upper, lower, or 1,2,3")
    parser.add_argument("--name", required=True, metavar="TEXT", help="what to call it")
    parser.add_argument("--reason", required=True, metavar="TEXT", help="why, for the audit trail")
    parser.add_argument(
        "--expires", required=True, metavar="WHEN", help="90m, 12h, 2d or a time (ISO 8601, UTC)"
    )
    parser.add_argument(
        "--level", choices=("strong", "possible"), default="strong",
        help="the verdict that raises an alert (default: %(default)s; possible: both)",
    )  # fmt: skip
    parser.add_argument(
        "--camera", action="append", default=[], metavar="ID", help="only this camera; repeatable"
    )
    parser.add_argument(
        "--notify", action="append", default=[], metavar="URL", help="where to send; repeatable"
    )
    parser.add_argument("--attach-picture", action="store_true", help="send the crop as well")
    parser.add_argument("--base-url", metavar="URL", help="address of the pages, for links")
    parser.add_argument("--weights", default="default", help="model: default, or a file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--detector", default="auto", metavar="NAME", help="as for search")
    parser.add_argument("--json", action="store_true", help="print the watch")


def add(options: argparse.Namespace) -> int:
    """`crosscam watch add`."""
    from investigation.search.yardstick import Yardstick
    from investigation.watching.new_watch import base_url, expiry, new_watch
    from investigation.watching.targets import read_targets
    from investigation.watching.watcher import Watcher
    from storage.audit import person_at_terminal
    from storage.store import Store
    from storage.watches.edit import add_watch
    from storage.watches.rows import one_watch

    expires = expiry(options.expires)
    targets = read_targets(options.notify)
    link_to = None if options.base_url is None else base_url(options.base_url)
    yardstick = Yardstick.from_weights(options.weights)
    with Store.open(options.store, options.media, create=False) as store:
        new = new_watch(
            _query(store.reader(), yardstick.fingerprint, options),
            yardstick,
            name=options.name,
            actor=person_at_terminal(),
            reason=options.reason,
            expires=expires,
            level=options.level,
            cameras=options.camera,
            targets=targets,
            attach_picture=options.attach_picture,
            base_url=link_to,
        )
        watch = add_watch(store, new)
        Watcher(store, yardstick).check()
        row = one_watch(store.reader(), watch)
    if options.json:
        sys.stdout.write(json.dumps(row.as_json(), indent=2) + "\n")
    else:
        past = row.past or {"found": 0, "raised": 0}
        of = "" if past["found"] == past["raised"] else f" (the nearest of {past['found']})"
        sys.stdout.write(
            f"watch {watch}: {past['raised']} tracks of the past look alike{of}; now `crosscam "
            "watch run` or `crosscam serve` looks at what is new\n"
        )
    return 0


def _query(reader: StoreReader, fingerprint: str, options: argparse.Namespace) -> Query:
    """Whom to watch for; as a search asks it."""
    from investigation.search.command import check_images
    from investigation.search.queries import from_identity, from_track, parse_parts

    check_images(options)
    if options.track is not None:
        query = from_track(reader, options.track, fingerprint)
    elif options.identity is not None:
        query = from_identity(reader, options.identity, fingerprint)
    else:
        query = _from_images(reader, options)
    if options.parts is None:
        return query
    return query.masked(parse_parts(options.parts, query.embedding.quality.shape[1]))


def _from_images(reader: StoreReader, options: argparse.Namespace) -> Query:
    """Only photos need the network and a detector, which are slow to load."""
    from detectors.settings import DetectorSettings
    from investigation.search.command import query_of
    from investigation.search.desk import SearchDesk

    detector = DetectorSettings(name=options.detector)
    return query_of(SearchDesk(reader, options.weights, detector, options.device), options)


def list_watches(options: argparse.Namespace) -> int:
    """`crosscam watch list`."""
    from investigation.watching.tables import print_watches
    from storage.audit import note_from_terminal
    from storage.queries import StoreReader
    from storage.watches.rows import watches

    with StoreReader.open(options.store, options.media) as reader:
        note_from_terminal(options.store, "view", "watches")
        rows = watches(reader, active=None if options.all else True)
    if options.json:
        sys.stdout.write(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
        return 0
    print_watches(rows)
    return 0


def end(options: argparse.Namespace) -> int:
    """`crosscam watch end`."""
    from storage.audit import person_at_terminal
    from storage.store import Store
    from storage.watches.edit import end_watch

    with Store.open(options.store, options.media, create=False) as store:
        end_watch(store, options.watch, person_at_terminal(), options.reason)
    sys.stdout.write(f"watch {options.watch} has ended\n")
    return 0


def list_alerts(options: argparse.Namespace) -> int:
    """`crosscam watch alerts`; a view, so it leaves an audit row."""
    from investigation.watching.tables import print_alerts
    from reid.errors import ConfigError
    from storage.audit import Audit, person_at_terminal, write
    from storage.store import Store
    from storage.watches.alerts import alerts
    from storage.watches.rows import one_watch

    if options.top < 1:
        raise ConfigError(f"--top is {options.top}; allowed: 1 or more")
    with Store.open(options.store, options.media, create=False) as store:
        reader = store.reader()
        if options.watch is not None:
            one_watch(reader, options.watch)
        rows = alerts(reader, watch=options.watch, unseen=options.unseen, limit=options.top)
        which = "alerts" if options.watch is None else f"alerts of watch {options.watch}"
        about = {"alerts": [row.id for row in rows]}
        write(store, Audit(person_at_terminal(), "view", which, details=about))
    if options.json:
        sys.stdout.write(json.dumps([row.as_json() for row in rows], indent=2) + "\n")
        return 0
    print_alerts(rows)
    return 0


def mark(options: argparse.Namespace) -> int:
    """`crosscam watch seen`."""
    from storage.audit import person_at_terminal
    from storage.store import Store
    from storage.watches.alerts import mark_seen

    with Store.open(options.store, options.media, create=False) as store:
        new = mark_seen(store, options.alert, person_at_terminal())
    sys.stdout.write(f"{len(new)} alerts marked as seen\n")
    return 0


def run_watches(options: argparse.Namespace) -> int:
    """`crosscam watch run`."""
    import logging
    import signal
    import threading

    from investigation.search.yardstick import Yardstick
    from investigation.watching.courier import Courier
    from investigation.watching.new_watch import base_url
    from investigation.watching.thread import WatchThread
    from investigation.watching.watcher import Watcher
    from storage.store import Store

    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(message)s")
    link_to = None if options.base_url is None else base_url(options.base_url)
    yardstick = Yardstick.from_weights(options.weights)  # what is wrong is said before we begin
    with Store.open(options.store, options.media, create=False) as store:
        if options.once:
            _say(Watcher(store, yardstick).check())
            sent, failed = Courier(store, link_to).deliver()
            sys.stdout.write(f"{sent} messages sent, {failed} failed\n")
            return 0
    over = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda _number, _frame: over.set())
    thread = WatchThread(
        options.store, options.media, weights=options.weights, base_url=link_to,
        interval=LOOK, report=_say,
    )  # fmt: skip
    thread.start()
    sys.stdout.write("watching (Ctrl-C ends)\n")
    sys.stdout.flush()
    over.wait()
    thread.stop()
    sys.stdout.write("stopped; what is not sent yet waits in the store\n")
    return 0


def _say(report: CheckReport) -> None:
    """What a check did, where it did something."""
    for watch, ids in report.raised.items():
        for alert in ids:
            sys.stdout.write(f"watch {watch}: alert {alert}\n")
    for watch, past in report.past.items():
        if past["found"] > past["raised"]:
            sys.stdout.write(
                f"watch {watch}: {past['found']} tracks of the past look alike; alerts for the "
                f"nearest {past['raised']}\n"
            )
    for watch in report.ended:
        sys.stdout.write(f"watch {watch} expired\n")
    sys.stdout.flush()
