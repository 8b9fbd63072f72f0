"""Who else's pictures show a person: those of neighbours, and of other runs over the same footage.

By camera, time and place in the picture, whichever run it was: a re-run (`replay --rerun`) sees the
same people again, under tracks and identities of its own. It errs on the side of too much.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Connection, select

from storage.decisions.standing import current_identities
from storage.erasure.records import DoomedTrack, Remain
from storage.models import ExemplarCrop, Run, RunCamera, Track, TrackBox
from storage.selects import AnyRow, chunks

_PAD = 0.25  # a crop shows the whole body: this much more than its box, at most, to each side
_NEAR = 0.5  # seconds between two boxes that are still compared
_SAME = 0.5  # intersection over union from which two boxes may be one person's
_BOX = ("time", "left", "top", "width", "height")


@dataclass(frozen=True, slots=True)
class SeenAgain:
    """A track of another run that was where the person was.

    Attributes:
        track: its id.
        run: its run.
        rerun_of: the run that this one repeats, if it does.
        identity: its identity now, if it has one.
        camera: where.
        start: UTC seconds.
        end: UTC seconds.
    """

    track: int
    run: int
    rerun_of: int | None
    identity: int | None
    camera: str
    start: float
    end: float

    def remain(self) -> Remain:
        """What to say of it."""
        run = f"run {self.run}"
        if self.rerun_of is not None:
            run += f", a re-run of run {self.rerun_of}"
        who = "without an identity" if self.identity is None else f"identity {self.identity}"
        then = "" if self.identity is None else f"; erase identity {self.identity} as well if so"
        return Remain(
            "other run",
            f"track {self.track} of {run} ({who}), was at the same place at the same time: it may "
            f"be the person, with pictures and a vector of its own{then}",
            self.camera,
            self.start,
            self.end,
        )


def neighbours(connection: Connection, tracks: Sequence[DoomedTrack]) -> dict[int, list[AnyRow]]:
    """Other tracks of the same camera and time, of any run: for each of the tracks, by its id."""
    gone = {track.id for track in tracks}
    runs: dict[str, list[int]] = {}
    for camera in {track.camera for track in tracks}:
        rows = select(RunCamera.run).where(RunCamera.camera == camera)
        runs[camera] = sorted(connection.execute(rows).scalars())
    return {track.id: list(_there(connection, track, runs[track.camera], gone)) for track in tracks}


def pictures(
    connection: Connection,
    tracks: Sequence[DoomedTrack],
    others: Mapping[int, Sequence[AnyRow]],
    media: Path,
) -> Iterator[Remain]:
    """Crops of other tracks, of any run, in which the person may be seen as well.

    `others`: of `neighbours`; `media`: the media folder.
    """
    told: set[str] = set()
    for track in tracks:
        own = _boxes(connection, track.id)
        for some in chunks([row.id for row in others[track.id]]):
            names = (getattr(ExemplarCrop, name) for name in _BOX)
            crops = select(ExemplarCrop.path, *names).where(ExemplarCrop.track.in_(some))
            for crop in connection.execute(crops.order_by(ExemplarCrop.path)):
                box = _nearest(own, crop.time)
                if box is not None and crop.path not in told and _reaches(box, crop):
                    told.add(crop.path)
                    what = str(media / crop.path)
                    yield Remain("picture", what, track.camera, crop.time, crop.time)


def seen_again(
    connection: Connection,
    tracks: Sequence[DoomedTrack],
    others: Mapping[int, Sequence[AnyRow]],
) -> list[SeenAgain]:
    """Tracks of other runs that may be the same person at the same moments, by id.

    `others`: of `neighbours`.
    """
    found: dict[int, Any] = {}
    for track in tracks:
        elsewhere = [row for row in others[track.id] if row.run != track.run]
        own = _boxes(connection, track.id) if elsewhere else []
        for row in elsewhere:
            if row.id not in found and _meet(own, _boxes(connection, row.id)):
                found[row.id] = row
    now = current_identities(connection, found)
    return [
        SeenAgain(row.id, row.run, row.rerun_of, now.get(row.id), row.camera, row.start, row.end)
        for _, row in sorted(found.items())
    ]


def _there(
    connection: Connection, track: DoomedTrack, runs: Sequence[int], gone: Collection[int]
) -> Iterator[AnyRow]:
    """Run by run, by the index of run and camera: few tracks of many."""
    for some in chunks(runs):
        rows = (
            select(Track.id, Track.run, Track.camera, Track.start, Track.end, Run.rerun_of)
            .join(Run, Run.id == Track.run)
            .where(Track.run.in_(some), Track.camera == track.camera)
            .where(Track.start <= track.end, Track.end >= track.start)
        )
        yield from (row for row in connection.execute(rows) if row.id not in gone)


def _boxes(connection: Connection, track: int) -> list[AnyRow]:
    """A track's boxes by time."""
    names = (getattr(TrackBox, name) for name in _BOX)
    rows = select(*names).where(TrackBox.track == track).order_by(TrackBox.time)
    return list(connection.execute(rows))


def _nearest(boxes: Sequence[AnyRow], moment: float) -> AnyRow | None:
    """The box nearest in time, if it is near."""
    at = bisect_left(boxes, moment, key=lambda box: box.time)
    around = boxes[max(at - 1, 0) : at + 1]
    best = min(around, key=lambda box: abs(box.time - moment), default=None)
    return best if best is not None and abs(best.time - moment) <= _NEAR else None


def _meet(boxes: Sequence[AnyRow], others: Sequence[AnyRow]) -> bool:
    """Whether two tracks may be one person at some moment."""
    return any(
        (box := _nearest(boxes, other.time)) is not None and _share(box, other) >= _SAME
        for other in others
    )


def _reaches(box: AnyRow, crop: AnyRow) -> bool:
    """Whether a crop of this box may show something of the other one."""
    return all(
        first < other + length + pad and first + own > other - pad
        for first, own, other, length, pad in (
            (box.left, box.width, crop.left, crop.width, crop.width * _PAD),
            (box.top, box.height, crop.top, crop.height, crop.height * _PAD),
        )
    )


def _share(a: AnyRow, b: AnyRow) -> float:
    """Intersection over union."""
    width = min(a.left + a.width, b.left + b.width) - max(a.left, b.left)
    height = min(a.top + a.height, b.top + b.height) - max(a.top, b.top)
    both = max(width, 0.0) * max(height, 0.0)
    union = a.width * a.height + b.width * b.height - both
    return float(both / union) if union > 0 else 0.0
