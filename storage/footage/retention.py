"""Retention: recordings go by age and by room, oldest first, never what is protected or open.

Row and file go together. A file to be deleted is first renamed to `NAME.gone`; then its row goes,
with one audit row for the batch; once that is committed, the file goes. Whatever moment a crash
takes, the next sweep finds it: a `.gone` file without a row is deleted, one with a row gets its
name back. A file that the store does not know is only reported, never deleted: it may be footage
whose store was restored from an older copy.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import ColumnElement, Connection, delete, func, select

from storage.audit import Audit, record
from storage.desk_models import Recording
from storage.footage.protection import Protection, protection
from storage.footage.recordings import COLUMNS, RecordingRow, media_of, row_of
from storage.footage.sweep import GONE, Sweep, sweep_files
from storage.models import iso_text
from storage.queries import StoreReader
from storage.store import Store

log = logging.getLogger(__name__)

ACTOR = "crosscam"
_BATCH = 200  # recordings in one transaction and one audit row
_PAGE = 2000  # rows read at once; what is protected may lie in front of what is not
_DAY = 86_400.0
_GIGABYTE = 1e9
_SHARE = 0.05  # of a disk, for those on which the gigabytes asked for would be more


@dataclass(frozen=True, slots=True)
class RetentionReport:
    """What retention did, or would do.

    Attributes:
        deleted: the recordings that went (or would go), oldest first, and why: `days`,
            `gigabytes`, `disk`.
        bytes: of the deleted.
        left: bytes of the recordings that stay.
        protected: bytes that are over a limit and stay all the same, because a case or a hold
            protects them or they are still being written.
        sweep: what was found of files and rows that do not fit each other; None if not looked.
        dry_run: nothing was changed.
    """

    deleted: tuple[tuple[RecordingRow, str], ...]
    bytes: int
    left: int
    protected: int
    sweep: Sweep | None
    dry_run: bool


def enforce(
    store: Store,
    *,
    keep_days: float | None,
    keep_gigabytes: float | None,
    keep_free: float = 0.0,
    margin: float = 60.0,
    sweep: bool = True,
    dry_run: bool = False,
    now: float | None = None,
) -> RetentionReport:
    """Delete what is too old or too much.

    Args:
        store: whose recordings.
        keep_days: days after its capture (its `end`) that a recording goes; None: never.
        keep_gigabytes: room for all recordings, 10^9 bytes; None: no limit.
        keep_free: 10^9 bytes to be left free on the media folder's disk (see `reserve`).
        margin: seconds before and after what is protected that stay as well.
        sweep: also look for files and rows that a crash left without each other.
        dry_run: only say what would be done.
        now: UTC seconds; the present by default.

    Raises:
        StoreError: if the store cannot be read or written.
    """
    now = time.time() if now is None else now
    reader = store.reader()
    media_of(reader)
    swept = sweep_files(store, reader, dry_run) if sweep else None
    with reader.connection() as connection:
        kept = protection(connection, margin)
        total = int(connection.execute(select(func.sum(Recording.bytes))).scalar() or 0)
    chosen: dict[int, tuple[RecordingRow, str]] = {}
    protected = 0
    if keep_days is not None:
        for row in _oldest(reader, Recording.end < now - keep_days * _DAY):
            if row.closed and not kept.covers(row.camera, row.start, row.end):
                chosen[row.id] = row, "days"
            else:
                protected += row.bytes
    left = total - sum(row.bytes for row, _ in chosen.values())
    for why, goal in (
        ("gigabytes", None if keep_gigabytes is None else keep_gigabytes * _GIGABYTE),
        ("disk", total - _shortage(reader, keep_free)),
    ):
        if goal is None or left <= goal:
            continue
        for row in _oldest(reader, Recording.closed.is_(True)):
            if left <= goal:
                break
            if row.id not in chosen and not kept.covers(row.camera, row.start, row.end):
                chosen[row.id] = row, why
                left -= row.bytes
        protected = max(protected, int(left - goal))
    deleted = sorted(chosen.values(), key=lambda choice: (choice[0].end, choice[0].id))
    if not dry_run:
        deleted = _delete(store, deleted, margin)
    size = sum(row.bytes for row, _ in deleted)
    return RetentionReport(tuple(deleted), size, total - size, protected, swept, dry_run)


def reserve(media: Path, keep_free: float) -> int:
    """Bytes to be left free on a disk: `keep_free` gigabytes, or a twentieth of a small disk.

    Raises:
        OSError: if the folder cannot be looked at.
    """
    return int(min(keep_free * _GIGABYTE, _SHARE * shutil.disk_usage(media).total))


def _shortage(reader: StoreReader, keep_free: float) -> int:
    """Bytes that have to go before so much is free."""
    media = media_of(reader)
    try:
        return max(0, reserve(media, keep_free) - shutil.disk_usage(media).free)
    except OSError as error:
        log.warning("cannot tell how full %s is: %s", media, error.strerror or error)
        return 0


def _oldest(reader: StoreReader, wanted: ColumnElement[bool]) -> Iterator[RecordingRow]:
    """Recordings by the end of their capture, in pages: who needs a few does not read them all."""
    media = media_of(reader)
    found = COLUMNS.where(wanted).order_by(Recording.end, Recording.id).limit(_PAGE)
    last: RecordingRow | None = None
    while True:
        page = found
        if last is not None:
            after = (Recording.end > last.end) | (
                (Recording.end == last.end) & (Recording.id > last.id)
            )
            page = found.where(after)
        with reader.connection() as connection:
            rows = [row_of(row, media) for row in connection.execute(page)]
        yield from rows
        if len(rows) < _PAGE:
            return
        last = rows[-1]


def _delete(
    store: Store, chosen: Sequence[tuple[RecordingRow, str]], margin: float
) -> list[tuple[RecordingRow, str]]:
    """Delete rows and files in batches; returns what truly went."""
    done: list[tuple[RecordingRow, str]] = []
    for begin in range(0, len(chosen), _BATCH):
        batch = chosen[begin : begin + _BATCH]

        def remove(
            connection: Connection, batch: Sequence[tuple[RecordingRow, str]] = batch
        ) -> list[tuple[RecordingRow, str]]:
            # Asked again: a hold may have come since, and it counts.
            return _remove(connection, batch, protection(connection, margin))

        gone = store.write(remove)
        for row, _ in gone:
            _unlink(gone_path(row.path))
        done += gone
    return done


def _remove(
    connection: Connection, batch: Sequence[tuple[RecordingRow, str]], kept: Protection
) -> list[tuple[RecordingRow, str]]:
    """In the writer: mark the files, delete the rows, write the audit row."""
    going = []
    there = select(Recording.id).where(Recording.id.in_([row.id for row, _ in batch]))
    still = set(connection.execute(there).scalars())  # another process may be at the same
    for row, why in batch:
        if row.id not in still or kept.covers(row.camera, row.start, row.end):
            continue
        try:
            row.path.rename(gone_path(row.path))
        except FileNotFoundError:
            if not row.path.parent.exists():  # the disk may be away: the sweep decides
                log.debug("recording %s stays: its folder is not there", row.path)
                continue
            # Its row goes all the same, and the audit row names it.
        except OSError as error:
            log.warning("recording %s stays: %s", row.path, error.strerror or error)
            continue
        going.append((row, why))
    if going:
        ids = [row.id for row, _ in going]
        connection.execute(delete(Recording).where(Recording.id.in_(ids)))
        record(
            connection, Audit(ACTOR, "retention", f"{len(ids)} recordings", details=_told(going))
        )
    return going


def _told(going: Sequence[tuple[RecordingRow, str]]) -> dict[str, object]:
    """What the audit row says of a batch."""
    rows = [row for row, _ in going]
    return {
        "because": dict(sorted(Counter(why for _, why in going).items())),
        "cameras": dict(sorted(Counter(row.camera for row in rows).items())),
        "bytes": sum(row.bytes for row in rows),
        "from": iso_text(min(row.start for row in rows)),
        "to": iso_text(max(row.end for row in rows)),
    }


def gone_path(path: Path) -> Path:
    """The name of a file whose deletion has begun."""
    return path.with_name(path.name + GONE)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:  # the next sweep tries again
        log.warning("cannot delete %s: %s", path, error.strerror or error)
