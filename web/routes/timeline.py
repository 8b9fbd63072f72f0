"""Who was seen in a stretch of time, with pictures."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from fastapi import APIRouter, Query, Request
from starlette.responses import Response

from reid.errors import DataError
from storage.accounts.accounts import Role
from storage.pictures import count_between, newest_sighting
from storage.records import ExemplarRow, TrackRow
from storage.rows import LAST_MOMENT
from storage.sightings import tracks_between
from web.access import Viewer, Visitor
from web.pages import iso, page
from web.times import check_order, utc_seconds

router = APIRouter(include_in_schema=False)

HOUR = 3600.0
PAGE = 60  # people on one page
MOST_TRACKS = 20_000
Text = Annotated[str, Query(max_length=200)]


@dataclass(frozen=True, slots=True)
class Seen:
    """Somebody: an identity's tracks in the window, or a track that nobody decided about."""

    identity: int | None
    tracks: tuple[TrackRow, ...]
    picture: ExemplarRow | None

    @property
    def start(self) -> float:
        """First seen in the window's tracks, UTC seconds."""
        return min(track.start for track in self.tracks)

    @property
    def end(self) -> float:
        """Last seen, UTC seconds."""
        return max(track.end for track in self.tracks)

    @property
    def cameras(self) -> tuple[str, ...]:
        """In the order they saw this person."""
        ordered = sorted(self.tracks, key=lambda track: track.start)
        return tuple(dict.fromkeys(track.camera for track in ordered))


@router.get("/timeline")
def timeline(
    request: Request,
    who: Viewer,
    start: Text = "",
    end: Text = "",
    camera: Annotated[list[str], Query()] = [],  # noqa: B006 - FastAPI copies it
    number: Annotated[int, Query(alias="page", ge=1, le=100_000)] = 1,
) -> Response:
    """Who was seen, first come first; the last hour with anybody, if no time is given."""
    cameras = [row for row in who.desk.reader.cameras() if who.may_see(row.id)]
    when = window(who, start, end)
    chosen = check_cameras(camera, [row.id for row in cameras]) or who.cameras
    found, total = people(who, *when, chosen, number) if when is not None else ([], 0)
    note(who, when, camera, number)
    return page(
        request,
        "timeline.html",
        people=found,
        total=total,
        number=number,
        pages=-(-total // PAGE),
        when=when,
        chosen=camera,
        cameras=cameras,
        may_search=who.role >= Role.INVESTIGATOR,
    )


def note(who: Visitor, when: tuple[float, float] | None, cameras: list[str], number: int) -> None:
    """Write down who looks at which page of which window; `cameras` as chosen."""
    details: dict[str, object] = {"cameras": cameras} if cameras else {}
    if when is not None:
        details |= {"from": iso(when[0]), "to": iso(when[1])}
    if number > 1:
        details["page"] = number
    who.note("view", "timeline", details=details)


def window(who: Visitor, start: str, end: str) -> tuple[float, float] | None:
    """The stretch of time that is meant; None if nobody was ever seen and no time is given.

    Raises:
        DataError: if a time cannot be read, or the range is backwards.
    """
    first, last = utc_seconds(start, "from"), utc_seconds(end, "to")
    check_order(first, last)
    if last is None:
        if first is not None:
            return first, min(first + HOUR, LAST_MOMENT)
        last = newest_sighting(who.desk.reader, who.cameras)
        if last is None:
            return None
    return (max(0.0, last - HOUR) if first is None else first), last


def check_cameras(chosen: list[str], there: list[str]) -> frozenset[str]:
    """Cameras of a filter.

    Raises:
        DataError: if there is no such camera (for this visitor).
    """
    for name in chosen:
        if name not in there:
            raise DataError(f"there is no camera {name[:80]!r}; there are: {', '.join(there)}")
    return frozenset(chosen)


def people(
    who: Visitor, start: float, end: float, cameras: frozenset[str] | None, number: int
) -> tuple[list[Seen], int]:
    """A page of those seen in a window, by when they came, and how many there are in all.

    Raises:
        DataError: if the window holds too many tracks to be listed.
    """
    reader = who.desk.reader
    count = count_between(reader, start, end, cameras)
    if count > MOST_TRACKS:
        raise DataError(
            f"{count} tracks in this time; choose a shorter one ({MOST_TRACKS} at most)"
        )
    groups: dict[tuple[int | None, int | None], list[TrackRow]] = {}
    for row in tracks_between(reader, start, end, cameras=cameras):
        alone = row.id if row.identity is None else None
        groups.setdefault((row.identity, alone), []).append(row)
    ordered = sorted(groups.values(), key=lambda rows: (min(r.start for r in rows), rows[0].id))
    shown = ordered[(number - 1) * PAGE : number * PAGE]
    best = reader.best_exemplars([row.id for rows in shown for row in rows])
    return [_seen(rows, best) for rows in shown], len(ordered)


def _seen(rows: list[TrackRow], best: dict[int, ExemplarRow]) -> Seen:
    pictures = [best[row.id] for row in rows if row.id in best]
    picture = max(pictures, key=lambda p: (p.score, -p.id), default=None)
    return Seen(rows[0].identity, tuple(rows), picture)
