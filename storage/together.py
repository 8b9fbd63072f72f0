"""Tracks that are surely of two people: before one camera at the same moment, never touching."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import groupby

from sqlalchemy import Connection, and_, case, func, select
from sqlalchemy.orm import aliased

from storage.models import Run, Track, TrackBox, TrackletEmbedding
from storage.queries import StoreReader
from storage.selects import AnyRow

SAMPLES, EACH = 20, 1_000  # stretches of the store that are looked at, and tracks of each
LEAST_SECONDS = 0.5  # that two tracks have to share
LEAST_FRAMES = 3  # in which both have a box
MOST_PARTNERS = 4  # of one track: one person must not stand for all
TRIES = 5  # pairs looked at for each that is wanted
CLEAR = 0.1  # of a box's width and height, that lies between the two at least

_a, _b = aliased(TrackBox), aliased(TrackBox)
_TOUCH = and_(
    _a.left - CLEAR * _a.width < _b.left + _b.width,
    _b.left - CLEAR * _a.width < _a.left + _a.width,
    _a.top - CLEAR * _a.height < _b.top + _b.height,
    _b.top - CLEAR * _a.height < _a.top + _a.height,
)
_COMMON = (
    select(func.count(), func.coalesce(func.max(case((_TOUCH, 1), else_=0)), 0))
    .select_from(_a)
    .join(_b, _b.frame == _a.frame)
)


def seen_together(
    reader: StoreReader, fingerprint: str, most: int, *, seed: int = 0
) -> list[tuple[int, int]]:
    """Pairs of tracks of different people, from all over the store; the same ones each time.

    A person before a mirror or on a screen would be a pair, too: nothing here can tell.

    Args:
        reader: the store; runs that repeat another one are left out.
        fingerprint: only tracks that this model embedded.
        most: how many, at most.
        seed: of the choice where there are more.

    Returns:
        Pairs of track ids, the smaller first.

    Raises:
        StoreError: if the store cannot be read.
    """
    with reader.connection() as connection:
        candidates = sorted(set(_overlapping(connection, fingerprint)))
        random.Random(seed).shuffle(candidates)
        found: list[tuple[int, int]] = []
        partners: Counter[int] = Counter()
        for pair in candidates[: TRIES * most]:
            if len(found) == most:
                break
            if max(partners[track] for track in pair) < MOST_PARTNERS and _apart(connection, *pair):
                found.append(pair)
                partners.update(pair)
    return sorted(found)


def _overlapping(connection: Connection, fingerprint: str) -> Iterator[tuple[int, int]]:
    """Pairs of one camera and run whose times overlap."""
    first, last = connection.execute(select(func.min(Track.id), func.max(Track.id))).one()
    if first is None:
        return
    step = max(EACH, (last - first + 1) / SAMPLES)
    begin = float(first)
    while begin <= last:
        tracks = (
            select(Track.id, Track.run, Track.camera, Track.start, Track.end)
            .join(TrackletEmbedding, TrackletEmbedding.track == Track.id)
            .join(Run, Run.id == Track.run)
            .where(Track.id >= int(begin), Track.id < int(begin) + EACH)
            .where(TrackletEmbedding.model == fingerprint, Run.rerun_of.is_(None))
        )
        rows = sorted(connection.execute(tracks), key=lambda r: (r.run, r.camera, r.start, r.id))
        for _, there in groupby(rows, key=lambda row: (row.run, row.camera)):
            yield from _pairs(list(there))
        begin += step


def _pairs(rows: Sequence[AnyRow]) -> Iterator[tuple[int, int]]:
    """Of one camera's tracks, by start."""
    there: list[AnyRow] = []
    for row in rows:
        there = [other for other in there if other.end - row.start >= LEAST_SECONDS]
        if row.end - row.start >= LEAST_SECONDS:
            for other in there[-2 * MOST_PARTNERS :]:
                yield min(row.id, other.id), max(row.id, other.id)
            there.append(row)


def _apart(connection: Connection, one: int, other: int) -> bool:
    """Whether both are seen in the same frames, and never touch there."""
    frames, touch = connection.execute(_COMMON.where(_a.track == one, _b.track == other)).one()
    return bool(frames >= LEAST_FRAMES and not touch)
