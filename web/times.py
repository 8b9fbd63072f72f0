"""Times as people and programs send them."""

from __future__ import annotations

from datetime import UTC, datetime

from investigation.asking import parse_time
from reid.errors import ConfigError, DataError


def utc_seconds(text: str | None, name: str) -> float | None:
    """ISO 8601 to UTC seconds, as `parse_time` reads it; empty is None.

    Args:
        text: `2026-01-31T12:00`, `2026-01-31 12:00:00Z`, `2026-01-31T13:00+01:00`.
        name: of the field, for the message.

    Raises:
        DataError: naming the field and what was sent, also outside of the years 1970 to 9999.
    """
    if text is None or not text.strip():
        return None
    try:
        return parse_time(text, name)
    except ConfigError as error:
        raise DataError(str(error)) from error


def check_order(start: float | None, end: float | None) -> None:
    """Refuse a span that ends before it starts.

    Raises:
        DataError: naming both.
    """
    if start is not None and end is not None and end < start:
        first, last = (datetime.fromtimestamp(t, UTC).isoformat() for t in (start, end))
        raise DataError(f"the time range is backwards: from {first} to {last}")
