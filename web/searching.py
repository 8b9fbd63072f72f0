"""A search as pages and programs ask for it: photos in, checked; hits out, and written down."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

import cv2
import numpy as np
from fastapi import HTTPException, UploadFile
from numpy.typing import NDArray

from investigation.asking import choose_filters
from investigation.filters import Filters
from investigation.search.desk import SearchDesk, audit_of, check_top
from investigation.search.hits import Hit
from investigation.search.photos import MOST_BYTES, Person, load_photo, whole_picture
from investigation.search.queries import Query, check_weights
from reid.errors import ConfigError
from storage.decisions.standing import rejected
from storage.records import ExemplarRow, TrackRow
from storage.sightings import tracks_by_id
from web.access import Visitor
from web.room import SearchRoom
from web.shelf import Asked, UploadedPhoto, Wishes
from web.times import with_offset
from web.words import one_line

TAKEN = "this search was made of what a camera saw that you may not see any more; search anew"
MOST_PHOTOS = 8
LONGEST_REASON = 500
SHOWN_SIDE = 1600  # pixels of the longer side of a photo as shown
KEPT_SIDE = 768  # pixels of the longer side of a crop that is kept to be shown


@dataclass(frozen=True, slots=True)
class Current:
    """A search as it stands now.

    Attributes:
        hits: those of `Asked.hits` that are still there and may be seen, with today's identities.
        anchor: the identity of the person searched for, as far as one is known.
        ruled_out: how many hits were left out because a person rejected them for this identity.
    """

    hits: tuple[Hit, ...]
    anchor: int | None
    ruled_out: int


def read_photos(files: Sequence[UploadFile]) -> list[tuple[str, bytes]]:
    """The photos of a form: (harmless name, bytes).

    Raises:
        HTTPException: 413 if one is too large, 422 if they are too many.
    """
    there = [file for file in files if file.filename or file.size]
    if len(there) > MOST_PHOTOS:
        raise HTTPException(422, f"{len(there)} photos; one search takes {MOST_PHOTOS} at most")
    found = []
    for number, file in enumerate(there, 1):
        name = harmless(file.filename or "", f"photo {number}")
        data = file.file.read(MOST_BYTES + 1)
        if len(data) > MOST_BYTES:
            limit = MOST_BYTES // 1_000_000
            raise HTTPException(413, f"{name}: more than {limit} MB, which is the most for a photo")
        found.append((name, data))
    return found


def harmless(name: str, default: str) -> str:
    """A file's name as somebody's browser says it, without folders, controls and undue length."""
    last = re.split(r"[/\\]", name)[-1]
    clean = one_line(last)
    return clean if len(clean) <= 60 else f"{clean[:45]}…{clean[-14:]}" if clean else default


def upload(looking: SearchDesk, name: str, data: bytes, *, crop: bool) -> UploadedPhoto:
    """Open a photo and find the people in it.

    Args:
        looking: has the detector.
        name: for messages.
        data: the file.
        crop: the photo is a crop of one person already; detect nobody.

    Raises:
        DataError: naming the photo, if it cannot be read or shows nobody.
    """
    image = load_photo(data, name)
    people = [whole_picture(image, name)] if crop else looking.find_people(image, name)
    height, width = image.shape[:2]
    return UploadedPhoto(
        name=name,
        jpeg=jpeg(image, SHOWN_SIDE),
        width=width,
        height=height,
        people=tuple(people),
        chosen=0 if len(people) == 1 else None,
    )


def chosen_people(photos: Sequence[UploadedPhoto]) -> list[Person]:
    """Whom was chosen in the photos.

    Raises:
        ConfigError: if nobody was.
    """
    people = [p.people[p.chosen] for p in photos if p.chosen is not None and p.chosen >= 0]
    if not people:
        raise ConfigError("nobody was chosen in any photo")
    return people


def from_photos(looking: SearchDesk, photos: Sequence[UploadedPhoto]) -> Query:
    """The query of the chosen people; its pictures are shrunk, for they are only shown now."""
    query = looking.from_people(chosen_people(photos))
    pictures = tuple(replace(p, image=_shrunk(p.image, KEPT_SIDE)) for p in query.pictures)
    return replace(query, pictures=pictures)


def from_stored(
    who: Visitor, looking: SearchDesk, track: int | None, identity: int | None
) -> Query:
    """A query from a stored track or identity, of what the visitor may see of it.

    Raises:
        HTTPException: 404 if there is none that they may see.
        DataError: if no picture of it was good enough to be compared.
    """
    if track is not None:
        rows = tracks_by_id(who.desk.reader, [track])
        if not rows:
            raise HTTPException(404, f"there is no track {track}")
        who.check_camera(rows[0].camera, f"track {track}")
        return looking.from_track(track)
    if identity is None:
        raise ConfigError("choose a photo of the person")
    cameras = {row.camera for row in who.desk.reader.tracks(identity=identity)}
    if not any(who.may_see(camera) for camera in cameras):
        raise HTTPException(404, f"there is no identity {identity}")
    return looking.from_identity(identity, who.cameras)


def filters_of(who: Visitor, wishes: Wishes) -> Filters:
    """The filters of a form, checked; always within the cameras the visitor may see.

    Raises:
        ConfigError: naming what does not exist, cannot be read or runs backwards.
    """
    if not one_line(wishes.reason):
        raise ConfigError("say why you search: the reason is written into the audit trail")
    if len(wishes.reason) > LONGEST_REASON:
        raise ConfigError(f"the reason has {len(wishes.reason)} letters; {LONGEST_REASON} at most")
    check_top(wishes.top)
    return choose_filters(
        who.desk.reader,
        wishes.cameras,
        wishes.places,
        with_offset(wishes.start.strip()) or None,
        with_offset(wishes.end.strip(), last=True) or None,
        visible=who.cameras,
    )


def ask(who: Visitor, room: SearchRoom, query: Query, wishes: Wishes) -> Asked:
    """Search, and write down that it was done before anything is shown.

    Raises:
        ConfigError, DataError: naming what cannot be searched for.
        StoreError: if the store is away.
    """
    filters = filters_of(who, wishes)
    wishes = replace(wishes, reason=one_line(wishes.reason))
    looking = room.looking
    if wishes.weights is not None:
        check_weights(wishes.weights, looking.parts)
        if all(weight == 1 for weight in wishes.weights):
            wishes = replace(wishes, weights=None)
    query = query.masked(wishes.weights)
    hits = looking.search(query, filters, wishes.top)
    entry = audit_of(query, filters, wishes.top, hits, actor=who.name, reason=wishes.reason)
    who.note("search", entry.subject, entry.reason, entry.details)
    return Asked(query=query, wishes=wishes, filters=filters, hits=tuple(hits))


def again(who: Visitor, room: SearchRoom, key: str) -> Query:
    """The query of an earlier search of theirs, to search or to watch for it once more.

    Raises:
        HTTPException: 404 if it is not there, or made of what was erased since or may not be seen
            any more.
    """
    asked = room.shelf.find(key, who.name, Asked)
    _still_there(who, room, asked)
    return asked.query


def _still_there(
    who: Visitor, room: SearchRoom, asked: Asked, others: Iterable[int] = ()
) -> dict[int, TrackRow]:
    """Tracks by id: those behind a search, and of `others` what is left.

    An erasure by another process tells nobody: what it took is forgotten here.

    Raises:
        HTTPException: 404 if what was searched for was erased since, or may not be seen any more.
    """
    anchors = {*asked.query.tracks, *asked.confirmed}
    wanted = anchors.union(others)
    rows = {row.id: row for row in tracks_by_id(who.desk.reader, wanted)}
    if gone := wanted - rows.keys():
        room.shelf.forget_tracks(gone)
        if not gone.isdisjoint(anchors):
            raise HTTPException(404, f"{asked.query.subject} was erased; the search is over")
    _check_theirs(who, (rows[track] for track in asked.query.tracks))
    return rows


def _check_theirs(who: Visitor, rows: Iterable[TrackRow]) -> None:
    """Refuse a query made of tracks on a camera that was taken from the visitor since."""
    if not all(who.may_see(row.camera) for row in rows):
        raise HTTPException(404, TAKEN)


def current(who: Visitor, asked: Asked, room: SearchRoom) -> Current:
    """What may be shown of a search now.

    Raises:
        HTTPException: 404 if what was searched for was erased since, or may not be seen any more.
    """
    reader = who.desk.reader
    rows = _still_there(who, room, asked, (hit.track for hit in asked.hits))
    anchors = [*sorted(asked.query.tracks), *asked.confirmed]
    best = reader.best_exemplars([hit.track for hit in asked.hits])
    known_rows = [rows[track] for track in anchors if track in rows]
    theirs = [row for row in known_rows if who.may_see(row.camera)]
    known = Counter(row.identity for row in theirs if row.identity is not None)
    anchor = known.most_common(1)[0][0] if known else None
    ruled_out = rejected(reader) if anchor is not None else frozenset()
    hits, out = [], 0
    for hit in asked.hits:
        row = rows.get(hit.track)
        if row is None or not who.may_see(row.camera):
            continue
        if (hit.track, anchor) in ruled_out and hit.track not in asked.refused:
            out += 1
            continue
        hits.append(_as_it_is(hit, row, best.get(hit.track)))
    return Current(tuple(hits), anchor, out)


def _as_it_is(hit: Hit, row: TrackRow, best: ExemplarRow | None) -> Hit:
    """A hit with its track of now, which may have grown: the crop with its own time and box."""
    time, box = (row.start, None) if best is None else (best.time, best.box)
    return replace(hit, identity=row.identity, end=row.end, exemplar=best, time=time, box=box)


def jpeg(image: NDArray[np.uint8], side: int) -> bytes:
    """(h, w, 3) BGR as a JPEG whose longer side is `side` at most."""
    done, data = cv2.imencode(".jpg", _shrunk(image, side), [cv2.IMWRITE_JPEG_QUALITY, 88])
    if not done:  # not for pictures of this kind
        raise ConfigError(f"a picture of {image.shape} cannot be shown")
    return data.tobytes()


def _shrunk(image: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    height, width = image.shape[:2]
    scale = side / max(height, width)
    if scale >= 1:
        return image
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    return np.asarray(cv2.resize(image, size, interpolation=cv2.INTER_AREA), np.uint8)
