"""What the player plays: whose way or which stretch of time, on which cameras, with which marks."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from fastapi import HTTPException

from investigation.replay.clips import ClipPlan, labels_of
from investigation.replay.footage import Footage, Span, check_window
from investigation.replay.itinerary import Itinerary, of_window, stretches, within
from reid.errors import DataError, StoreError
from storage.sightings import boxes_between, tracks_between, tracks_by_id
from web.access import Visitor
from web.ways import itinerary, track_itinerary

MARGIN = 3.0  # seconds before and after a sighting
LONGEST = 1800.0  # seconds that are played at a time
MOST_CAMERAS = 6


@dataclass(frozen=True, slots=True)
class Scene:
    """What is played.

    Attributes:
        name: whose way it is, or which stretch of time.
        ways: the itineraries within it; only the chosen person's when one is chosen.
        chosen: True if one person is followed.
        cameras: those on show, at most `MOST_CAMERAS`.
        others: cameras with footage of that time that are not on show.
        span: the stretch of time.
        whole: all of the way; longer than `span` if it does not fit into it.
    """

    name: str
    ways: tuple[Itinerary, ...]
    chosen: bool
    cameras: tuple[str, ...]
    others: tuple[str, ...]
    span: Span
    whole: Span

    @property
    def goes_on(self) -> bool:
        """True if the person is still seen after the span, which does not hold all of the way."""
        return self.span.end + 1 < self.whole.end - MARGIN

    @property
    def marked(self) -> dict[int, str]:
        """Track -> what is written beside it, of the person who is followed."""
        return labels_of(self.ways) if self.chosen else {}


def scene(
    who: Visitor,
    *,
    identity: int | None,
    track: int | None,
    start: float | None,
    end: float | None,
    cameras: Sequence[str],
) -> Scene:
    """Find out what to play, as far as the visitor may see it.

    Raises:
        HTTPException: 404 for what is not there or not theirs.
        DataError: if nothing is named, the times run backwards or are too far apart.
    """
    for camera in cameras:
        who.check_camera(camera, f"camera {camera!r}")
    if start is not None and end is not None:
        check_window(start, end)
    if identity is not None or track is not None:
        return _of_person(who, identity, track, start, end, tuple(cameras))
    if start is None or end is None:
        raise DataError("say what to play: an identity, a track, or a time from and to")
    if end - start > LONGEST:
        raise DataError(
            f"{(end - start) / 60:.0f} minutes are too many to play at once; up to "
            f"{LONGEST / 60:.0f} are possible"
        )
    reader = who.desk.reader
    span = Span(start, end)
    recorded = [c for c in Footage(reader).recorded(start, end) if who.may_see(c)]
    shown = tuple(cameras)[:MOST_CAMERAS] or tuple(recorded[:MOST_CAMERAS])
    ways = of_window(reader, start, end, frozenset(shown))
    others = tuple(c for c in recorded if c not in shown)
    return Scene("this stretch of time", tuple(ways), False, shown, others, span, span)


def _of_person(
    who: Visitor,
    identity: int | None,
    track: int | None,
    start: float | None,
    end: float | None,
    cameras: tuple[str, ...],
) -> Scene:
    if identity is not None:
        found = itinerary(who, identity)
        if found is None:
            raise HTTPException(404, f"there is no identity {identity}")
        way = found
    else:
        if track is None:
            raise DataError("say what to play: an identity or a track")
        way = track_itinerary(who, track)
        if start is None:  # a hit: begin where its track begins
            row = tracks_by_id(who.desk.reader, [track])[0]
            start = row.start - MARGIN
            end = max(way.end, row.end) + MARGIN if end is None else end
    whole = stretches([way], MARGIN)
    total = Span(whole[0].start, whole[-1].end)
    first = total.start if start is None else max(start, total.start)
    last = min(first + LONGEST, total.end if end is None else end)
    if not first < last:
        raise DataError(f"{way.name} was not seen in that time")
    try:
        shown = within(way, first, last)
    except StoreError as error:
        raise DataError(str(error)) from error
    footage = Footage(who.desk.reader)
    recorded = [c for c in footage.recorded(first, last) if who.may_see(c)]
    chosen = cameras[:MOST_CAMERAS] or shown.cameras[:MOST_CAMERAS]
    span = footage.trimmed(chosen, Span(first, last))
    others = tuple(c for c in recorded if c not in chosen)
    return Scene(way.name, (shown,), True, chosen, others, span, total)


def plan_json(who: Visitor, found: Scene) -> dict[str, Any]:
    """What the player's script needs: the clock, where there is footage, where somebody is."""
    footage = Footage(who.desk.reader)
    span = found.span
    return {
        "start": span.start,
        "end": span.end,
        "cameras": [
            {
                "camera": camera,
                "footage": [[s.start, s.end] for s in footage.spans(camera, span.start, span.end)],
                "seen": [
                    [step.start, step.end]
                    for way in found.ways
                    for step in way.steps
                    if found.chosen and step.camera == camera
                ],
            }
            for camera in found.cameras
        ],
    }


def boxes_json(
    who: Visitor, camera: str, start: float, end: float, marked: frozenset[int]
) -> dict[str, Any]:
    """Everybody's boxes on one camera: `points` are [time, left, top, width, height], pixels.

    `sizes` says of which picture: [from, to, width, height], as coded (a turned video's swapped).
    """
    reader = who.desk.reader
    runs = {row.run for row in tracks_by_id(reader, sorted(marked))}
    tracks = tracks_between(reader, start, end, cameras={camera}, runs=runs)
    points = boxes_between(reader, [row.id for row in tracks], start, end)
    segments = Footage(reader).segments(camera, start, end)
    return {
        "camera": camera,
        "sizes": [[row.start, row.end, row.width, row.height] for row in segments],
        "tracks": [
            {
                "track": row.id,
                "identity": row.identity,
                "chosen": row.id in marked,
                "points": [
                    [round(p.time, 3), *(round(v, 1) for v in _box(p.box))] for p in points[row.id]
                ],
            }
            for row in tracks
        ],
    }


def clip_plan(found: Scene, blur: bool) -> ClipPlan:
    """The scene as a clip: a person's sightings, or all of the stretch of time."""
    spans: tuple[Span, ...] = (found.span,)
    if found.chosen:
        cut = [
            Span(max(s.start, found.span.start), min(s.end, found.span.end))
            for s in stretches(found.ways, MARGIN)
        ]
        spans = tuple(s for s in cut if s.start < s.end) or spans
    labels = found.marked if found.chosen or blur else labels_of(found.ways)
    return ClipPlan(found.cameras, spans, labels, blur)


def _box(box: Any) -> tuple[float, float, float, float]:
    return box.left, box.top, box.width, box.height
