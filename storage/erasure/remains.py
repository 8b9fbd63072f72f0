"""What else still shows a person after an erasure: footage, exports, pictures, other runs, alerts.

Exports are known by their audit entries: `export`, with the file or folder in the details.
"""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from sqlalchemy import ColumnElement, Connection, Text, cast, or_, select

from storage.desk_models import AuditEntry, CaseItem, Recording
from storage.erasure.beside import neighbours, pictures, seen_again
from storage.erasure.records import DoomedTrack, Remain
from storage.erasure.watched import told
from storage.models import LedgerEntry, Run, from_iso_text, iso_text
from storage.selects import AnyRow, chunks

_NAMES = re.compile(r"\b(identity|track|case|run) (\d+)\b")
_MOST_NAMED = 100  # numbers that the database looks for; with more, every entry is read
_FILES = ("clip", "file", "out", "evidence")  # where an export went, by what wrote the entry
_BLURRING = Remain(
    "blurring",
    "clips made of these recordings from now on show the person, also where everybody else is "
    "made unrecognisable: nothing knows any more where they are in the picture",
)
_KEYS = {"identity": "identity", "other": "identity", "track": "track", "tracks": "track"}


def remains(
    connection: Connection,
    names: Collection[int],
    tracks: Sequence[DoomedTrack],
    made_of: Collection[int],
    media: Path | None,
) -> tuple[Remain, ...]:
    """All that is known of, but for the watches made of the identity.

    Args:
        connection: the store.
        names: the identity, and those that went into it.
        tracks: what it has now.
        made_of: the watches made of it (`storage.erasure.watched.watches_of`).
        media: the media folder.
    """
    folder = media or Path()
    others = neighbours(connection, tracks)
    again = seen_again(connection, tracks, others)
    runs = {track.run for track in tracks} | {track.run for track in again}
    footage = list(_recordings(connection, tracks, folder))
    return (
        *footage,
        *([_BLURRING] if footage else ()),
        *pictures(connection, tracks, others, folder),
        *(track.remain() for track in again),
        *_clips(connection, tracks),
        *_trail(connection, names, tracks, runs),
        *told(connection, tracks, made_of),
        *_running(connection),
    )


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
    connection: Connection,
    names: Collection[int],
    tracks: Sequence[DoomedTrack],
    runs: Collection[int],
) -> Iterator[Remain]:
    """Exports that the audit trail knows of, and how often it names the identity."""
    own = {("track", track.id) for track in tracks}
    named = own | {("identity", name) for name in names}
    # What was exported of an identity that had one of the tracks at some time may show it.
    ever = {*names, *_ever(connection, tracks)}
    shown = own | {("identity", name) for name in ever}
    cases = set(_cases(connection, ever, tracks))
    whole = {("run", run) for run in runs}
    entries = select(*AuditEntry.__table__.columns).order_by(AuditEntry.id)
    if len(shown) <= _MOST_NAMED:  # the database throws out what cannot name them
        exports = AuditEntry.action == "export"
        entries = entries.where(exports | _holds({number for _, number in shown}))
    mentions = 0
    for row in connection.execute(entries):
        said = set(_said(row.subject, row.details))
        mentions += bool(named & said)
        if shown & said and row.action == "case":  # it once held it: an export may have it
            cases |= {(kind, number) for kind, number in said if kind == "case"}
        if row.action != "export":
            continue
        stretch = not said and _shows(tracks, *_stretch(row.details))
        if stretch or said & (shown | cases | whole):
            yield _export(row)
    if mentions:
        yield Remain(
            "audit",
            f"{mentions} entries of the audit trail name the identity or its tracks by number; "
            "what people wrote there stays",
        )


def _export(row: AnyRow) -> Remain:
    """Which file, of what, when and by whom."""
    found = (row.details.get(key) for key in _FILES)
    what = next((str(name) for name in found if name), "a file")
    when = iso_text(row.time)
    return Remain("export", f"{what}: {row.subject}, exported {when} by {row.actor}")


def _ever(connection: Connection, tracks: Sequence[DoomedTrack]) -> set[int]:
    """Identities that the tracks had at any time."""
    found: set[int] = set()
    for some in chunks([track.id for track in tracks]):
        rows = select(LedgerEntry.identity).where(LedgerEntry.track.in_(some)).distinct()
        found |= set(connection.execute(rows).scalars())
    return found


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
    connection: Connection, names: Collection[int], tracks: Sequence[DoomedTrack]
) -> Iterator[tuple[str, int]]:
    """Cases that hold one of the identities, a track of it, or footage of its time."""
    ids = {track.id for track in tracks}
    rows = select(*CaseItem.__table__.columns).order_by(CaseItem.id)
    for row in connection.execute(rows):
        clip = row.kind == "clip" and _shows(tracks, {row.camera}, row.start, row.end)
        if clip or row.identity in names or row.track in ids:
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
