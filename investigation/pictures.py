"""Stored crops as a page shows them: small pictures inside the page, and bars per part."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass

import cv2
import numpy as np

from storage.records import ExemplarRow

THUMBNAIL_HEIGHT = 432  # twice what the page draws, for sharp screens
JPEG_QUALITY = 82


@dataclass(frozen=True, slots=True)
class Stripe:
    """One of the K stripes of a picture, from the top; all numbers in percent.

    Attributes:
        quality: of the strongest part in the report.
        hidden: share of its rows that were padded: the detector did not see them.
        top: where its padded rows begin, of the stripe's height.
    """

    quality: float
    hidden: float
    top: float


@dataclass(frozen=True, slots=True)
class Picture:
    """A crop on the page.

    Attributes:
        source: the picture as a `data:` address; None if its file is gone.
        note: what is wrong with the stored file; None if all is well.
        time: capture time, UTC seconds.
        frame: index in its video, from 0.
        stripes: its parts, from head to feet.
        sha256: of the stored file.
    """

    source: str | None
    note: str | None
    time: float
    frame: int
    stripes: tuple[Stripe, ...]
    sha256: str


def picture(row: ExemplarRow, strongest: float) -> Picture:
    """Make a stored crop ready for the page.

    Args:
        row: the crop.
        strongest: the largest part quality in the report; bars are relative to it, because a
            quality means something only beside another.
    """
    source, note = _load(row)
    return Picture(
        source=source,
        note=note,
        time=row.time,
        frame=row.frame,
        stripes=stripes(row.quality, row.visible, strongest),
        sha256=row.sha256,
    )


def stripes(
    quality: tuple[float, ...], visible: tuple[float, ...], strongest: float
) -> tuple[Stripe, ...]:
    """Bars for K parts; padded rows lie on the side away from what is visible."""
    centre = max(range(len(visible)), key=visible.__getitem__, default=0)
    result = []
    for index, (value, seen) in enumerate(zip(quality, visible, strict=True)):
        hidden = 100 * (1 - min(max(seen, 0.0), 1.0))
        top = 0.0 if index < centre else 100 - hidden
        share = 100 * value / strongest if strongest > 0 else 0.0
        result.append(Stripe(round(share, 1), round(hidden, 1), round(top, 1)))
    return tuple(result)


def _load(row: ExemplarRow) -> tuple[str | None, str | None]:
    try:
        content = row.path.read_bytes()
    except OSError:
        return None, "the picture's file is no longer there"
    note = None
    if hashlib.sha256(content).hexdigest() != row.sha256:
        note = "the file was changed after it was stored"
    small = thumbnail(content)
    if small is None:
        return None, "the picture's file cannot be read"
    return "data:image/jpeg;base64," + base64.b64encode(small).decode(), note


def thumbnail(jpeg: bytes) -> bytes | None:
    """JPEG bytes, shrunk to `THUMBNAIL_HEIGHT` where taller; None if they are no picture."""
    image = cv2.imdecode(np.frombuffer(jpeg, np.uint8), cv2.IMREAD_COLOR) if jpeg else None
    if image is None:
        return None
    height, width = image.shape[:2]
    if height <= THUMBNAIL_HEIGHT:
        return jpeg
    size = (max(1, round(width * THUMBNAIL_HEIGHT / height)), THUMBNAIL_HEIGHT)
    small = cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    done, data = cv2.imencode(".jpg", small, [cv2.IMWRITE_JPEG_QUALITY, JPEG_QUALITY])
    return data.tobytes() if done else None
