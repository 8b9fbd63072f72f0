"""Parquet and CSV tables of a run, for analysts: sightings, boxes, ledger. Streams."""

from __future__ import annotations

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Protocol

from sqlalchemy import select

from storage.media import replacing, replacing_path
from storage.models import Camera, LedgerEntry, Track, TrackBox, iso_text
from storage.queries import StoreReader
from storage.selects import CURRENT, AnyRow, AnySelect

CHUNK = 10_000


@dataclass(frozen=True, slots=True)
class _Table:
    """Columns (`time` ones are UTC seconds) and the rows of one exported table."""

    columns: tuple[tuple[str, str], ...]
    rows: Callable[[int], AnySelect]


def _sightings(run: int) -> AnySelect:
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


def _boxes(run: int) -> AnySelect:
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


def _ledger(run: int) -> AnySelect:
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


def export_tables(reader: StoreReader, out: Path, run: int, format: str) -> dict[Path, int]:
    """Write the three tables as `csv` or `parquet`; returns the files and their rows."""
    files: dict[Path, int] = {}
    write: _TableWriter = _write_csv if format == "csv" else _write_parquet
    for name, table in TABLES.items():
        path = out / f"{name}.{format}"
        files[path] = write(path, table, reader.stream(table.rows(run)))
    return files


class _TableWriter(Protocol):
    def __call__(self, path: Path, table: _Table, rows: Iterator[AnyRow]) -> int: ...


def _write_csv(path: Path, table: _Table, rows: Iterator[AnyRow]) -> int:
    """Times as ISO text, empty where there is nothing."""
    times = [kind == "time" for _, kind in table.columns]
    count = 0
    with replacing(path) as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow([name for name, _ in table.columns])
        for row in rows:
            writer.writerow(
                iso_text(value) if is_time and value is not None else value
                for value, is_time in zip(row, times, strict=True)
            )
            count += 1
    return count


def _write_parquet(path: Path, table: _Table, rows: Iterator[AnyRow]) -> int:
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
    with replacing_path(path) as temporary, pq.ParquetWriter(temporary, schema) as writer:
        while chunk := list(islice(rows, CHUNK)):
            columns = [list(column) for column in zip(*chunk, strict=True)]
            for i in times:
                columns[i] = [None if v is None else round(v * 1e6) for v in columns[i]]
            arrays = [pa.array(c, f.type) for c, f in zip(columns, schema, strict=True)]
            writer.write_batch(pa.record_batch(arrays, schema=schema))
            count += len(chunk)
    return count
