"""`crosscam search`: the command line around `investigation.search.desk`. Light to import."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from investigation.search.desk import SearchDesk
    from investigation.search.hits import Hit
    from investigation.search.photos import Person, SeveralPeople
    from investigation.search.queries import Query

EPILOG = """examples:
  crosscam search --image photo.jpg --store sqlite:///crosscam.db --reason "missing child, case 12"
  crosscam search --image a.jpg --image b.jpg --camera gate --from 2026-01-31T14:00:00Z --top 50
  crosscam search --image group.jpg --person 2 --parts upper --evidence evidence/
  crosscam search --identity 17 --json > hits.json

Times are UTC (ISO 8601). A hit looks alike; whether it is the same person, a person decides. Every
search is written to the audit trail. Exit code: 0 also when nothing is found; 2 where something
asked for is wrong; with several people in a photo, --json prints their boxes.
"""
SAID = (
    "Looks alike, by clothing and build; who it is, no hit says. The thresholds behind the "
    "verdicts come from tracks of several pictures: one photo says less."
)
COLOURS = {"strong": "green", "possible": "yellow"}


def add_search(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `search` to the front door's parser."""
    parser = commands.add_parser(
        "search",
        help="find who looks like the person in a photo, a track or an identity",
        description="Search the whole store for tracks that look like a person.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    whom = parser.add_mutually_exclusive_group(required=True)
    whom.add_argument(
        "--image", type=Path, action="append", metavar="FILE",
        help="a photo of the person (JPEG, PNG, WebP, BMP); several make one query",
    )  # fmt: skip
    whom.add_argument("--track", type=int, metavar="N", help="a track of the store")
    whom.add_argument("--identity", type=int, metavar="N", help="an identity of the store")
    parser.add_argument(
        "--person", type=int, action="append", metavar="N",
        help="who is meant where a photo shows several people; once for each --image, in order",
    )  # fmt: skip
    parser.add_argument(
        "--crop", action="store_true",
        help="the images are crops of one person already: detect nobody",
    )  # fmt: skip
    parser.add_argument(
        "--parts", metavar="PARTS",
        help="trust only these parts of the body: upper, lower, or numbers from the top (1,2,3; "
        "1,2=0.5 with weights)",
    )  # fmt: skip
    add_store(parser)
    add_media(parser)
    parser.add_argument(
        "--camera", action="append", default=[], metavar="ID", help="only this camera; repeatable"
    )
    parser.add_argument(
        "--place", action="append", default=[], metavar="NAME", help="only this place; repeatable"
    )
    parser.add_argument("--from", dest="start", metavar="TIME", help="seen at this time or later")
    parser.add_argument("--to", dest="end", metavar="TIME", help="seen at this time or earlier")
    parser.add_argument(
        "--top", type=int, default=20, metavar="N", help="hits, at most (default: %(default)s)"
    )
    parser.add_argument("--reason", default="", metavar="TEXT", help="why, for the audit trail")
    parser.add_argument("--weights", default="default", help="model: default, or a file")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--detector", default="auto", metavar="NAME",
        help="what finds people in photos; as detector.name in pipeline.yaml (default: auto)",
    )  # fmt: skip
    parser.add_argument(
        "--evidence",
        type=Path,
        metavar="DIR",
        help="draw each hit beside the query into this folder (noted as an export)",
    )
    parser.add_argument("--json", action="store_true", help="print the hits as a list, best first")
    parser.set_defaults(function=search)


def search(options: argparse.Namespace) -> int:
    """`crosscam search`."""
    from detectors.settings import DetectorSettings
    from investigation.asking import choose_filters
    from investigation.search.desk import SearchDesk, audit_of, check_top
    from investigation.search.photos import SeveralPeople
    from investigation.search.queries import parse_parts
    from storage import audit
    from storage.queries import StoreReader
    from storage.store import Store

    check_top(options.top)
    check_images(options)
    # The reader first: it does not make a store where there is none. The writer before the search:
    # who cannot be written down does not get to see.
    with (
        StoreReader.open(options.store, options.media) as reader,
        Store.open(options.store, options.media) as store,
    ):
        filters = choose_filters(reader, options.camera, options.place, options.start, options.end)
        detector = DetectorSettings(name=options.detector)
        desk = SearchDesk(reader, options.weights, detector, options.device)
        try:
            query = query_of(desk, options)
        except SeveralPeople as several:
            if options.json:
                _print_people(several)
            raise
        if options.parts is not None:
            query = query.masked(parse_parts(options.parts, desk.parts))
        hits = desk.search(query, filters, options.top)
        actor = audit.person_at_terminal()
        entry = audit_of(query, filters, options.top, hits, actor=actor, reason=options.reason)
        audit.write(store, entry)
        if others := desk.unsearched():
            sys.stderr.write(
                f"crosscam: warning: tracks that other models embedded ({', '.join(others)}) are "
                "not searched\n"
            )
        if options.evidence is not None and hits:
            # Pictures that leave the store: an erasure has to know that they are about.
            about = {"evidence": str(options.evidence), "tracks": [hit.track for hit in hits]}
            audit.write(store, audit.Audit(actor, "export", query.subject, options.reason, about))
            _write_evidence(desk, query, hits, options.evidence)
    if options.json:
        sys.stdout.write(json.dumps([hit.as_json() for hit in hits], indent=2) + "\n")
    else:
        _print_table(query, hits)
    return 0


def check_images(options: argparse.Namespace) -> None:
    """Options that belong to photos only."""
    from reid.errors import ConfigError

    if not options.detector:
        raise ConfigError("--detector is empty; write auto, a name or a file")
    images: Sequence[Path] = options.image or ()
    for name in ("person", "crop"):
        if getattr(options, name) and not images:
            raise ConfigError(f"--{name} belongs to --image")
    if options.crop and options.person:
        raise ConfigError("--crop takes images as they are: there is no --person to choose")
    if options.person and len(options.person) != len(images):
        raise ConfigError(
            f"--person is given {len(options.person)} times for {len(images)} images; give it once "
            "for each --image, in their order (1 where only one person is there)"
        )


def query_of(desk: SearchDesk, options: argparse.Namespace) -> Query:
    """Whom `--track`, `--identity` or `--image` with `--person` and `--crop` name."""
    if options.track is not None:
        return desk.from_track(options.track)
    if options.identity is not None:
        return desk.from_identity(options.identity)
    numbers = options.person or [None] * len(options.image)
    return desk.from_people(
        [
            _person(desk, path, number, options.crop)
            for path, number in zip(options.image, numbers, strict=True)
        ]
    )


def _person(desk: SearchDesk, path: Path, number: int | None, crop: bool) -> Person:
    """Whom a photo shows."""
    from investigation.search.photos import choose, load_photo, read_photo, whole_picture

    image = load_photo(read_photo(path), str(path))
    if crop:
        return whole_picture(image, str(path))
    return choose(desk.find_people(image, str(path)), number)


def _write_evidence(desk: SearchDesk, query: Query, hits: Sequence[Hit], folder: Path) -> None:
    from investigation.search.hit_pictures import write_hit
    from reid.errors import StoreError

    for hit in hits:
        try:
            write_hit(desk, query, hit, folder)
        except StoreError as error:  # one lost picture: the other hits keep theirs
            sys.stderr.write(f"crosscam: warning: {error}\n")


def _print_people(several: SeveralPeople) -> None:
    """Who is in a photo of several people, for a program that then chooses."""
    people = [person.as_json(number) for number, person in enumerate(several.people, 1)]
    found = {"error": str(several), "image": several.people[0].name, "people": people}
    sys.stdout.write(json.dumps(found, indent=2) + "\n")


def _print_table(query: Query, hits: Sequence[Hit]) -> None:
    from rich.box import SIMPLE_HEAD
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from storage.models import iso_text

    console = Console(highlight=False)
    if not hits:
        console.print(f"{query.subject}: nothing found that passes the filters.", markup=False)
        return
    title = Text(f"Who looks like {query.subject}")
    table = Table(title=title, box=SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for name in ("#", "verdict", "distance", "camera", "seen (UTC)", "track", "identity"):
        right = name in ("#", "distance", "track", "identity")
        wraps = name in ("verdict", "camera")
        table.add_column(
            name,
            justify="right" if right else "left",
            no_wrap=not wraps,
            min_width=10 if wraps else None,  # `possible` is a word that must not be cut
        )
    for hit in hits:
        table.add_row(
            str(hit.rank),
            Text(hit.verdict, style=COLOURS.get(hit.verdict, "dim")),
            f"{hit.distance:.3f}",
            Text(hit.camera if hit.place is None else f"{hit.camera}, {hit.place}"),
            iso_text(hit.time)[:19].replace("T", " "),
            str(hit.track),
            "" if hit.identity is None else str(hit.identity),
        )
    console.print(table)
    console.print(SAID, markup=False)
