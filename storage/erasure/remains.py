"""What else still shows a person after an erasure: footage, exports, other people's pictures."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, or_, select
from sqlalchemy.orm import aliased

from storage.desk_models import AuditEntry, CaseItem, Recording, Watch
from storage.models import ExemplarCrop, Run, Track, TrackBox, from_iso_text, iso_text
from storage.selects import chunks

_PAD = 0.25  # a crop shows the whole body: this much more than its box, at most, to each side
_NAMES = re.compile(r"\b(identity|track|case|run) (\d+)\b")
_MOST_NAMED = 100  # numbers that the database looks for; with more, every entry is read
_KEYS = {"identity": "identity", "other": "identity", "track": "track", "tracks": "track"}


@dataclass(frozen=True, slots=True)
class DoomedTrack:
    """A track of the identity; times are UTC seconds."""

    id: int
    run: int
    camera: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Remain:
    """Something that still shows the person, or holds their look.

    Attributes:
        kind: `recording`, `export`, `picture`, `watch`, `case clip`, `running`, `audit` or
            `database`.
        what: a file, or a sentence.
        camera: whose footage, where it is footage.
        start: from when, UTC seconds.
        end: until when, UTC seconds.
    """

    kind: str
    what: str
    camera: str | None = None
    start: float | None = None
    end: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs: times ISO 8601 UTC."""
        return {
            "kind": self.kind,
            "what": self.what,
            "camera": self.camera,
            "from": None if self.start is None else iso_text(self.start),
            "to": None if self.end is None else iso_text(self.end),
        }


def remains(
    connection: Connection, identity: int, tracks: Sequence[DoomedTrack], media: Path | None
) -> tuple[Remain, ...]:
    """All that is known of, but for the watches: `watches_of` has them."""
    folder = media or Path()
    return (
        *_recordings(connection, tracks, folder),
        *_pictures(connection, tracks, folder),
        *_clips(connection, tracks),
        *_trail(connection, identity, tracks),
        *_running(connection),
    )


def watches_of(
    connection: Connection, identity: int, tracks: Sequence[DoomedTrack]
) -> dict[int, str]:
    """Watches whose query was made of the identity or its tracks: id -> name."""
    ids = {track.id for track in tracks}
    rows = connection.execute(select(Watch.id, Watch.name, Watch.details).order_by(Watch.id))
    return {
        number: name
        for number, name, details in rows
        if details.get("identity") == identity or ids & set(details.get("tracks") or ())
    }


def _recordings(
    connection: Connection, tracks: Sequence[DoomedTrack], media: Path
) -> Iterator[Remain]:
    found: dict[str, tuple[str, float, float]] = {}
    for track in tracks:
        rows = select(Recording.path, Recording.start, Recording.end, Recording.closed).where(
            Recording.camera == track.camera,
            Recording.start <= track.end,
            # An open one may reach further than its row says yet.
            (Recording.end >= track.start) | Recording.closed.is_(False),
        )
        for path, start, end, closed in connection.execute(rows.order_by(Recording.start)):
            first, last = max(start, track.start), min(end, track.end) if closed else track.end
            known = found.get(path, (track.camera, first, last))
            found[path] = (track.camera, min(known[1], first), max(known[2], last))
    for path, (camera, first, last) in found.items():
        yield Remain("recording", str(media / path), camera, first, last)


def _pictures(
    connection: Connection, tracks: Sequence[DoomedTrack], media: Path
) -> Iterator[Remain]:
    """Crops of other people in which the person may be seen as well."""
    doomed = {track.id for track in tracks}
    told: set[str] = set()
    other = aliased(Track)
    for track in tracks:
        rows = (
            select(ExemplarCrop.path, ExemplarCrop.time, ExemplarCrop.track)
            .join(other, other.id == ExemplarCrop.track)
            .join(TrackBox, (TrackBox.track == track.id) & (TrackBox.frame == ExemplarCrop.frame))
            .where(
                other.run == track.run,
                other.camera == track.camera,
                other.start <= track.end,
                other.end >= track.start,
                _overlap(TrackBox.left, TrackBox.width, ExemplarCrop.left, ExemplarCrop.width),
                _overlap(TrackBox.top, TrackBox.height, ExemplarCrop.top, ExemplarCrop.height),
            )
            .order_by(ExemplarCrop.path)
        )
        for path, moment, of in connection.execute(rows):
            if of not in doomed and path not in told:
                told.add(path)
                yield Remain("picture", str(media / path), track.camera, moment, moment)


def _overlap(first: Any, length: Any, other: Any, other_length: Any) -> Any:
    pad = other_length * _PAD
    return (first < other + other_length + pad) & (first + length > other - pad)


def _clips(connection: Connection, tracks: Sequence[DoomedTrack]) -> Iterator[Remain]:
    rows = select(CaseItem.id, CaseItem.case, CaseItem.camera, CaseItem.start, CaseItem.end)
    for row in connection.execute(rows.where(CaseItem.kind == "clip").order_by(CaseItem.id)):
        if _shows(tracks, {row.camera}, row.start, row.end):
            what = f"case {row.case}, item {row.id}: a stretch of footage"
            yield Remain("case clip", what, row.camera, row.start, row.end)


def _shows(
    tracks: Sequence[DoomedTrack], cameras: set[str], start: float | None, end: float | None
) -> bool:
    """Whether footage of these cameras (empty: all) and this time has one of the tracks."""
    return any(
        (not cameras or track.camera in cameras)
        and (start is None or track.end >= start)
        and (end is None or track.start <= end)
        for track in tracks
    )


def _trail(
    connection: Connection, identity: int, tracks: Sequence[DoomedTrack]
) -> Iterator[Remain]:
    """Exports that the audit trail knows of, and how often it names the identity."""
    named = {("identity", identity), *(("track", track.id) for track in tracks)}
    cases = set(_cases(connection, identity, tracks))
    runs = {("run", run) for run in {track.run for track in tracks}}
    entries = select(*AuditEntry.__table__.columns).order_by(AuditEntry.id)
    if len(named) <= _MOST_NAMED:  # the database throws out what cannot name them
        exports = AuditEntry.action == "export"
        entries = entries.where(exports | _holds({number for _, number in named}))
    mentions = 0
    for row in connection.execute(entries):
        said = set(_said(row.subject, row.details))
        if named & said:
            mentions += 1
            if row.action == "case":  # what a case once held may be in an export of it
                cases |= {(kind, number) for kind, number in said if kind == "case"}
        if row.action != "export":
            continue
        stretch = not said and _shows(tracks, *_stretch(row.details))
        if stretch or said & (named | cases | runs):
            what = row.details.get("clip") or row.details.get("file") or "a file"
            yield Remain(
                "export",
                f"{what}: {row.subject}, exported {iso_text(row.time)} by {row.actor}",
            )
    if mentions:
        yield Remain(
            "audit",
            f"{mentions} entries of the audit trail name the identity or its tracks by number; "
            "what people wrote there stays",
        )


def _holds(numbers: Iterable[int]) -> ColumnElement[bool]:
    """Whether one of these numbers stands, as digits, anywhere in an entry."""
    text = cast(AuditEntry.details, Text)
    return or_(
        *(
            AuditEntry.subject.contains(str(number)) | text.contains(str(number))
            for number in numbers
        )
    )


def _cases(
    connection: Connection, identity: int, tracks: Sequence[DoomedTrack]
) -> Iterator[tuple[str, int]]:
    """Cases that hold the identity, a track of it, or footage of its time."""
    ids = {track.id for track in tracks}
    rows = select(*CaseItem.__table__.columns).order_by(CaseItem.id)
    for row in connection.execute(rows):
        clip = row.kind == "clip" and _shows(tracks, {row.camera}, row.start, row.end)
        if clip or row.identity == identity or row.track in ids:
            yield "case", row.case


def _said(subject: str, details: Mapping[str, Any]) -> Iterator[tuple[str, int]]:
    """(kind, number) of all that an entry names."""
    for kind, number in _NAMES.findall(f"{subject} {json.dumps(details)}"):
        yield kind, int(number)
    for key, kind in _KEYS.items():
        value = details.get(key)
        for number in value if isinstance(value, list) else [value]:
            if isinstance(number, int):
                yield kind, number


def _stretch(details: Mapping[str, Any]) -> tuple[set[str], float | None, float | None]:
    """Cameras, from and to of an entry about footage; None where it does not say."""
    cameras = details.get("cameras") or ()
    names = {str(camera) for camera in cameras} if isinstance(cameras, list) else set()
    return names, _moment(details.get("from")), _moment(details.get("to"))


def _moment(text: Any) -> float | None:
    try:
        moment = datetime.fromisoformat(str(text))
    except ValueError:
        return None
    return from_iso_text(moment.isoformat() if moment.tzinfo else f"{moment.isoformat()}+00:00")


def _running(connection: Connection) -> Iterator[Remain]:
    rows = select(Run.id).where(Run.status == "running").order_by(Run.id)
    for run in connection.execute(rows).scalars():
        yield Remain("running", f"run {run} goes on: it may see the person again")


def doomed_tracks(connection: Connection, ids: Sequence[int]) -> list[DoomedTrack]:
    """Tracks by id."""
    found = []
    for some in chunks(ids):
        rows = select(Track.id, Track.run, Track.camera, Track.start, Track.end)
        found += [DoomedTrack(*row) for row in connection.execute(rows.where(Track.id.in_(some)))]
    return sorted(found, key=lambda track: track.id)
