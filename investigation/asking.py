"""What people ask for, as they write it: moments, cameras and places, checked against the store."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from datetime import UTC, datetime

from investigation.filters import Filters
from reid.errors import ConfigError
from storage.queries import StoreReader
from storage.rows import LAST_MOMENT

LISTED = 40  # names in a message: enough to find a slip of the finger


def parse_time(text: str, what: str = "time") -> float:
    """A moment as UTC seconds.

    Args:
        text: ISO 8601, such as `2026-01-31T14:10:00Z`; without an offset it is UTC, without a time
            of day the day's beginning.
        what: which moment, for errors.

    Raises:
        ConfigError: if it cannot be read or lies outside of the years 1970 to 9999.
    """
    try:
        moment = datetime.fromisoformat(text.strip())
    except ValueError:
        raise ConfigError(
            f"{what} is '{text[:40]}', which is no time; write 2026-01-31T14:10:00Z (UTC), or with "
            "an offset: 2026-01-31T15:10:00+01:00"
        ) from None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    try:
        seconds = moment.timestamp()
    except (OverflowError, ValueError):
        seconds = -1.0
    if not 0 <= seconds <= LAST_MOMENT:
        raise ConfigError(f"{what} is '{text[:40]}'; allowed: the years 1970 to 9999")
    return seconds


def choose_filters(
    reader: StoreReader,
    cameras: Sequence[str] = (),
    places: Sequence[str] = (),
    start: str | None = None,
    end: str | None = None,
    *,
    visible: Collection[str] | None = None,
) -> Filters:
    """Filters as people name them.

    Args:
        reader: the store, which knows the cameras.
        cameras: ids; none is all.
        places: names; none is all.
        start: see `parse_time`.
        end: see `parse_time`.
        visible: the cameras that the asking person may see; None is all. Others do not exist for
            this person, neither as filter nor in a message nor as hit.

    Raises:
        ConfigError: if there is no such camera or place (lists those there are), or the times
            cannot be read or run backwards.
    """
    known = [c for c in reader.cameras() if visible is None or c.id in visible]
    _check("camera", cameras, [c.id for c in known])
    _check("place", places, [c.place for c in known if c.place is not None])
    chosen = frozenset(cameras) or (None if visible is None else frozenset(visible))
    return Filters(
        cameras=chosen,
        places=frozenset(places) or None,
        start=None if start is None else parse_time(start, "the beginning (from)"),
        end=None if end is None else parse_time(end, "the end (to)"),
    )


def _check(kind: str, wanted: Sequence[str], known: Sequence[str]) -> None:
    there = sorted(set(known))
    for name in wanted:
        if name not in there:
            listed = ", ".join(there[:LISTED]) or "none"
            more = f" and {len(there) - LISTED} more" if len(there) > LISTED else ""
            raise ConfigError(f"the store has no {kind} '{name}'; it has: {listed}{more}")
