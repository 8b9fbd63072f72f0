"""Which of a track's crops belongs to an alert: the one whose time and box the alert tells."""

from __future__ import annotations

from storage.queries import StoreReader
from storage.records import ExemplarRow
from storage.watches.alerts import AlertRow

SAME_MOMENT = 1e-3  # seconds; the store keeps microseconds


def crop_of(reader: StoreReader, alert: AlertRow) -> ExemplarRow | None:
    """The crop that raised an alert; the track's best where that was replaced since.

    Returns:
        None if the track has no crop left.

    Raises:
        StoreError: if the store cannot be read.
    """
    rows = reader.exemplars(alert.track)
    there = (row for row in rows if abs(row.time - alert.time) < SAME_MOMENT)
    return next(there, rows[0] if rows else None)
