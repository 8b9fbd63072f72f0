"""A hit's evidence as pictures: both crops, and where the model looks in each of them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from investigation.search.desk import SearchDesk
from investigation.search.hits import Hit, HitVerdict
from investigation.search.queries import Query, read_picture
from reid.errors import DataError, StoreError
from reid.explain.explanation import ImageEvidence
from reid.explain.page import drawable, heated, save
from reid.explain.picture import Shown, draw_pair

HEADINGS = {
    HitVerdict.STRONG: "Strong: looks alike",
    HitVerdict.POSSIBLE: "Possible: looks alike in part",
    HitVerdict.CANNOT_TELL: "Not enough in common to tell",
}


@dataclass(frozen=True, slots=True, eq=False)
class HitPictures:
    """Pictures of a hit for a page; the two of a person have the same size.

    Attributes:
        query, hit: the crops, JPEG.
        query_heat, hit_heat: the crops under the model's map of where it looks (Fig. 5: its
            response after ISA), PNG; None if the model has no such map.
        note: what is wrong with the stored crop; None if all is well.
    """

    query: bytes
    hit: bytes
    query_heat: bytes | None
    hit_heat: bytes | None
    note: str | None


def hit_pictures(desk: SearchDesk, query: Query, hit: Hit) -> HitPictures:
    """Both crops and their heat maps.

    Raises:
        StoreError: if a stored crop is no longer there.
    """
    first, second = _shown(desk, query, hit)
    changed = hit.exemplar is not None and (
        hashlib.sha256(hit.exemplar.path.read_bytes()).hexdigest() != hit.exemplar.sha256
    )
    return HitPictures(
        query=_encoded(drawable(first.image), ".jpg"),
        hit=_encoded(drawable(second.image), ".jpg"),
        query_heat=_heat(first),
        hit_heat=_heat(second),
        note="the file was changed after it was stored" if changed else None,
    )


def write_hit(desk: SearchDesk, query: Query, hit: Hit, folder: Path) -> Path:
    """Draw query and hit face to face, part by part, into a PNG of the folder.

    Returns:
        The file; it is replaced if it is there.

    Raises:
        StoreError: if a stored crop is no longer there.
        DataError: if the file cannot be written.
    """
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{folder}: cannot be made: {error.strerror or error}") from error
    out = folder / f"{hit.rank:03d}-track{hit.track}.png"
    save(draw_pair(*_shown(desk, query, hit), hit.pair, HEADINGS[hit.verdict]), out)
    return out


def _shown(desk: SearchDesk, query: Query, hit: Hit) -> tuple[Shown, Shown]:
    if not query.pictures:
        raise StoreError(f"{query.subject}: none of its pictures is there any more")
    image = None if hit.exemplar is None else read_picture(hit.exemplar)
    if image is None:
        raise StoreError(f"track {hit.track}: its picture is not there any more")
    best = query.pictures[0]
    name = f"track {hit.track}, camera {hit.camera}"
    return (
        Shown(best.name, best.image, desk.explain(best.image)),
        Shown(name, image, desk.explain(image)),
    )


def _heat(shown: Shown) -> bytes | None:
    strongest = _response(shown.evidence)
    if strongest is None:
        return None
    return _encoded(heated(drawable(shown.image), strongest), ".png")


def _response(evidence: ImageEvidence) -> NDArray[np.float32] | None:
    """The map 0..1, its strongest spot 1."""
    response = evidence.response_after
    if response is None:
        response = evidence.response_before
    if response is None:
        return None
    return np.asarray(response / max(float(response.max()), 1e-12), np.float32)


def _encoded(image: NDArray[np.uint8], suffix: str) -> bytes:
    """(h, w, 3) RGB as a file's bytes."""
    done, data = cv2.imencode(suffix, np.ascontiguousarray(image[:, :, ::-1]))
    if not done:  # not for pictures of this kind
        raise DataError(f"a picture of {image.shape} cannot be written as {suffix}")
    return data.tobytes()
