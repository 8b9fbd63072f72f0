"""A run as files for other tools: MOTChallenge text, Parquet or CSV tables. Streams."""

from __future__ import annotations

import csv
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import IO, Any, Protocol

from sqlalchemy import Row, Select, func, select

from reid.errors import DataError
from storage.media import safe_name
from storage.models import Camera, LedgerEntry, Track, TrackBox, iso_text
from storage.queries import CURRENT, StoreReader

log = logging.getLogger(__name__)

CHUNK = 10_000
FORMATS = ("mot", "parquet", "csv")


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        run: the run exported.
        files: what was written, with the number of rows in each.
        duplicates: MOT: boxes left out because their identity had a more confident one in the
            same camera and frame.
        unlinked_tracks: MOT: tracks left out because nobody decided whose they are.
        unlinked_boxes: MOT: their boxes.
    """

    run: int
    files: dict[Path, int]
    duplicates: int = 0
    unlinked_tracks: int = 0
    unlinked_boxes: int = 0


def export(reader: StoreReader, format: str, out: Path, run: int | None = None) -> ExportReport:
    """Write a run into a folder, which is made if needed.

    Args:
        reader: the store.
        format: `mot` (one file a camera), `parquet` or `csv` (sightings, boxes, ledger).
        out: folder; files of earlier exports are replaced, each at once when it is complete.
        run: its id; by default the latest finished run.

    Raises:
        StoreError: if there is no such run.
        DataError: if the format is unknown or the folder cannot be written.
    """
    if format not in FORMATS:
        raise DataError(f"export format {format!r} is none of {', '.join(FORMATS)}")
    chosen = reader.run(run)
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"cannot write to folder {out}: {error.strerror}") from error
    if format == "mot":
        return _export_mot(reader, out, chosen.id)
    return _export_tables(reader, out, chosen.id, format)


# ---- MOTChallenge ----------------------------------------------------------------------------


def _export_mot(reader: StoreReader, out: Path, run: int) -> ExportReport:
    files: dict[Path, int] = {}
    duplicates = 0
    for camera, name in _file_names([row.camera for row in reader.run_cameras(run)]).items():
        path = out / f"{name}.txt"
        with _replacing(path) as file:
            files[path], dropped = _write_mot(file, reader.stream(_mot_rows(run, camera)))
        if dropped:
            log.warning(
                "camera %s: %d boxes left out, their identity had a more confident one in the "
                "same frame",
                camera,
                dropped,
            )
        duplicates += dropped
    tracks, boxes = next(reader.stream(_unlinked(run)))
    if tracks:
        log.warning("%d tracks (%d boxes) have no identity and were left out", tracks, boxes)
    return ExportReport(run, files, duplicates, tracks, boxes)


def _mot_rows(run: int, camera: str) -> Select[Any]:
    return (
        select(
            TrackBox.frame,
            LedgerEntry.identity,
            TrackBox.left,
            TrackBox.top,
            TrackBox.width,
            TrackBox.height,
            TrackBox.confidence,
        )
        .select_from(Track)
        .join(TrackBox, TrackBox.track == Track.id)
        .join(LedgerEntry, CURRENT)
        .where(Track.run == run, Track.camera == camera)
        .order_by(TrackBox.frame, LedgerEntry.identity, TrackBox.confidence.desc(), Track.id)
    )


def _unlinked(run: int) -> Select[Any]:
    return (
        select(func.count(), func.coalesce(func.sum(Track.boxes), 0))
        .select_from(Track)
        .outerjoin(LedgerEntry, CURRENT)
        .where(Track.run == run, LedgerEntry.id.is_(None))
    )


def _write_mot(file: IO[str], rows: Iterator[Row[Any]]) -> tuple[int, int]:
    """Rows written, and rows left out: MOT allows an identity once a frame."""
    written = dropped = 0
    last: tuple[int, int] | None = None
    for frame, identity, left, top, width, height, confidence in rows:
        if last == (frame, identity):
            dropped += 1
            continue
        last = (frame, identity)
        file.write(
            f"{frame + 1},{identity},{left:.3f},{top:.3f},{width:.3f},{height:.3f},"
            f"{confidence:.4f},-1,-1,-1\n"
        )
        written += 1
    return written, dropped


def _file_names(cameras: Sequence[str]) -> dict[str, str]:
    """A file name for each camera; ids that differ in case only stay apart everywhere."""
    names: dict[str, str] = {}
    used: set[str] = set()
    for camera in cameras:
        name = safe_name(camera)
        if name.casefold() in used:
            name = safe_name(f"{camera}/{len(used)}")
        used.add(name.casefold())
        names[camera] = name
    return names


# ---- tables ----------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns (`time` ones are UTC seconds) and the rows of one exported table."""

    columns: tuple[tuple[str, str], ...]
    rows: Callable[[int], Select[Any]]


def _sightings(run: int) -> Select[Any]:
    return (
        select(
            LedgerEntry.identity,
            Track.camera,
            Camera.place,
            Track.start,
            Track.end,
            Track.id,
            Track.run,
            Track.boxes,
            LedgerEntry.action,
        )
        .select_from(Track)
        .join(Camera, Camera.id == Track.camera)
        .join(LedgerEntry, CURRENT)
        .where(Track.run == run)
        .order_by(LedgerEntry.identity, Track.start, Track.id)
    )


def _boxes(run: int) -> Select[Any]:
    return (
        select(
            Track.camera,
            TrackBox.track,
            LedgerEntry.identity,
            TrackBox.frame,
            TrackBox.time,
            TrackBox.left,
            TrackBox.top,
            TrackBox.width,
            TrackBox.height,
            TrackBox.confidence,
        )
        .select_from(Track)
        .join(TrackBox, TrackBox.track == Track.id)
        .outerjoin(LedgerEntry, CURRENT)
        .where(Track.run == run)
        .order_by(Track.id, TrackBox.frame)
    )


_LEDGER_COLUMNS = (
    ("id", "int"),
    ("written", "time"),
    ("track", "int"),
    ("identity", "int"),
    ("action", "text"),
    ("time", "time"),
    ("candidate", "int"),
    ("distance", "float"),
    ("runner_up", "float"),
    ("support", "float"),
    ("threshold", "float"),
    ("reason", "text"),
    ("actor", "text"),
)


def _ledger(run: int) -> Select[Any]:
    return (
        select(*(getattr(LedgerEntry, name) for name, _ in _LEDGER_COLUMNS))
        .join(Track, Track.id == LedgerEntry.track)
        .where(Track.run == run)
        .order_by(LedgerEntry.id)
    )


TABLES = {
    "sightings": _Table(
        (
            ("identity", "int"),
            ("camera", "text"),
            ("place", "text"),
            ("start", "time"),
            ("end", "time"),
            ("track", "int"),
            ("run", "int"),
            ("boxes", "int"),
            ("action", "text"),
        ),
        _sightings,
    ),
    "boxes": _Table(
        (
            ("camera", "text"),
            ("track", "int"),
            ("identity", "int"),
            ("frame", "int"),
            ("time", "time"),
            ("left", "float"),
            ("top", "float"),
            ("width", "float"),
            ("height", "float"),
            ("confidence", "float"),
        ),
        _boxes,
    ),
    "ledger": _Table(_LEDGER_COLUMNS, _ledger),
}


def _export_tables(reader: StoreReader, out: Path, run: int, format: str) -> ExportReport:
    files: dict[Path, int] = {}
    write: _TableWriter = _write_csv if format == "csv" else _write_parquet
    for name, table in TABLES.items():
        path = out / f"{name}.{format}"
        files[path] = write(path, table, reader.stream(table.rows(run)))
    return ExportReport(run, files)


class _TableWriter(Protocol):
    def __call__(self, path: Path, table: _Table, rows: Iterator[Row[Any]]) -> int: ...


def _write_csv(path: Path, table: _Table, rows: Iterator[Row[Any]]) -> int:
    """Times as ISO text, empty where there is nothing."""
    times = [kind == "time" for _, kind in table.columns]
    count = 0
    with _replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in table.columns])
        for row in rows:
            writer.writerow(
                iso_text(value) if is_time and value is not None else value
                for value, is_time in zip(row, times, strict=True)
            )
            count += 1
    return count


def _write_parquet(path: Path, table: _Table, rows: Iterator[Row[Any]]) -> int:
    """Times as microsecond UTC timestamps; a row group each `CHUNK` rows."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    kinds = {
        "int": pa.int64(),
        "float": pa.float64(),
        "text": pa.string(),
        "time": pa.timestamp("us", tz="UTC"),
    }
    schema = pa.schema([(name, kinds[kind]) for name, kind in table.columns])
    times = [i for i, (_, kind) in enumerate(table.columns) if kind == "time"]
    count = 0
    with _replacing_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while chunk := list(islice(rows, CHUNK)):
            columns = [list(column) for column in zip(*chunk, strict=True)]
            for i in times:
                columns[i] = [None if v is None else round(v * 1e6) for v in columns[i]]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(chunk)
    return count


# ---- files -----------------------------------------------------------------------------------


@contextmanager
def _replacing(path: Path) -> Iterator[IO[str]]:
    with _replacing_path(path) as temporary, temporary.open("w", encoding="utf-8") as file:
        yield file


@contextmanager
def _replacing_path(path: Path) -> Iterator[Path]:
    """A name to write to that takes the place of `path` once it is complete."""
    temporary = path.with_name(f".{path.name}.part")
    try:
        yield temporary
        temporary.replace(path)
    except OSError as error:
        raise DataError(f"cannot write {path}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
