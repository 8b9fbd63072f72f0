"""The way of an identity or a track, as far as a visitor may see it."""

from __future__ import annotations

from dataclasses import dataclass

from fastapi import HTTPException

from investigation.evidence import Evidence, explain
from investigation.replay.itinerary import Itinerary, of_identity, of_track
from storage.records import ExemplarRow, LedgerRow
from storage.sightings import tracks_by_id
from web.access import Visitor

MOST_PICTURES = 6


@dataclass(frozen=True, slots=True)
class Said:
    """An entry of a track's ledger, and how it reads."""

    row: LedgerRow
    words: Evidence


def itinerary(who: Visitor, identity: int) -> Itinerary | None:
    """The way of an identity as far as the visitor may see it; None if there is nothing."""
    tracks = who.desk.reader.tracks(identity=identity)
    if not any(who.may_see(row.camera) for row in tracks):
        return None
    return of_identity(who.desk.reader, identity, who.cameras)


def track_itinerary(who: Visitor, track: int) -> Itinerary:
    """The way of a track's identity, or of the track alone.

    Raises:
        HTTPException: 404 if there is no such track that the visitor may see.
    """
    rows = tracks_by_id(who.desk.reader, [track])
    if not rows:
        raise HTTPException(404, f"there is no track {track}")
    who.check_camera(rows[0].camera, f"track {track}")
    return of_track(who.desk.reader, track, who.cameras)


def faces(who: Visitor, way: Itinerary) -> list[ExemplarRow]:
    """The best pictures of an itinerary's tracks, one a track."""
    best = who.desk.reader.best_exemplars(way.tracks).values()
    return sorted(best, key=lambda row: -row.score)[:MOST_PICTURES]


def ledgers(who: Visitor, way: Itinerary) -> dict[int, list[Said]]:
    """The ledger of each track of an itinerary."""
    return {
        sighting.track.id: said_of(who, sighting.track.id, step.camera)
        for step in way.steps
        for sighting in step.sightings
    }


def said_of(who: Visitor, track: int, camera: str) -> list[Said]:
    """The ledger of one track."""
    return [Said(row, explain(row, camera)) for row in who.desk.reader.ledger(track)]
