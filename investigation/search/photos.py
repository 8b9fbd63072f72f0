"""Photos that people bring: opened with care, and the persons in them.

A photo comes from anywhere: its name proves nothing, its header may promise more pixels than the
machine can hold, and a telephone stores it lying on its side. What is refused is refused before
its pixels are decoded wherever the header tells enough.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image

from detectors import Detector, Photo
from reid.errors import DataError
from trackers.bodies import EDGE, BodyHistory, crop, visible_shares
from trackers.records import Box, Detection
from trackers.tracklets import CROP_MARGIN

FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # by content, whatever the file is called
MOST_BYTES = 30_000_000
MOST_PIXELS = 50_000_000
LEAST = 4  # pixels: a narrower box shows nobody
SMALLEST = 16  # pixels of the shorter side: fewer show nobody
SURE, UNSURE = 0.5, 0.3  # confidence of who is listed; of who is if nobody is sure
SECOND_LOOK = 1280  # pixels of the longer side: detectors see no more of it
MARGIN = 0.5  # of that look, share of each side
SAME = 0.7  # intersection over union from which two boxes are one person
INSIDE, FAINT = 0.8, 0.8  # a box so much inside another and so much less sure is a piece of it
PORTRAIT = 1.6  # height / width of a picture that may be a crop of one person already
BACKGROUND = 128  # what shows through transparent pixels: grey says least
ORIENTATION = 0x0112  # the EXIF tag
UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
BYTES, PIXELS = f"{MOST_BYTES // 1_000_000} MB", f"{MOST_PIXELS // 1_000_000} megapixels"

# Pillow warns of what we refuse or can do without (damaged EXIF data): no news for a terminal.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
warnings.filterwarnings("ignore", category=UserWarning, module=r"PIL\.")


@dataclass(frozen=True, slots=True, eq=False)
class Person:
    """Somebody in a photo.

    Attributes:
        box: what the detector saw, pixels of the upright photo.
        body: the box of the whole body; larger than `box` where the photo's edge cuts it.
        crop: (h, w, 3) uint8 BGR, `body` and a little around it, as the pipeline cuts crops.
        confidence: the detector's, 0..1; 1 for a picture that was taken as it is.
        edges: edges of the photo that the box touches: there the person may go on.
        name: of the photo.
    """

    box: Box
    body: Box
    crop: NDArray[np.uint8]
    confidence: float
    edges: tuple[str, ...]
    name: str

    def visible(self, parts: int) -> tuple[float, ...]:
        """Per stripe of the body, from the top, the share 0..1 that the photo shows."""
        return visible_shares(self.body, self.box, parts)

    def as_json(self, number: int) -> dict[str, Any]:
        """What a program needs to choose: `{person, box, confidence}`."""
        b = self.box
        box = [round(v, 1) for v in (b.left, b.top, b.width, b.height)]
        return {"person": number, "box": box, "confidence": round(self.confidence, 3)}


def read_photo(path: Path) -> bytes:
    """A photo's file; never more of it than `load_photo` would take.

    Raises:
        DataError: naming the file, if it cannot be read.
    """
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise DataError(f"{path}: {error.strerror or error}") from error


def load_photo(data: bytes, name: str) -> NDArray[np.uint8]:
    """Decode a photo, upright and without transparency.

    Args:
        data: the file's bytes: JPEG, PNG, WebP or BMP.
        name: of the file, for errors.

    Returns:
        (H, W, 3) uint8 BGR.

    Raises:
        DataError: naming the file, if it is no such picture, damaged, above 30 MB, above
            50 megapixels or below 16 pixels.
    """
    if len(data) > MOST_BYTES:
        raise DataError(f"{name}: more than {BYTES}, which is the most for a photo")
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise DataError(f"{name}: {error}; a photo may have {PIXELS} at most") from error
    except Exception as error:  # Pillow raises many kinds on bytes that are no picture
        raise DataError(f"{name}: {_what(data)}") from error
    with image:
        width, height = image.size
        if width * height > MOST_PIXELS:
            raise DataError(
                f"{name}: {width} x {height} pixels are {width * height / 1e6:.0f} megapixels; "
                f"a photo may have {PIXELS} at most"
            )
        if min(width, height) < SMALLEST:
            raise DataError(
                f"{name}: {width} x {height} pixels; a photo needs {SMALLEST} each way at least"
            )
        try:
            image.load()
            flat = _flat(image)
        except Exception as error:  # the same: damaged pictures
            raise DataError(f"{name}: the picture is damaged: {error}") from error
        turn = UPRIGHT.get(_orientation(image))
    upright = flat if turn is None else flat.transpose(turn)
    return np.ascontiguousarray(np.asarray(upright)[:, :, ::-1])


def find_people(image: NDArray[np.uint8], detector: Detector, name: str) -> list[Person]:
    """The persons in a photo, the largest and surest first.

    Args:
        image: (H, W, 3) uint8 BGR, from `load_photo`.
        detector: finds people.
        name: of the photo, for errors.

    Raises:
        DataError: if nobody is found.
    """
    found = _look_twice(image, detector, name)
    kept: list[Detection] = []
    for detection in _sure(found):
        if not any(_same(detection, other) for other in kept):
            kept.append(detection)
    people = [_person(image, detection, name) for detection in kept]
    if not people:
        raise DataError(f"{name}: nobody is found in it{_advice(image, found)}")
    return sorted(people, key=lambda p: -p.box.area * p.confidence)


def whole_picture(image: NDArray[np.uint8], name: str) -> Person:
    """A picture that is a crop of one person already, taken as it is."""
    height, width = image.shape[:2]
    box = Box(0.0, 0.0, float(width), float(height))
    return Person(box, box, image, 1.0, (), name)


class SeveralPeople(DataError):  # noqa: N818 - says what was found
    """A photo shows several people and nobody said which is meant.

    Attributes:
        people: all of them; a person's number is the place in this list, from 1.
    """

    def __init__(self, message: str, people: Sequence[Person]) -> None:
        super().__init__(message)
        self.people = tuple(people)


def choose(people: Sequence[Person], number: int | None) -> Person:
    """The person that is meant.

    Args:
        people: from `find_people`, at least one.
        number: from 1; None if nobody said, which is clear where there is one person only.

    Raises:
        SeveralPeople: if several are there and none was chosen; the message lists them.
        DataError: if there is no such number.
    """
    name = people[0].name
    if number is None and len(people) == 1:
        return people[0]
    if number is not None and 1 <= number <= len(people):
        return people[number - 1]
    listed = "; ".join(
        f"{n}: [{', '.join(f'{v:.0f}' for v in p.as_json(n)['box'])}]"
        for n, p in enumerate(people, 1)
    )
    count = "1 person" if len(people) == 1 else f"{len(people)} people"
    if number is not None:
        raise DataError(
            f"{name}: there is no person {number}; it shows {count} "
            f"([left, top, width, height]): {listed}"
        )
    raise SeveralPeople(
        f"{name} shows {count}: choose one with --person N ([left, top, width, height]): {listed}",
        people,
    )


def _look_twice(image: NDArray[np.uint8], detector: Detector, name: str) -> list[Detection]:
    """What a detector finds in a photo, and in the photo with a grey margin around it.

    A detector that knows people as cameras on walls see them takes somebody who fills a photo to
    pieces; from further away it sees one person.
    """
    height, width = image.shape[:2]
    scale = min(1.0, SECOND_LOOK / max(height, width))
    size = (max(1, round(width * scale)), max(1, round(height * scale)))
    small = image if scale == 1 else cv2.resize(image, size, interpolation=cv2.INTER_AREA)
    dx, dy = (round(MARGIN * side) for side in size)
    grey = (BACKGROUND,) * 3
    wide = cv2.copyMakeBorder(small, dy, dy, dx, dx, cv2.BORDER_CONSTANT, value=grey)
    (near,), (far,) = (
        detector.process([Photo(name, np.asarray(look, np.uint8))]) for look in (image, wide)
    )
    x, y = width / size[0], height / size[1]
    placed = []
    for d in far:
        left, right = ((v - dx) * x for v in (d.box.left, d.box.right))
        top, bottom = ((v - dy) * y for v in (d.box.top, d.box.bottom))
        box = Box(max(left, 0.0), max(top, 0.0), min(right, width), min(bottom, height))
        if box.is_valid():
            placed.append(Detection(box, d.confidence))
    return [*near, *placed]


def _sure(found: Sequence[Detection]) -> list[Detection]:
    """Who is surely there, else who may be; surest first.

    Detectors are asked for unsure boxes too, which only a tracker can use: seen large, a person
    gives a handful of them.
    """
    large = [d for d in found if min(d.box.width, d.box.height) >= LEAST]
    for limit in (SURE, UNSURE):
        sure = [d for d in large if d.confidence >= limit]
        if sure:
            return sorted(sure, key=lambda d: -d.confidence)
    return []


def _same(detection: Detection, surer: Detection) -> bool:
    """Whether two boxes show one person. A child in front of somebody is sure and stays."""
    box = detection.box
    if box.iou(surer.box) >= SAME:
        return True
    inside = box.intersection(surer.box) >= INSIDE * box.area
    return inside and detection.confidence < FAINT * surer.confidence


def _person(image: NDArray[np.uint8], detection: Detection, name: str) -> Person:
    """Cut somebody out as the pipeline would on a track's first frame."""
    height, width = image.shape[:2]
    box = detection.box
    # A photo has no history: only a box that is too wide for a body and ends at the photo's edge
    # is known to be cut, and is padded to the height a body of this width has.
    body = BodyHistory().observe(box, height, 1).box
    picture = crop(image, body, CROP_MARGIN)
    touched = (
        ("left", box.left <= EDGE),
        ("top", box.top <= EDGE),
        ("right", box.right >= width - EDGE),
        ("bottom", box.bottom >= height - EDGE),
    )
    edges = tuple(edge for edge, touches in touched if touches)
    if picture is None:  # not for boxes inside the picture, which detectors promise
        raise DataError(f"{name}: the box {box} lies outside of the picture")
    return Person(box, body, picture, detection.confidence, edges, name)


def _advice(image: NDArray[np.uint8], found: Sequence[Detection]) -> str:
    height, width = image.shape[:2]
    best = max((d.confidence for d in found), default=0.0)
    text = f" (the best guess has confidence {best:.2f}; {UNSURE} is needed)" if found else ""
    if height >= PORTRAIT * width:
        text += "; if it is a crop of one person already, say so with --crop"
    return text


def _what(data: bytes) -> str:
    """Why bytes are not taken for a picture."""
    if not data:
        return "the file is empty"
    if data[4:8] == b"ftyp" and data[8:12] in (b"heic", b"heix", b"mif1", b"msf1", b"avif"):
        return "a HEIC or AVIF picture, which is not read here; save it as JPEG"
    return "not a JPEG, PNG, WebP or BMP picture, whatever its name says"


def _orientation(image: Image.Image) -> int:
    """How the camera was held; upright where the EXIF data are damaged."""
    try:
        return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # noqa: BLE001 - Pillow raises many kinds; the pixels are good nevertheless
        return 1


def _flat(image: Image.Image) -> Image.Image:
    """RGB, 8 bits, transparent pixels laid over grey."""
    if image.mode.startswith("I") or image.mode == "F":  # 16 bits and more: Pillow would clip them
        values = np.asarray(image, np.float64)
        most = 65535.0 if values.max() > 255 else 255.0
        image = Image.fromarray(np.clip(255 * values / most, 0, 255).astype(np.uint8))
    if image.has_transparency_data:
        over = image.convert("RGBA")
        flat = Image.new("RGBA", over.size, (BACKGROUND, BACKGROUND, BACKGROUND, 255))
        return Image.alpha_composite(flat, over).convert("RGB")
    return image.convert("RGB")
