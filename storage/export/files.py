"""A run as files for other tools: MOTChallenge text, Parquet or CSV tables. Streams."""

from __future__ import annotations

import logging
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from sqlalchemy import func, select

from reid.errors import DataError
from storage.export.tables import export_tables
from storage.media import replacing, safe_name
from storage.models import LedgerEntry, Track, TrackBox
from storage.queries import StoreReader
from storage.selects import CURRENT, AnyRow, AnySelect

log = logging.getLogger(__name__)

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
    return ExportReport(chosen.id, export_tables(reader, out, chosen.id, format))


# ---- MOTChallenge ----------------------------------------------------------------------------


def _export_mot(reader: StoreReader, out: Path, run: int) -> ExportReport:
    files: dict[Path, int] = {}
    duplicates = 0
    for camera, name in _file_names([row.camera for row in reader.run_cameras(run)]).items():
        path = out / f"{name}.txt"
        with replacing(path) as file:
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


def _mot_rows(run: int, camera: str) -> AnySelect:
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


def _unlinked(run: int) -> AnySelect:
    return (
        select(func.count(), func.coalesce(func.sum(Track.boxes), 0))
        .select_from(Track)
        .outerjoin(LedgerEntry, CURRENT)
        .where(Track.run == run, LedgerEntry.id.is_(None))
    )


def _write_mot(file: IO[str], rows: Iterator[AnyRow]) -> tuple[int, int]:
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
