"""Embeddings in bulk, for caches that keep them in memory: blocks of arrays, no object a row.

A cache remembers the highest revision it has read (`tracklets.revision`) and asks for what is
above: new and replaced embeddings by `blocks`, erased tracks by `erased`, in this order, so that
a track erased between the two is not left over.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sqlalchemy import Connection, select, text

from reid.errors import StoreError
from storage.models import EPOCH, MICROSECOND, Run, Track
from storage.selects import chunks

BLOCK = 1024  # rows read at once, 6 MB: they stay in the cache
_TEXT = 27  # characters of a time in SQLite

# Of a run that is over no track grows, though a crash may have left it open.
_ENDED = "(t.closed OR t.run NOT IN (SELECT id FROM runs WHERE status = 'running'))"
# CROSS JOIN fixes SQLite's order, and `|| ''` keeps it from the index of models: nearly all
# embeddings are of one model, while those above a revision are few.
_COLUMNS = f"""
    SELECT e.track, t.run, t.camera, t.start, t."end", {_ENDED},
        e.parts, e.global_parts, e.quality
    FROM tracklets e CROSS JOIN tracks t
    WHERE t.id = e.track AND e.model || '' = :model AND {{which}} {{reruns}}
    ORDER BY {{order}}
"""
_NO_RERUNS = "AND t.run NOT IN (SELECT id FROM runs WHERE rerun_of IS NOT NULL)"


@dataclass(frozen=True, slots=True, eq=False)
class VectorBlock:
    """N embeddings of one model with their tracks.

    Attributes:
        tracks, runs: (N,) int64.
        cameras: N ids.
        start, end: (N,) float64, UTC seconds.
        closed: (N,) bool; a track that is not goes on growing.
        parts, global_parts: (N, K, d) float16, as stored.
        quality: (N, K) float16.
    """

    tracks: NDArray[np.int64]
    runs: NDArray[np.int64]
    cameras: Sequence[str]
    start: NDArray[np.float64]
    end: NDArray[np.float64]
    closed: NDArray[np.bool_]
    parts: NDArray[np.float16]
    global_parts: NDArray[np.float16]
    quality: NDArray[np.float16]

    def __len__(self) -> int:
        return len(self.tracks)


def revision(connection: Connection) -> int:
    """The highest revision that was ever given; 0 for none."""
    found = connection.execute(text("SELECT next FROM counters WHERE kind = 'revision'"))
    return int(found.scalar() or 1) - 1


def newest_model(connection: Connection, *, reruns: bool = False) -> str | None:
    """Fingerprint of the embedding written last; None if there is none."""
    which = "" if reruns else _NO_RERUNS.replace("AND", "WHERE", 1)
    found = connection.execute(
        text(
            "SELECT e.model FROM tracklets e JOIN tracks t ON t.id = e.track "
            f"{which} ORDER BY e.revision DESC, e.track DESC LIMIT 1"
        )
    )
    return found.scalar()


def count(connection: Connection, fingerprint: str) -> int:
    """Embeddings of a model."""
    found = connection.execute(
        text("SELECT count(*) FROM tracklets WHERE model = :model"), {"model": fingerprint}
    )
    return int(found.scalar_one())


def blocks(
    connection: Connection,
    fingerprint: str,
    shape: tuple[int, int],
    after: int = 0,
    *,
    reruns: bool = False,
) -> Iterator[VectorBlock]:
    """Embeddings of a model with a revision above `after`.

    Args:
        connection: from `StoreReader.connection`; it is read from until the iterator is used up.
        fingerprint: of the model.
        shape: its (K, d).
        after: the highest revision already known; 0 reads everything, in the order of the file.
        reruns: also those of runs that `replay --rerun` made.

    Raises:
        StoreError: if stored bytes do not fit the model; names the track.
    """
    which, order = (
        ("e.revision > :after", "e.revision") if after else ("e.revision >= 0", "e.track")
    )
    statement = _COLUMNS.format(which=which, order=order, reruns="" if reruns else _NO_RERUNS)
    streamed = connection.execution_options(stream_results=True, max_row_buffer=BLOCK)
    values = {"model": fingerprint, **({"after": after} if after else {})}
    cursor = streamed.execute(text(statement), values)
    try:
        while rows := cursor.fetchmany(BLOCK):
            yield _block(rows, shape, fingerprint)
    finally:
        cursor.close()


def erased(connection: Connection, after: int) -> list[int]:
    """Tracks erased with a revision above `after`."""
    found = connection.execute(
        text("SELECT track FROM tombstones WHERE revision > :after"), {"after": after}
    )
    return [int(track) for track in found.scalars()]


def places(connection: Connection) -> dict[str, str | None]:
    """Where each camera stands, as last configured."""
    found = connection.execute(text("SELECT id, place FROM cameras"))
    return {row.id: row.place for row in found}


def ends(connection: Connection, tracks: Iterable[int]) -> list[tuple[int, float, bool]]:
    """(track, end, closed) of tracks that go on: a row of `tracks` grows without a revision."""
    found: list[tuple[int, float, bool]] = []
    for some in chunks(sorted(tracks)):
        chosen = Track.id.in_(some)
        rows = connection.execute(
            select(Track.id, Track.end, Track.closed | (Run.status != "running"))
            .join(Run, Run.id == Track.run)
            .where(chosen)
        )
        found += [(track, end, bool(closed)) for track, end, closed in rows]
    return found


def _block(rows: Sequence[Any], shape: tuple[int, int], fingerprint: str) -> VectorBlock:
    tracks, runs, cameras, start, end, closed, parts, overall, quality = zip(*rows, strict=True)
    numbers = np.array(tracks, np.int64)

    def half(blobs: Sequence[bytes], wanted: tuple[int, ...], what: str) -> NDArray[np.float16]:
        size = 2 * int(np.prod(wanted))
        if any(len(blob) != size for blob in blobs):
            wrong = next(i for i, blob in enumerate(blobs) if len(blob) != size)
            raise StoreError(
                f"track {tracks[wrong]}, model {fingerprint}: {len(blobs[wrong])} bytes of {what} "
                f"do not hold {wanted} half-precision numbers"
            )
        return np.frombuffer(bytearray().join(blobs), "<f2").reshape(len(blobs), *wanted)

    return VectorBlock(
        numbers,
        np.array(runs, np.int64),
        cameras,
        seconds(start),
        seconds(end),
        np.array(closed, np.bool_),
        half(parts, shape, "parts"),
        half(overall, shape, "global parts"),
        half(quality, shape[:1], "quality"),
    )


def seconds(times: Sequence[Any]) -> NDArray[np.float64]:
    """Times as a database gives them raw (ISO text or datetimes) -> (N,) UTC seconds."""
    if times and not isinstance(times[0], str):
        return np.array([(t - EPOCH) // MICROSECOND for t in times], np.float64) / 1e6
    joined = "".join(times).encode("ascii")
    letters = np.frombuffer(joined, "S1").reshape(len(times), _TEXT)[:, : _TEXT - 1]  # without Z
    stamps = np.ascontiguousarray(letters).view(f"S{_TEXT - 1}")[:, 0].astype("M8[us]")
    return stamps.astype(np.int64) / 1e6
