"""Times as people and programs send them and read them.

Inside they are UTC seconds, programs get and send UTC. Pages show the site's time of day, that of
`WebSettings.time_zone`, and take what was typed without an offset for it: somebody says "at ten
past two", and means the clock on the wall. The gate sets the zone for each request.
"""

from __future__ import annotations

from contextvars import ContextVar
from datetime import UTC, datetime, tzinfo

from investigation.asking import parse_time
from reid.errors import ConfigError, DataError

zone: ContextVar[tzinfo] = ContextVar("zone", default=UTC)


def local(seconds: float) -> datetime:
    """A moment by the clock of whoever is answered; `tzname()` says whose."""
    return datetime.fromtimestamp(seconds, zone.get())


def with_offset(text: str, *, last: bool = False) -> str:
    """What somebody typed, with the offset that it had there and then; as it is if it has one.

    Args:
        text: ISO 8601; what cannot be read is returned as it is.
        last: of an hour that comes twice, in autumn, the second is meant.
    """
    try:
        typed = datetime.fromisoformat(text.strip())
        if typed.tzinfo is not None:
            return text
        return typed.replace(tzinfo=zone.get(), fold=int(last)).isoformat()
    except (ValueError, OverflowError):
        return text


def utc_seconds(text: str | None, name: str) -> float | None:
    """ISO 8601 to UTC seconds, as `parse_time` reads it, by the request's zone; empty is None.

    Args:
        text: `2026-01-31T12:00`, `2026-01-31 12:00:00Z`, `2026-01-31T13:00+01:00`.
        name: of the field, for the message.

    Raises:
        DataError: naming the field and what was sent, also outside of the years 1970 to 9999.
    """
    if text is None or not text.strip():
        return None
    try:
        return parse_time(with_offset(text, last=name == "to"), name)
    except ConfigError as error:
        raise DataError(str(error)) from error


def check_order(start: float | None, end: float | None) -> None:
    """Refuse a span that ends before it starts.

    Raises:
        DataError: naming both.
    """
    if start is not None and end is not None and end < start:
        first, last = (local(t).isoformat() for t in (start, end))
        raise DataError(f"the time range is backwards: from {first} to {last}")
