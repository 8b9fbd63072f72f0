"""What retention must not touch: the footage of open cases and of holds, as stretches of time."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

from sqlalchemy import Connection, select

from storage.decisions.standing import successors
from storage.desk_models import Case, CaseItem, Hold
from storage.models import LedgerEntry, Track
from storage.selects import CURRENT

Window = tuple[str | None, float, float]  # camera (None: all), start, end in UTC seconds

_FOREVER = float("inf")


class Protection:
    """Stretches of time per camera; quick to ask."""

    def __init__(self, windows: Iterable[Window], margin: float) -> None:
        """Join what overlaps.

        Args:
            windows: what is protected.
            margin: seconds kept before and after each.
        """
        windows = list(windows)
        everywhere = [(s - margin, e + margin) for camera, s, e in windows if camera is None]
        cameras = {camera for camera, _, _ in windows if camera is not None}
        self._everywhere = _joined(everywhere)
        self._cameras = {
            name: _joined(
                [*everywhere, *((s - margin, e + margin) for c, s, e in windows if c == name)]
            )
            for name in cameras
        }

    def covers(self, camera: str, start: float, end: float) -> bool:
        """Whether any of [start, end] (UTC seconds) of a camera is protected."""
        starts, ends = self._cameras.get(camera, self._everywhere)
        index = bisect_right(starts, end)
        return index > 0 and ends[index - 1] >= start


def protection(connection: Connection, margin: float) -> Protection:
    """What open cases and holds protect now.

    Of a case's items a track protects its camera's footage of its time, an identity that of all
    tracks it has now, also under the name that most of them got since (a person's merge, or the
    matcher's), a clip its camera's footage of its stretch.
    """
    windows: list[Window] = [
        (camera, start, end)
        for camera, start, end in connection.execute(
            select(Hold.camera, Hold.start, Hold.end).where(Hold.released.is_(None))
        )
    ]
    opened = select(Case.id).where(Case.closed.is_(None))
    items = CaseItem.case.in_(opened)
    named = select(CaseItem.track).where(items, CaseItem.kind == "track")
    seen = select(Track.camera, Track.start, Track.end)
    rows = list(connection.execute(seen.where(Track.id.in_(named))))
    added = select(CaseItem.identity).where(items, CaseItem.kind == "identity")
    names = {name for name in connection.execute(added).scalars() if name is not None}
    later = {name for name in successors(connection, names).values() if name is not None}
    people = sorted(names | later)
    ever = select(LedgerEntry.track).where(LedgerEntry.identity.in_(people))
    current = seen.join(LedgerEntry, CURRENT)
    rows += connection.execute(current.where(Track.id.in_(ever), LedgerEntry.identity.in_(people)))
    windows += [(camera, start, end) for camera, start, end in rows]
    clips = select(CaseItem.camera, CaseItem.start, CaseItem.end).where(
        items, CaseItem.kind == "clip"
    )
    for camera, start, end in connection.execute(clips):
        windows.append((camera, -_FOREVER if start is None else start, end or _FOREVER))
    return Protection(windows, margin)


def _joined(stretches: Iterable[tuple[float, float]]) -> tuple[list[float], list[float]]:
    """Starts and ends of the stretches, sorted, none touching another."""
    starts: list[float] = []
    ends: list[float] = []
    for start, end in sorted(stretches):
        if ends and start <= ends[-1]:
            ends[-1] = max(ends[-1], end)
        else:
            starts.append(start)
            ends.append(end)
    return starts, ends
