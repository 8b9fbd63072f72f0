"""The report of a case: one HTML page for people, with the pictures inside it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from investigation.cases.contents import Contents, Person
from investigation.evidence import Evidence, explain
from investigation.pictures import Picture, picture
from investigation.replay.clips import ClipReport
from investigation.replay.itinerary import Step
from investigation.report import TEMPLATES, clock, day, moment
from storage.cases import CaseItemRow
from storage.media import replacing


@dataclass(frozen=True, slots=True)
class WrittenClip:
    """A clip of the export: its file's name, a title, whose item and step it belongs to."""

    name: str
    title: str
    item: int
    step: int | None
    report: ClipReport

    def as_json(self) -> dict[str, object]:
        """For JSON."""
        return {
            "title": self.title,
            "item": self.item,
            "step": self.step,
            **self.report.as_json(),
            "file": self.name,
        }


@dataclass(frozen=True, slots=True)
class Export:
    """What the report says about the export itself.

    Attributes:
        made: UTC seconds.
        actor: who exported it.
        reason: why.
        software: version.
        store: the store's address, without a password.
        blurred: whether everybody else was made unrecognisable.
        notes: what is missing.
        clips: those that were written.
        files: (name, bytes, SHA-256) of every file but the report, the sums and the manifest.
    """

    made: float
    actor: str
    reason: str
    software: str
    store: str
    blurred: bool
    notes: tuple[str, ...]
    clips: tuple[WrittenClip, ...]
    files: tuple[tuple[str, int, str], ...]


@dataclass(frozen=True, slots=True)
class Bar:
    """A step on the time line: its place in percent of the whole width."""

    left: float
    width: float
    title: str


@dataclass(frozen=True, slots=True)
class StepView:
    """A step on the page."""

    step: Step
    picture: Picture | None
    clip: WrittenClip | None
    doubt: bool


@dataclass(frozen=True, slots=True)
class PersonView:
    """A person of the case on the page; `lines`: the cameras' bars on a common time line."""

    person: Person
    steps: tuple[StepView, ...]
    lines: tuple[tuple[str, tuple[Bar, ...]], ...]
    overview: WrittenClip | None
    evidence: tuple[Evidence, ...]


@dataclass(frozen=True, slots=True)
class StretchView:
    """A stretch of footage on the page."""

    item: CaseItemRow
    clip: WrittenClip | None


def write_case_report(found: Contents, export: Export, out: Path) -> None:
    """Write the page.

    Raises:
        DataError: if it cannot be written.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(clock=clock, moment=moment, day=day, span=duration, size=size)
    people = [_person(found, person, export.clips) for person in found.people]
    stretches = [
        StretchView(item, _clip(export.clips, item.id, None))
        for item in found.items
        if item.kind == "clip"
    ]
    page = environment.get_template("case_report.html").generate(
        case=found.case,
        export=export,
        people=people,
        stretches=stretches,
        lost=[
            item
            for item in found.items
            if item.kind != "clip" and item.id not in {p.item.id for p in found.people}
        ],
        cameras=sorted({step.camera for p in found.people for step in p.way.steps}),
        times=_times(found),
    )
    with replacing(out) as file:
        file.writelines(page)


def duration(seconds: float) -> str:
    """Seconds for people: `4.2 s`, `12 min 5 s`, `3 h 20 min`."""
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def size(count: int) -> str:
    """Bytes for people."""
    if count < 1000:
        return f"{count} B"
    for unit in ("kB", "MB", "GB", "TB"):
        count_in = count / 1000 ** (("kB", "MB", "GB", "TB").index(unit) + 1)
        if count_in < 1000 or unit == "TB":
            return f"{count_in:.1f} {unit}"
    return f"{count} B"


def _person(found: Contents, person: Person, clips: Sequence[WrittenClip]) -> PersonView:
    way = person.way
    strongest = max((max(p.quality, default=0.0) for p in found.pictures), default=0.0)
    steps = tuple(
        StepView(
            step=step,
            picture=None if step.picture is None else picture(step.picture, strongest),
            clip=_clip(clips, person.item.id, step.number),
            doubt=any(
                s.evidence is not None and s.evidence.mark == "doubt" for s in step.sightings
            ),
        )
        for step in way.steps
    )
    cameras = {s.track.id: s.track.camera for step in way.steps for s in step.sightings}
    evidence = tuple(
        explain(row, cameras[row.track])
        for row in sorted(found.ledger, key=lambda r: r.id)
        if row.track in cameras
    )
    overview = _clip(clips, person.item.id, None)
    return PersonView(person, steps, _lines(way.steps), overview, evidence)


def _clip(clips: Sequence[WrittenClip], item: int, step: int | None) -> WrittenClip | None:
    return next((c for c in clips if c.item == item and c.step == step), None)


def _lines(steps: Sequence[Step]) -> tuple[tuple[str, tuple[Bar, ...]], ...]:
    first, last = min(s.start for s in steps), max(s.end for s in steps)
    whole = max(last - first, 1e-3)
    found: dict[str, list[Bar]] = {}
    for step in steps:
        left = 100 * (step.start - first) / whole
        wide = min(100 - left, max(0.6, 100 * (step.end - step.start) / whole))
        title = f"{clock(step.start)} to {clock(step.end)}"
        found.setdefault(step.camera, []).append(
            Bar(round(min(left, 99.4), 2), round(wide, 2), title)
        )
    return tuple((camera, tuple(bars)) for camera, bars in found.items())


def _times(found: Contents) -> tuple[float, float] | None:
    starts = [p.way.start for p in found.people] + [i.start for i in found.items if i.start]
    ends = [p.way.end for p in found.people] + [i.end for i in found.items if i.end]
    return (min(starts), max(ends)) if starts and ends else None
