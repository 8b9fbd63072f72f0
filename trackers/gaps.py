"""Fill the short gaps that hiding leaves in a track, once its person is seen again.

ByteTrack and StrongSORT do the same: between two boxes of one track, a straight line.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence

from trackers.records import Box, TrackedBox, TrackPoint


class GapFiller:
    """Turns a camera's tracked boxes into the points to keep, gaps filled.

    Args:
        longest: seconds of capture time; longer gaps stay open. 0 fills none.
    """

    def __init__(self, longest: float) -> None:
        self._longest = longest
        self._last: dict[int, TrackPoint] = {}
        self._frames: deque[tuple[int, float]] = deque()

    def update(
        self, frame: int, time: float, boxes: Sequence[TrackedBox]
    ) -> list[tuple[int, TrackPoint]]:
        """Take one processed frame; return (track, point) pairs in order of time per track.

        Points of earlier frames come first where a gap was closed. Only frames that were given
        to `update` are filled: frames that a rate cap skipped stay empty.

        Args:
            frame: index of the frame in its stream, from 0.
            time: its capture time, UTC seconds.
            boxes: what the tracker returned for it.
        """
        if self._frames and time < self._frames[-1][1]:  # the clock was set back
            self._frames.clear()
            self._last.clear()
        points: list[tuple[int, TrackPoint]] = []
        for box in boxes:
            point = TrackPoint(frame, time, box.box, box.confidence)
            before = self._last.get(box.track)
            if before is not None and time - before.time <= self._longest:
                missed = [(f, t) for f, t in self._frames if before.frame < f < frame]
                points += [(box.track, between(before, point, f, t)) for f, t in missed]
            self._last[box.track] = point
            points.append((box.track, point))
        self._frames.append((frame, time))
        while self._frames and time - self._frames[0][1] > self._longest:
            self._frames.popleft()
        return points

    def forget(self, tracks: Sequence[int]) -> None:
        """Drop what is remembered of finished tracks."""
        for track in tracks:
            self._last.pop(track, None)


def between(before: TrackPoint, after: TrackPoint, frame: int, time: float) -> TrackPoint:
    """The point on the straight line between two, by frame index; confidence of the less sure end.

    Args:
        before: the last point before the gap.
        after: the first point after it.
        frame: index of the frame in the gap.
        time: its capture time, UTC seconds.
    """
    share = (frame - before.frame) / (after.frame - before.frame)

    def mix(a: float, b: float) -> float:
        return a + share * (b - a)

    box = Box(
        mix(before.box.left, after.box.left),
        mix(before.box.top, after.box.top),
        mix(before.box.right, after.box.right),
        mix(before.box.bottom, after.box.bottom),
    )
    return TrackPoint(frame, time, box, min(before.confidence, after.confidence))
