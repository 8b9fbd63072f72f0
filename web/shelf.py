"""What a search page refers to by address: queries with their hits, and photos awaiting a choice.

Kept in memory alone and for a few hours: a photo that somebody brought is nowhere else, unless
they make a watch or a case of it. A restart forgets; people search again. An entry belongs to the
user who made it and has an unguessable id; for anybody else it is not there.
"""

from __future__ import annotations

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeVar

from fastapi import HTTPException

from investigation.filters import Filters
from investigation.search.hit_pictures import HitPictures
from investigation.search.hits import Hit
from investigation.search.photos import Person
from investigation.search.queries import Query

HOURS = 4.0  # since it was last used
MOST = 400
MOST_OF_ONE = 100  # of one user
MOST_BYTES = 768 * 1024 * 1024
GONE = "this search is over (searches are kept for a few hours, and end with a restart)"


@dataclass(frozen=True, slots=True)
class Wishes:
    """What somebody asked for beside the person, as they wrote it; shown again in the form.

    Attributes:
        reason: why they search.
        cameras: ids; none is all they may see.
        places: names; none is all.
        start: as typed, UTC; empty is open.
        end: the same.
        top: hits, at most.
        weights: how far each part is trusted, from the top; None: each fully.
    """

    reason: str = ""
    cameras: tuple[str, ...] = ()
    places: tuple[str, ...] = ()
    start: str = ""
    end: str = ""
    top: int = 20
    weights: tuple[float, ...] | None = None


@dataclass(slots=True, eq=False)
class UploadedPhoto:
    """A photo and who is in it.

    Attributes:
        name: of the file, made harmless.
        jpeg: the photo as shown, shrunk.
        width: of the photo itself, pixels.
        height: of the photo itself, pixels.
        people: found in it.
        chosen: index of the person meant; -1: not in this photo; None: not said yet.
    """

    name: str
    jpeg: bytes
    width: int
    height: int
    people: tuple[Person, ...]
    chosen: int | None = None

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return len(self.jpeg) + sum(person.crop.nbytes for person in self.people)


@dataclass(slots=True, eq=False)
class Waiting:
    """Photos of which somebody has yet to say who is meant."""

    photos: tuple[UploadedPhoto, ...]
    wishes: Wishes

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return sum(photo.size for photo in self.photos)

    @property
    def open(self) -> int | None:
        """Index of the first photo without a choice; None: all are made."""
        found = (i for i, photo in enumerate(self.photos) if photo.chosen is None)
        return next(found, None)


@dataclass(slots=True, eq=False)
class Asked:
    """A search that was made.

    Attributes:
        query: whom was searched for; its weights are those of `wishes`.
        wishes: as asked.
        filters: as understood; hold the cameras the user may see.
        hits: best first, as found then; see `web.searching.current` for what is shown.
        confirmed: tracks that the user said look like the person, in this search.
        refused: tracks that the user said do not.
        drawn: heat maps of the hits looked at last, by track.
    """

    query: Query
    wishes: Wishes
    filters: Filters
    hits: tuple[Hit, ...]
    confirmed: list[int] = field(default_factory=list)
    refused: set[int] = field(default_factory=set)
    drawn: OrderedDict[int, HitPictures] = field(default_factory=OrderedDict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @property
    def size(self) -> int:
        """Bytes of memory, about."""
        return sum(picture.image.nbytes for picture in self.query.pictures) + 4096 * len(self.hits)

    def hit(self, track: int) -> Hit | None:
        """The hit of a track."""
        return next((hit for hit in self.hits if hit.track == track), None)


Entry = TypeVar("Entry", Waiting, Asked)


@dataclass(slots=True)
class _Kept:
    owner: str
    entry: Waiting | Asked
    used: float
    size: int


class Shelf:
    """Searches by id. Safe to share by threads."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        """Start empty; `clock` in seconds."""
        self._clock = clock
        self._kept: OrderedDict[str, _Kept] = OrderedDict()  # the one used last is last
        self._lock = threading.Lock()

    def put(self, owner: str, entry: Waiting | Asked) -> str:
        """Keep something for a user; returns its id. What was used longest ago makes room."""
        key = secrets.token_urlsafe(18)
        with self._lock:
            self._kept[key] = _Kept(owner, entry, self._clock(), entry.size)
            self._make_room(owner)
        return key

    def find(self, key: str, owner: str, kind: type[Entry]) -> Entry:
        """What a user kept under an id.

        Raises:
            HTTPException: 404 if there is none, it is over, or it is another user's.
        """
        with self._lock:
            self._forget_old()
            kept = self._kept.get(key)
            if kept is None or kept.owner != owner or not isinstance(kept.entry, kind):
                raise HTTPException(404, GONE)
            kept.used = self._clock()
            self._kept.move_to_end(key)
            return kept.entry

    def drop(self, key: str) -> None:
        """Forget one."""
        with self._lock:
            self._kept.pop(key, None)

    def forget_tracks(self, tracks: Collection[int]) -> None:
        """After an erasure: forget searches for whoever these tracks show, and hits of them.

        A search by photo is for them if somebody confirmed one of the tracks in it.
        """
        with self._lock:
            for key, kept in list(self._kept.items()):
                asked = kept.entry
                if not isinstance(asked, Asked):
                    continue
                asked.hits = tuple(hit for hit in asked.hits if hit.track not in tracks)
                for track in tracks:
                    asked.drawn.pop(track, None)
                if not {*asked.query.tracks, *asked.confirmed}.isdisjoint(tracks):
                    del self._kept[key]

    def __len__(self) -> int:
        return len(self._kept)

    def _make_room(self, owner: str) -> None:
        self._forget_old()
        own = [key for key, kept in self._kept.items() if kept.owner == owner]
        for key in own[:-MOST_OF_ONE]:
            del self._kept[key]
        total = sum(kept.size for kept in self._kept.values())
        while len(self._kept) > 1 and (len(self._kept) > MOST or total > MOST_BYTES):
            total -= self._kept.popitem(last=False)[1].size

    def _forget_old(self) -> None:
        oldest = self._clock() - HOURS * 3600
        while self._kept and next(iter(self._kept.values())).used < oldest:
            self._kept.popitem(last=False)
