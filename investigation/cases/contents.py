"""What a case holds, looked up in the store: itineraries, pictures, ledger rows, stretches."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from investigation.replay.clips import ClipPlan, labels_of
from investigation.replay.footage import Footage, Span
from investigation.replay.itinerary import Itinerary, alone, of_identity, stretches
from reid.errors import StoreError
from storage.cases import CaseItemRow, CaseRow, case, case_items
from storage.decisions.standing import successor
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import ExemplarRow, LedgerRow

MARGIN = 2.0  # seconds of footage before and after a sighting


@dataclass(frozen=True, slots=True)
class Person:
    """An item of a case that is somebody: the item, and where they went."""

    item: CaseItemRow
    way: Itinerary

    @property
    def slug(self) -> str:
        """For file names."""
        return f"item-{self.item.id}-{self.way.name.replace(' ', '-')}"


@dataclass(frozen=True, slots=True)
class PlannedClip:
    """A clip to be written: its file's name, a title for people, what it shows."""

    name: str
    title: str
    item: int
    step: int | None
    plan: ClipPlan


@dataclass(frozen=True, slots=True)
class Contents:
    """A case, ready to be exported.

    Attributes:
        case: the case.
        items: all its items.
        people: those that are somebody and still there.
        clips: to be written.
        pictures: crops of the people's tracks, best first per track.
        ledger: all that was ever decided about these tracks, oldest first per track.
        notes: what is missing, in sentences.
    """

    case: CaseRow
    items: tuple[CaseItemRow, ...]
    people: tuple[Person, ...]
    clips: tuple[PlannedClip, ...]
    pictures: tuple[ExemplarRow, ...]
    ledger: tuple[LedgerRow, ...]
    notes: tuple[str, ...]

    @property
    def cameras(self) -> frozenset[str]:
        """Whose pictures, footage or sightings it holds."""
        seen = {step.camera for person in self.people for step in person.way.steps}
        shown = {camera for clip in self.clips for camera in clip.plan.cameras}
        return frozenset(seen | shown | {item.camera for item in self.items if item.camera})

    def as_json(self) -> dict[str, Any]:
        """Items and itineraries for JSON."""
        return {
            "case": self.case.as_json(),
            "items": [item.as_json() for item in self.items],
            "itineraries": [
                {"item": person.item.id, **person.way.as_json()} for person in self.people
            ],
            "notes": list(self.notes),
        }


def contents(
    reader: StoreReader, number: int, *, crops: int = 3, blur_others: bool = False
) -> Contents:
    """Look a case up.

    Args:
        reader: the store.
        number: of the case.
        crops: pictures per track, at most.
        blur_others: make everybody else in the clips unrecognisable.

    Raises:
        ConfigError: if there is no such case.
    """
    row = case(reader, number)
    items = tuple(case_items(reader, number))
    notes: list[str] = []
    people = [person for item in items if (person := _person(reader, item, notes)) is not None]
    tracks = sorted({track for person in people for track in person.way.tracks})
    return Contents(
        case=row,
        items=items,
        people=tuple(people),
        clips=tuple(_clips(reader, items, people, blur_others, notes)),
        pictures=tuple(p for track in tracks for p in _pictures(reader, track, crops, notes)),
        ledger=tuple(entry for track in tracks for entry in reader.ledger(track)),
        notes=tuple(notes),
    )


def _person(reader: StoreReader, item: CaseItemRow, notes: list[str]) -> Person | None:
    try:
        if item.track is not None:
            return Person(item, alone(reader, item.track))
        if item.identity is None:
            return None
        now = successor(reader, item.identity)
        if now is not None and now != item.identity:
            notes.append(f"Identity {item.identity} has become part of identity {now}.")
        return Person(item, of_identity(reader, item.identity if now is None else now))
    except StoreError:
        notes.append(f"{item.subject} is no longer in the store: it was erased, or its tracks are.")
        return None


def _clips(
    reader: StoreReader,
    items: Sequence[CaseItemRow],
    people: Sequence[Person],
    blur: bool,
    notes: list[str],
) -> list[PlannedClip]:
    footage = Footage(reader)
    found: list[PlannedClip] = []
    for person in people:
        way = person.way
        labels = labels_of([way])
        for step in way.steps:
            span = Span(step.start - MARGIN, step.end + MARGIN)
            if not footage.spans(step.camera, span.start, span.end):
                notes.append(
                    f"No footage of {way.name} on {step.camera} at {iso_text(step.start)}: it was "
                    "not recorded, or is no longer kept."
                )
                continue
            span = footage.trimmed([step.camera], span)
            plan = ClipPlan((step.camera,), (span,), labels, blur)
            name = f"clips/{person.slug}-step-{step.number:02d}.mp4"
            title = f"{way.name} on {step.camera}"
            found.append(PlannedClip(name, title, person.item.id, step.number, plan))
        spans = tuple(
            footage.trimmed(way.cameras, span)
            for span in stretches([way], MARGIN)
            if any(footage.spans(camera, span.start, span.end) for camera in way.cameras)
        )
        if len(way.steps) > 1 and spans:
            plan = ClipPlan(way.cameras, spans, labels, blur)
            title = f"{way.name}, all cameras"
            name = f"clips/{person.slug}-overview.mp4"
            found.append(PlannedClip(name, title, person.item.id, None, plan))
    everybody = labels_of([person.way for person in people])
    for item in items:
        if item.camera is None or item.start is None or item.end is None:
            continue
        spans = tuple(footage.spans(item.camera, item.start, item.end))
        if not spans:
            notes.append(f"No footage of {item.subject}: it was not recorded, or is gone.")
            continue
        plan = ClipPlan((item.camera,), spans, everybody, blur)
        name = f"clips/item-{item.id}.mp4"
        found.append(PlannedClip(name, item.subject, item.id, None, plan))
    return found


def _pictures(reader: StoreReader, track: int, crops: int, notes: list[str]) -> list[ExemplarRow]:
    """The best pictures of a track whose files are there and unchanged."""
    kept: list[ExemplarRow] = []
    for row in reader.exemplars(track)[:crops]:
        try:
            unchanged = hashlib.sha256(row.path.read_bytes()).hexdigest() == row.sha256
        except OSError:
            notes.append(f"A picture of track {track} is no longer there: {row.path.name}.")
            continue
        if unchanged:
            kept.append(row)
        else:
            notes.append(
                f"A picture of track {track} was changed after it was stored and is left out: "
                f"{row.path.name}."
            )
    return kept
