"""Which tracklets a search may find: by camera, place, time and run."""

from __future__ import annotations

import math
from dataclasses import dataclass

from reid.errors import ConfigError
from storage.models import iso_text


@dataclass(frozen=True, slots=True)
class Filters:
    """What a tracklet must fulfil to be found; None: anything goes.

    A place is a camera's `place` as last configured. A tracklet passes the times if it overlaps
    [start, end], its ends included; either may be open.

    Attributes:
        cameras: ids, one of which saw it.
        places: names, at one of which its camera stands.
        start: UTC seconds; it was still there at this time or later.
        end: UTC seconds; it was there at this time or earlier.
        runs: ids, one of which made it.
    """

    cameras: frozenset[str] | None = None
    places: frozenset[str] | None = None
    start: float | None = None
    end: float | None = None
    runs: frozenset[int] | None = None

    def __post_init__(self) -> None:
        """Check the times.

        Raises:
            ConfigError: if one is not finite, or they run backwards.
        """
        for name in ("start", "end"):
            value = getattr(self, name)
            if value is not None and not math.isfinite(value):
                raise ConfigError(f"time filter: {name} is {value}, not a moment")
        if self.start is not None and self.end is not None and self.start > self.end:
            raise ConfigError(
                f"time range runs backwards: from {_text(self.start)} to {_text(self.end)}"
            )

    @property
    def empty(self) -> bool:
        """Whether everything passes."""
        return self == Filters()


def _text(seconds: float) -> str:
    try:
        return iso_text(seconds)
    except OverflowError:
        return f"{seconds:g} s"
