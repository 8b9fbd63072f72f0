"""Where a person went: camera after camera, with the gaps in between and the evidence for each.

An itinerary is the current reading of the ledger, not the truth: each step is there because its
tracks look alike, and carries the sentence that says so. Between two steps nobody looked, or
nobody was recognised; the gap says how long.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from investigation.evidence import Evidence, explain
from investigation.replay.footage import Span, check_window
from reid.errors import StoreError
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import ExemplarRow, TrackRow
from storage.sightings import tracks_between, tracks_by_id

DROPOUT = 2.0  # seconds for which a camera may lose sight of somebody who stays before it
TOGETHER = 10.0  # seconds out of one camera's sight within which it is still the same visit


@dataclass(frozen=True, slots=True)
class Sighting:
    """A track of a step, and why it is there (None: nobody decided about it yet)."""

    track: TrackRow
    evidence: Evidence | None

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "track": self.track.id,
            "run": self.track.run,
            "start": iso_text(self.track.start),
            "end": iso_text(self.track.end),
            "boxes": self.track.boxes,
            "decided": None if self.evidence is None else self.evidence.heading,
            "evidence": None if self.evidence is None else self.evidence.text,
            "in_doubt": self.evidence is not None and self.evidence.mark == "doubt",
            "actor": None if self.evidence is None else self.evidence.actor,
        }


@dataclass(frozen=True, slots=True)
class Step:
    """A visit to one camera.

    Attributes:
        number: from 1, by start.
        camera: where.
        place: the camera's place, if it has a name.
        start: UTC seconds.
        end: UTC seconds.
        sightings: its tracks, by start.
        gap: seconds since any earlier step's end, in which no camera saw the person; 0 for the
            first step and where cameras overlap.
        overlap: seconds of this step in which an earlier step's camera saw the person as well.
        picture: the best crop of the step; None if it has none.
    """

    number: int
    camera: str
    place: str | None
    start: float
    end: float
    sightings: tuple[Sighting, ...]
    gap: float
    overlap: float
    picture: ExemplarRow | None

    @property
    def tracks(self) -> tuple[int, ...]:
        """Ids of its tracks."""
        return tuple(s.track.id for s in self.sightings)

    @property
    def evidence(self) -> str:
        """The sentences for its tracks, each once."""
        return " ".join(dict.fromkeys(s.evidence.text for s in self.sightings if s.evidence))

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC, box [left, top, width, height] in pixels."""
        return {
            "step": self.number,
            "camera": self.camera,
            "place": self.place,
            "start": iso_text(self.start),
            "end": iso_text(self.end),
            "seconds": round(self.end - self.start, 3),
            "gap": round(self.gap, 3),
            "overlap": round(self.overlap, 3),
            "tracks": [sighting.as_json() for sighting in self.sightings],
            "picture": None if self.picture is None else _picture(self.picture),
        }


@dataclass(frozen=True, slots=True)
class Itinerary:
    """The way of one identity, or of one track that nobody decided about (`identity` None)."""

    identity: int | None
    steps: tuple[Step, ...]

    @property
    def start(self) -> float:
        """When the first step begins, UTC seconds."""
        return self.steps[0].start

    @property
    def end(self) -> float:
        """When the last step to end ends, UTC seconds."""
        return max(step.end for step in self.steps)

    @property
    def cameras(self) -> tuple[str, ...]:
        """The cameras in the order they first saw the person."""
        return tuple(dict.fromkeys(step.camera for step in self.steps))

    @property
    def tracks(self) -> tuple[int, ...]:
        """Ids of all its tracks."""
        return tuple(track for step in self.steps for track in step.tracks)

    @property
    def name(self) -> str:
        """Identity or track, in words."""
        return f"track {self.tracks[0]}" if self.identity is None else f"identity {self.identity}"

    def as_json(self) -> dict[str, Any]:
        """For JSON; times ISO 8601 UTC."""
        return {
            "identity": self.identity,
            "name": self.name,
            "start": iso_text(self.start),
            "end": iso_text(self.end),
            "cameras": list(self.cameras),
            "steps": [step.as_json() for step in self.steps],
        }


def of_identity(
    reader: StoreReader, identity: int, cameras: Collection[str] | None = None
) -> Itinerary:
    """The way of an identity.

    Args:
        reader: the store.
        identity: its id.
        cameras: only what these saw; None is all.

    Raises:
        StoreError: if it has no track (on these cameras).
    """
    tracks = [t for t in reader.tracks(identity=identity) if cameras is None or t.camera in cameras]
    if not tracks:
        where = "" if cameras is None else f" on {', '.join(sorted(cameras))}"
        raise StoreError(f"store {reader.url}: identity {identity} has no track{where}")
    return _itinerary(reader, identity, tracks)


def of_track(reader: StoreReader, track: int, cameras: Collection[str] | None = None) -> Itinerary:
    """The way of the identity that a track has; of the track alone while it has none.

    Raises:
        StoreError: if there is no such track (on these cameras).
    """
    rows = tracks_by_id(reader, [track])
    if not rows or (cameras is not None and rows[0].camera not in cameras):
        where = "" if cameras is None else f" on {', '.join(sorted(cameras))}"
        raise StoreError(f"store {reader.url} has no track {track}{where}")
    if rows[0].identity is not None:
        return of_identity(reader, rows[0].identity, cameras)
    return _itinerary(reader, None, rows)


def alone(reader: StoreReader, track: int) -> Itinerary:
    """One track by itself, whatever identity it has.

    Raises:
        StoreError: if there is no such track.
    """
    rows = tracks_by_id(reader, [track])
    if not rows:
        raise StoreError(f"store {reader.url} has no track {track}")
    return _itinerary(reader, None, rows)


def of_window(
    reader: StoreReader, start: float, end: float, cameras: Collection[str] | None = None
) -> list[Itinerary]:
    """Everybody's way through a stretch of time: who came first, first. Re-runs are left out.

    Args:
        reader: the store.
        start: UTC seconds.
        end: UTC seconds; tracks that touch [start, end] count, whole.
        cameras: only what these saw; None is all.

    Raises:
        DataError: if the times run backwards.
    """
    check_window(start, end)
    groups: dict[tuple[int | None, int | None], list[TrackRow]] = {}
    for track in tracks_between(reader, start, end, cameras=cameras):
        alone = track.id if track.identity is None else None
        groups.setdefault((track.identity, alone), []).append(track)
    found = [_itinerary(reader, identity, rows) for (identity, _), rows in groups.items()]
    return sorted(found, key=lambda i: (i.start, i.tracks))


def within(itinerary: Itinerary, start: float | None, end: float | None) -> Itinerary:
    """The steps that touch [start, end], whole; numbers and gaps stay those of the whole way.

    Raises:
        StoreError: if there is none.
    """
    kept = tuple(
        step
        for step in itinerary.steps
        if (start is None or step.end >= start) and (end is None or step.start <= end)
    )
    if not kept:
        raise StoreError(
            f"{itinerary.name} was not seen in that time; it was seen from "
            f"{iso_text(itinerary.start)} to {iso_text(itinerary.end)}"
        )
    return Itinerary(itinerary.identity, kept)


def stretches(itineraries: Sequence[Itinerary], margin: float) -> list[Span]:
    """When any of them was in sight, a little before and after; what then touches is one."""
    spans: list[Span] = []
    steps = [step for itinerary in itineraries for step in itinerary.steps]
    for step in sorted(steps, key=lambda s: s.start):
        span = Span(step.start - margin, step.end + margin)
        if spans and span.start <= spans[-1].end:
            spans[-1] = Span(spans[-1].start, max(spans[-1].end, span.end))
        else:
            spans.append(span)
    return spans


def _itinerary(reader: StoreReader, identity: int | None, tracks: Sequence[TrackRow]) -> Itinerary:
    steps: list[Step] = []
    seen_until: float | None = None
    for visit in visits(tracks):
        start, end = visit[0].start, max(track.end for track in visit)
        gap = overlap = 0.0
        if seen_until is not None:
            gap = max(0.0, start - seen_until)
            overlap = max(0.0, min(end, seen_until) - start)
        steps.append(
            Step(
                number=len(steps) + 1,
                camera=visit[0].camera,
                place=visit[0].place,
                start=start,
                end=end,
                sightings=tuple(Sighting(track, _evidence(reader, track)) for track in visit),
                gap=gap,
                overlap=overlap,
                picture=_best(reader, visit),
            )
        )
        seen_until = end if seen_until is None else max(seen_until, end)
    return Itinerary(identity, tuple(steps))


def visits(tracks: Sequence[TrackRow]) -> list[list[TrackRow]]:
    """Tracks as visits to one camera each, by start.

    A short break does not end a visit, unless another camera saw the person in the meantime.
    """
    found: list[list[TrackRow]] = []
    current: dict[str, list[TrackRow]] = {}
    seen: dict[str, float] = {}  # camera -> when it last saw the person
    for track in sorted(tracks, key=lambda t: (t.start, t.id)):
        visit = current.get(track.camera)
        left = seen.get(track.camera, track.start)
        away = track.start - left
        elsewhere = any(end > left for camera, end in seen.items() if camera != track.camera)
        if visit and (away <= DROPOUT or (away <= TOGETHER and not elsewhere)):
            visit.append(track)
        else:
            current[track.camera] = [track]
            found.append(current[track.camera])
        seen[track.camera] = max(seen.get(track.camera, track.end), track.end)
    return found


def _evidence(reader: StoreReader, track: TrackRow) -> Evidence | None:
    ledger = reader.ledger(track.id)
    return explain(ledger[-1], track.camera) if ledger else None


def _best(reader: StoreReader, tracks: Sequence[TrackRow]) -> ExemplarRow | None:
    pictures = [row for track in tracks for row in reader.exemplars(track.id)[:1]]
    return max(pictures, key=lambda p: (p.score, -p.id), default=None)


def _picture(row: ExemplarRow) -> dict[str, Any]:
    box = row.box
    return {
        "track": row.track,
        "time": iso_text(row.time),
        "box": [box.left, box.top, box.width, box.height],
        "sha256": row.sha256,
    }
