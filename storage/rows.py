"""From records to rows, refusing numbers that have no place in a store."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterable
from typing import Any

import numpy as np

from reid.errors import StoreError
from reid.records import FloatArray, PartEmbeddings
from storage.media import exemplar_path
from storage.models import to_microsecond
from storage.redact import redact_tree
from trackers.records import Box, Exemplar, LinkDecision, TrackPoint

LAST_MOMENT = 253402300799.0  # 9999-12-31T23:59:59Z, the last that databases and people agree on


def check_time(seconds: float, what: str) -> float:
    """A moment, rounded to the microsecond.

    Raises:
        StoreError: if it is not finite or outside of the years 1970 to 9999.
    """
    if not math.isfinite(seconds) or not 0 <= seconds <= LAST_MOMENT:
        raise StoreError(f"{what}: time {seconds} is not UTC seconds (0 to {LAST_MOMENT:.0f})")
    return to_microsecond(float(seconds))


def check_numbers(values: Iterable[float | None], what: str) -> None:
    """Raise `StoreError` if any number is NaN or infinite; None passes."""
    for value in values:
        if value is not None and not math.isfinite(value):
            raise StoreError(f"{what}: number {value} cannot be stored")


def json_value(value: Any, what: str) -> Any:
    """A value as JSON keeps it, without passwords; paths and the like become text.

    Raises:
        StoreError: if it holds NaN or infinity.
    """
    try:
        return json.loads(json.dumps(redact_tree(value), allow_nan=False, default=str))
    except ValueError as error:
        raise StoreError(f"{what} cannot be stored: {error}") from error


def box_columns(box: Box, what: str) -> dict[str, float]:
    """left, top, width, height.

    Raises:
        StoreError: if the box is not finite or has no area.
    """
    if not box.is_valid():
        raise StoreError(f"{what}: {box} is not finite or has no area")
    return {
        "left": float(box.left),
        "top": float(box.top),
        "width": float(box.width),
        "height": float(box.height),
    }


def point_row(track: int, point: TrackPoint, what: str) -> dict[str, Any]:
    """A row of `boxes`."""
    what = f"{what}, frame {point.frame}"
    if point.frame < 0:
        raise StoreError(f"{what}: frames count from 0")
    check_numbers([point.confidence], what)
    return {
        "track": track,
        "frame": int(point.frame),
        "time": check_time(point.time, what),
        **box_columns(point.box, what),
        "confidence": float(point.confidence),
    }


def embedding_row(track: int, embedding: PartEmbeddings, what: str) -> dict[str, Any]:
    """A row of `tracklets`: three fp16 little-endian blobs.

    Raises:
        StoreError: if it is not one tracklet, or a number is not finite in half precision.
    """
    if len(embedding) != 1:
        raise StoreError(f"{what}: {len(embedding)} embeddings; a tracklet has one")
    return {
        "track": track,
        "model": embedding.fingerprint,
        "parts": _half(embedding.parts[0], f"{what}, parts"),
        "global_parts": _half(embedding.global_parts[0], f"{what}, global_parts"),
        "quality": _half(embedding.quality[0], f"{what}, quality"),
    }


def exemplar_row(
    run: int, camera: str, track: int, exemplar: Exemplar, what: str
) -> dict[str, Any]:
    """A row of `exemplars`; the file it names is not written here."""
    what = f"{what}, picture of frame {exemplar.frame}"
    check_numbers([*exemplar.quality, *exemplar.visible, exemplar.score], what)
    if not exemplar.jpeg:
        raise StoreError(f"{what} is empty")
    digest = hashlib.sha256(exemplar.jpeg).hexdigest()
    return {
        "track": track,
        "frame": int(exemplar.frame),
        "time": check_time(exemplar.time, what),
        **box_columns(exemplar.box, what),
        "path": exemplar_path(run, camera, track, exemplar.frame, digest),
        "sha256": digest,
        "quality": [float(v) for v in exemplar.quality],
        "visible": [float(v) for v in exemplar.visible],
        "score": float(exemplar.score),
    }


def ledger_row(decision: LinkDecision, written: float) -> dict[str, Any]:
    """A row of `ledger`."""
    what = f"track {decision.track}, {decision.action}"
    numbers = {
        "distance": decision.distance,
        "runner_up": decision.runner_up,
        "support": decision.support,
        "threshold": decision.threshold,
    }
    check_numbers(numbers.values(), what)
    return {
        "written": to_microsecond(written),
        "track": int(decision.track),
        "identity": int(decision.identity),
        "action": decision.action,
        "time": check_time(decision.time, what),
        "candidate": None if decision.candidate is None else int(decision.candidate),
        **{key: None if value is None else float(value) for key, value in numbers.items()},
        "reason": decision.reason,
        "actor": decision.matcher,
    }


def _half(values: FloatArray, what: str) -> bytes:
    with np.errstate(over="ignore"):
        half = values.astype("<f2")
    if not np.isfinite(half).all():
        raise StoreError(f"{what}: numbers are NaN, infinite or beyond half precision (65504)")
    return half.tobytes()
