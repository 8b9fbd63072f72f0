"""`crosscam replay`: where somebody went: a table, JSON, an annotated clip. Light to import."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from rich.table import Table

    from investigation.replay.clips import ClipPlan, ClipReport
    from investigation.replay.itinerary import Itinerary
    from storage.audit import Audit
    from storage.queries import StoreReader

EPILOG = """examples:
  crosscam replay --identity 17 --store sqlite:///crosscam.db --reason "missing child, case 12"
  crosscam replay --identity 17 --out path.mp4 --blur-others
  crosscam replay --from 2026-01-31T14:10:00Z --to 2026-01-31T14:15:00Z --camera gate --out gate.mp4
  crosscam replay --track 204 --json
  crosscam replay --rerun --run 3 --threshold 0.25
      the recordings of run 3 through the pipeline again, into a run of its own

Without --out it prints the way: camera after camera, with times, gaps and the evidence. With --out
it writes a clip from the recordings: one picture per camera side by side under a common clock.
Times are UTC (ISO 8601). Every replay is written to the audit trail.
"""
RERUN = ("run", "cameras", "pipeline", "weights", "detector", "threshold")
SAID = "Looks alike, by clothing and build. A step is a lead for a person to check, never proof."


def add_replay(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `replay` to the front door's parser."""
    parser = commands.add_parser(
        "replay",
        help="where somebody went: itinerary, synchronised clip, or the footage once more",
        description="Show the way of an identity, or all that happened in a stretch of time.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whom = parser.add_mutually_exclusive_group()
    whom.add_argument("--identity", type=int, metavar="N", help="an identity of the store")
    whom.add_argument("--track", type=int, metavar="N", help="a track: the identity it has")
    parser.add_argument("--from", dest="start", metavar="TIME", help="not before this time")
    parser.add_argument("--to", dest="end", metavar="TIME", help="not after this time")
    parser.add_argument(
        "--camera", action="append", default=[], metavar="ID", help="only this camera; repeatable"
    )
    parser.add_argument("--out", type=Path, metavar="FILE.mp4", help="write an annotated clip")
    parser.add_argument(
        "--blur-others",
        action="store_true",
        help="make everybody else in the clip unrecognisable; without --identity and --track, all",
    )
    parser.add_argument(
        "--margin", type=float, default=2.0, metavar="SECONDS",
        help="footage before and after each sighting in the clip (default: %(default)s)",
    )  # fmt: skip
    add_store(parser)
    add_media(parser, "folder of pictures and recordings, PostgreSQL")
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    parser.add_argument("--json", action="store_true", help="print JSON")
    again = parser.add_argument_group("re-run", "recorded footage through the pipeline once more")
    again.add_argument("--rerun", action="store_true", help="do that; see `crosscam rerun --help`")
    again.add_argument("--run", type=int, metavar="N", help="whose recordings (default: latest)")
    again.add_argument("--cameras", type=Path, metavar="FILE", help="cams.yaml: zones, places")
    again.add_argument("--pipeline", type=Path, metavar="FILE", help="pipeline.yaml")
    again.add_argument("--weights", metavar="FILE", help="another model")
    again.add_argument("--detector", metavar="NAME", help="another detector")
    again.add_argument("--threshold", type=float, metavar="D", help="another matching threshold")
    parser.set_defaults(function=replay)


def replay(options: argparse.Namespace) -> int:
    """`crosscam replay`."""
    from reid.errors import ConfigError

    if options.rerun:
        return _rerun(options)
    for name in RERUN:
        if getattr(options, name) is not None:
            raise ConfigError(f"--{name} belongs to --rerun")
    _check(options)

    from storage import audit
    from storage.queries import StoreReader
    from storage.store import Store

    # The reader first: it does not make a store where there is none.
    with (
        StoreReader.open(options.store, options.media) as reader,
        Store.open(options.store, options.media) as store,
    ):
        found = itineraries(reader, options)
        entry = _entry(options, found)
        audit.write(store, entry)  # who cannot be written down does not get to see
        report = None if options.out is None else _clip(reader, options, found)
    _tell(options, found, report)
    return 0


def itineraries(reader: StoreReader, options: argparse.Namespace) -> list[Itinerary]:
    """Those that the command asks for, cut to its cameras and times."""
    from investigation.asking import choose_filters
    from investigation.replay.itinerary import of_identity, of_track, of_window, within

    filters = choose_filters(reader, options.camera, (), options.start, options.end)
    if options.identity is None and options.track is None:
        if filters.start is None or filters.end is None:  # _check saw to it
            return []
        return of_window(reader, filters.start, filters.end, filters.cameras)
    if options.identity is not None:
        found = of_identity(reader, options.identity, filters.cameras)
    else:
        found = of_track(reader, options.track, filters.cameras)
    return [within(found, filters.start, filters.end)]


def clip_plan(
    reader: StoreReader, options: argparse.Namespace, found: Sequence[Itinerary]
) -> ClipPlan:
    """What the clip shows: sightings with a margin, or the whole stretch of time asked for."""
    from investigation.asking import parse_time
    from investigation.replay.clips import ClipPlan, labels_of
    from investigation.replay.footage import Footage, Span
    from investigation.replay.itinerary import stretches
    from reid.errors import DataError

    person = options.identity is not None or options.track is not None
    if person:
        cameras = found[0].cameras
        footage = Footage(reader)
        first = float("-inf") if options.start is None else parse_time(options.start)
        last = float("inf") if options.end is None else parse_time(options.end)
        cut = [
            Span(max(span.start, first), min(span.end, last))
            for span in stretches(found, options.margin)
        ]
        spans = [footage.trimmed(cameras, span) for span in cut if span.start < span.end]
    else:
        spans = [Span(parse_time(options.start), parse_time(options.end))]
        recorded = Footage(reader).recorded(spans[0].start, spans[0].end)
        cameras = tuple(options.camera) or tuple(recorded)
        if not cameras:
            raise DataError(f"nothing is recorded between {options.start} and {options.end}")
    everybody = options.blur_others and not person
    labels = {} if everybody else labels_of(found)
    return ClipPlan(cameras, tuple(spans), labels, options.blur_others)


def _check(options: argparse.Namespace) -> None:
    """Options that do not fit together."""
    import math

    from reid.errors import ConfigError

    if options.identity is None and options.track is None and None in (options.start, options.end):
        raise ConfigError(
            "say what to replay: --identity N, --track N, or --from TIME and --to TIME"
        )
    if options.blur_others and options.out is None:
        raise ConfigError("--blur-others belongs to --out FILE.mp4")
    if not (math.isfinite(options.margin) and 0 <= options.margin <= 600):
        raise ConfigError(f"--margin is {options.margin:g}; allowed: 0 to 600 seconds")
    if options.out is not None and options.out.suffix.lower() != ".mp4":
        raise ConfigError(f"--out is {options.out}; it is an MP4: end its name in .mp4")


def _rerun(options: argparse.Namespace) -> int:
    """Through the front door: this room does not know the pipeline."""
    from reid.errors import ConfigError

    if options.identity is not None or options.track is not None or options.out is not None:
        raise ConfigError("--rerun takes no --identity, --track or --out")
    words = ["rerun", "--store", options.store, "--reason", options.reason]
    for name in ("media", *RERUN):
        if getattr(options, name) is not None:
            words += [f"--{name}", str(getattr(options, name))]
    for camera in options.camera:
        words += ["--camera", camera]
    for name, value in (("--from", options.start), ("--to", options.end)):
        if value is not None:
            words += [name, value]
    if options.json:
        words.append("--json")
    return int(options.main(words))


def _entry(options: argparse.Namespace, found: Sequence[Itinerary]) -> Audit:
    from storage import audit

    if options.identity is not None:
        subject = f"identity {options.identity}"
    elif options.track is not None:
        subject = f"track {options.track}"
    else:
        subject = f"{', '.join(options.camera) or 'all cameras'}, a stretch of time"
    return audit.Audit(
        actor=audit.person_at_terminal(),
        action="view" if options.out is None else "export",
        subject=subject,
        reason=options.reason,
        details={
            "itinerary": [i.name for i in found[:100]],
            "cameras": options.camera,
            "from": options.start,
            "to": options.end,
            "clip": None if options.out is None else str(options.out),
            "others_blurred": options.blur_others,
        },
    )


def _clip(
    reader: StoreReader, options: argparse.Namespace, found: Sequence[Itinerary]
) -> ClipReport:
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    from investigation.replay.clips import write_clip

    plan = clip_plan(reader, options, found)
    console = Console(stderr=True)
    columns = (TextColumn("{task.description}"), BarColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task(options.out.name, total=None)
        return write_clip(
            reader,
            plan,
            options.out,
            lambda done, total: bar.update(task, completed=done, total=total),
        )


def _tell(
    options: argparse.Namespace, found: Sequence[Itinerary], report: ClipReport | None
) -> None:
    if options.json:
        told = {
            "itineraries": [itinerary.as_json() for itinerary in found],
            "clip": None if report is None else report.as_json(),
        }
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
        return

    from rich.console import Console

    console = Console(highlight=False)
    if not found:
        console.print("Nobody was seen there at that time.")
    for itinerary in found:
        console.print(table(itinerary))
        for step in itinerary.steps:
            if step.evidence:
                console.print(f"  {step.number}  {step.evidence}", markup=False)
    if found:
        console.print(SAID)
    if report is not None:
        console.print(
            f"{options.out}: {report.seconds:.1f} s, {', '.join(report.cameras)}", markup=False
        )
        for camera, seconds in report.missing.items():
            console.print(f"no footage of {camera} for {seconds:.1f} s of it", markup=False)
        for note in report.notes:
            console.print(note, markup=False)


def table(itinerary: Itinerary) -> Table:
    """An itinerary for a terminal."""
    from rich.table import Table
    from rich.text import Text

    from storage.models import iso_text

    shown = Table(title=Text(f"{itinerary.name}, {iso_text(itinerary.start)[:10]} (UTC)"))
    for name in ("#", "camera", "place", "from", "to", "before it", "tracks"):
        shown.add_column(name, justify="right" if name in ("#", "before it") else "left")
    for step in itinerary.steps:
        before = f"unseen for {step.gap:.1f} s" if step.gap else ""
        shown.add_row(
            str(step.number),
            Text(step.camera),
            Text(step.place or ""),
            iso_text(step.start)[11:21],
            iso_text(step.end)[11:21],
            f"overlaps by {step.overlap:.1f} s" if step.overlap else before,
            ", ".join(map(str, step.tracks)),
        )
    return shown
