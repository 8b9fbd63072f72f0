"""Cases as pages and programs ask for them: what of them a visitor may see, and their export."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from fastapi import HTTPException

from investigation.cases.export import HIDDEN, export_case
from reid.errors import ConfigError, DataError
from storage.audit import AuditRow, entries
from storage.cases import CaseItemRow, CaseRow, Cases, case, case_items, cases
from storage.decisions.standing import successor
from storage.models import iso_text
from storage.records import ExemplarRow
from storage.sightings import tracks_by_id
from web.access import Visitor
from web.jobs import Job, Jobs, Progress
from web.times import check_order, utc_seconds
from web.words import one_line

AUDIT_PAGE = 500
MOST_EXPORTS = 50


@dataclass(frozen=True, slots=True)
class ShownItem:
    """An item of a case as a visitor sees it.

    Attributes:
        row: as stored.
        title: what it is, in words.
        link: its page.
        picture: the best crop.
        whole: False if some of it was seen by cameras that the visitor may not see.
    """

    row: CaseItemRow
    title: str
    link: str | None
    picture: ExemplarRow | None
    whole: bool


@dataclass(frozen=True, slots=True)
class WhatToAdd:
    """What a form or a program wants in a case: a track, an identity, or footage."""

    track: int | None = None
    identity: int | None = None
    cameras: tuple[str, ...] = ()
    start: float | None = None
    end: float | None = None

    @property
    def words(self) -> str:
        """For people."""
        if self.track is not None:
            return f"track {self.track}"
        if self.identity is not None:
            return f"identity {self.identity}"
        names = ", ".join(self.cameras)
        first, last = (iso_text(t)[:19] + "Z" for t in (self.start or 0, self.end or 0))
        return f"footage of {names}, {first} to {last}"

    @property
    def fields(self) -> list[tuple[str, str]]:
        """As fields of a form, to be read again by `what`."""
        found = [("track", self.track), ("identity", self.identity)]
        fields = [(name, str(value)) for name, value in found if value is not None]
        fields += [("camera", camera) for camera in self.cameras]
        if self.start is not None and self.end is not None:
            fields += [("from", iso_text(self.start)), ("to", iso_text(self.end))]
        return fields


def what(
    who: Visitor,
    track: int | None,
    identity: int | None,
    cameras: Sequence[str],
    start: str,
    end: str,
) -> WhatToAdd:
    """What is to be added, checked.

    Raises:
        ConfigError: if it is not exactly one thing.
        DataError: if the times cannot be read or hold nothing between them.
        HTTPException: 404 for what is not there or not theirs.
    """
    named = [c for c in cameras if c]
    if sum((track is not None, identity is not None, bool(named))) != 1:
        raise ConfigError("a case takes one track, one identity, or footage of cameras at a time")
    reader = who.desk.reader
    if track is not None:
        rows = tracks_by_id(reader, [track])
        if not rows:
            raise HTTPException(404, f"there is no track {track}")
        who.check_camera(rows[0].camera, f"track {track}")
        return WhatToAdd(track=track)
    if identity is not None:
        if not any(who.may_see(row.camera) for row in reader.tracks(identity=identity)):
            raise HTTPException(404, f"there is no identity {identity}")
        return WhatToAdd(identity=identity)
    known = {row.id for row in reader.cameras()}
    for camera in named:
        if camera not in known or not who.may_see(camera):
            raise HTTPException(404, f"there is no camera {camera[:80]!r}")
    first, last = utc_seconds(start, "from"), utc_seconds(end, "to")
    if first is None or last is None:
        raise DataError("footage needs a time from and to")
    check_order(first, last)
    if first == last:
        raise DataError(f"footage from {start} to {end} is none: the end has to be later")
    return WhatToAdd(cameras=tuple(named), start=first, end=last)


def add(who: Visitor, number: int, wanted: WhatToAdd, note: str) -> list[CaseItemRow]:
    """Put it into a case; footage of several cameras becomes an item for each.

    Raises:
        ConfigError: if the case is closed, or something is no longer there.
    """
    writer = Cases(who.desk.store)
    said = one_line(note)
    if wanted.track is not None:
        return [writer.add_track(number, wanted.track, who.name, said, who.address)]
    if wanted.identity is not None:
        return [writer.add_identity(number, wanted.identity, who.name, said, who.address)]
    start, end = wanted.start or 0.0, wanted.end or 0.0
    return [
        writer.add_clip(number, camera, start, end, who.name, said, who.address)
        for camera in wanted.cameras
    ]


def find_case(who: Visitor, number: int) -> CaseRow:
    """A case that the visitor may see.

    Raises:
        HTTPException: 404 if there is none.
    """
    try:
        row = case(who.desk.reader, number)
    except ConfigError:
        raise HTTPException(404, f"there is no case {number}") from None
    if not visible(who, [row]):
        raise HTTPException(404, f"there is no case {number}")
    return row


def visible(who: Visitor, rows: Sequence[CaseRow]) -> list[CaseRow]:
    """Those that the visitor opened, or of which they may see something."""
    if who.cameras is None:
        return list(rows)
    return [row for row in rows if row.actor == who.name or shown_items(who, row.id)[0]]


def open_cases(who: Visitor) -> list[CaseRow]:
    """Those that something can be added to, newest first."""
    return visible(who, cases(who.desk.reader, closed=False))


def shown_items(who: Visitor, number: int) -> tuple[list[ShownItem], int]:
    """The items that the visitor may see something of, and how many others there are."""
    rows = case_items(who.desk.reader, number)
    found = [item for row in rows if (item := _shown(who, row)) is not None]
    return found, len(rows) - len(found)


def start_export(jobs: Jobs, who: Visitor, row: CaseRow, reason: str, blur: bool) -> Job:
    """Export a case in the background; the ZIP is the job's file.

    Raises:
        ConfigError: without a reason.
        DataError: if the case is empty.
        HTTPException: 403 if the visitor may not see all of it, 503 if too much waits already.
    """
    why = one_line(reason)
    if not why:
        raise ConfigError("say why the case is exported: the reason goes into the export")
    items, hidden = shown_items(who, row.id)
    if hidden or not all(item.whole for item in items):
        raise HTTPException(403, HIDDEN.format(number=row.id))
    if not items:
        raise DataError(f"case {row.id} holds nothing: add a track, an identity or a clip first")
    desk, actor, address, cameras = who.desk, who.name, who.address, who.cameras

    def work(path: Path, progress: Progress) -> Any:
        return export_case(
            desk.reader,
            desk.store,
            row.id,
            path,
            actor=actor,
            reason=why,
            blur_others=blur,
            address=address,
            cameras=cameras,
            progress=lambda _, share: progress(share, 1.0),
        )

    title = f"Export of case {row.id}{', everybody else blurred' if blur else ''}"
    return jobs.start(who.name, title, f"crosscam-case-{row.id}.zip", work, {"case": row.id})


def exports(who: Visitor, number: int) -> list[AuditRow]:
    """The exports of a case that the audit trail knows, newest first."""
    found: list[AuditRow] = []
    before: int | None = None
    reader = who.desk.reader
    while rows := entries(reader, before=before, limit=AUDIT_PAGE, action="export"):
        found += [r for r in rows if r.subject == f"case {number}" and "sha256" in r.details]
        before = rows[-1].id
        if len(rows) < AUDIT_PAGE or len(found) >= MOST_EXPORTS:
            break
    return found[:MOST_EXPORTS]


def _shown(who: Visitor, row: CaseItemRow) -> ShownItem | None:
    reader = who.desk.reader
    if row.camera is not None and row.start is not None and row.end is not None:
        if not who.may_see(row.camera):
            return None
        times = f"from={iso_text(row.start)}&to={iso_text(row.end)}"
        link = f"/replay?camera={quote(row.camera)}&{times}"
        return ShownItem(row, f"Footage of {row.camera}", link, None, True)
    if row.track is not None:
        rows = tracks_by_id(reader, [row.track])
        link, title = f"/tracks/{row.track}", f"Track {row.track}"
    else:
        identity = row.identity or 0
        now = successor(reader, identity) or identity
        rows = list(reader.tracks(identity=now))
        link, title = f"/identities/{now}", f"Identity {identity}"
        if now != identity:
            title += f", now part of identity {now}"
    if not rows:
        # Of an erased person nothing is left to be hidden.
        return ShownItem(row, f"{title}: no longer in the store", None, None, True)
    seen = [track for track in rows if who.may_see(track.camera)]
    if not seen:
        return None
    best = reader.best_exemplars([track.id for track in seen]).values()
    picture = max(best, key=lambda exemplar: exemplar.score, default=None)
    where = ", ".join(dict.fromkeys(track.camera for track in seen))
    return ShownItem(row, f"{title} ({where})", link, picture, len(seen) == len(rows))
