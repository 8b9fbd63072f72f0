"""Photos from anywhere: what is taken, how it is turned, and what is refused undecoded."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from detectors import Picture, build_detector
from detectors.settings import DetectorSettings
from investigation.search import photos
from investigation.search.photos import (
    Person,
    SeveralPeople,
    choose,
    find_people,
    load_photo,
    read_photo,
    whole_picture,
)
from reid.errors import DataError
from trackers.records import Box, Detection


def picture(width: int = 40, height: int = 60) -> NDArray[np.uint8]:
    """(height, width, 3) RGB in which no turn looks like another."""
    image = np.zeros((height, width, 3), np.uint8)
    image[: height // 2, : width // 2] = (250, 10, 20)
    image[: height // 2, width // 2 :] = (20, 240, 30)
    image[height // 2 :, : width // 2] = (10, 30, 230)
    return image


def encoded(image: NDArray[np.uint8] | Image.Image, kind: str, **options: object) -> bytes:
    made = image if isinstance(image, Image.Image) else Image.fromarray(image)
    file = io.BytesIO()
    made.save(file, kind, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """The beginning of a PNG and not one pixel: who decodes it fails."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", b"")


class Finds:
    """A detector that finds what it is told."""

    name = "told"

    def __init__(self, *detections: Detection, far: Sequence[Detection] = ()) -> None:
        self.looks = [list(detections), list(far)]
        self.shapes: list[tuple[int, ...]] = []

    def process(self, frames: Sequence[Picture]) -> list[list[Detection]]:
        self.shapes += [frame.image.shape for frame in frames]
        return [self.looks.pop(0) for _ in frames]


def seen(left: float, top: float, width: float, height: float, sure: float = 0.9) -> Detection:
    return Detection(Box(left, top, left + width, top + height), sure)


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_kinds_are_known_by_content(kind: str) -> None:
    options = {"WEBP": {"lossless": True}, "JPEG": {"quality": 98, "subsampling": 0}}.get(kind, {})
    image = load_photo(encoded(picture(), kind, **options), "holiday.txt")
    assert image.dtype == np.uint8 and image.flags.c_contiguous
    np.testing.assert_allclose(image[:, :, ::-1], picture(), atol=6 if kind == "JPEG" else 0)


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_photo_stands_upright_whatever_the_camera_noted(orientation: int) -> None:
    """Oracle: OpenCV's own reading of the same tag."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    data = encoded(picture(), "JPEG", exif=exif, quality=98, subsampling=0)
    expected = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    image = load_photo(data, "turned.jpg")
    assert image.shape == expected.shape == ((60, 40, 3) if orientation < 5 else (40, 60, 3))
    np.testing.assert_allclose(image, expected, atol=3)


def test_damaged_exif_leaves_the_picture() -> None:
    data = encoded(picture(), "JPEG", exif=b"Exif\x00\x00MM\x00*\x00\x00\xff\xff nothing")
    assert load_photo(data, "a.jpg").shape == (60, 40, 3)


def test_transparent_pixels_become_grey() -> None:
    image = np.dstack([picture(), np.full((60, 40), 255, np.uint8)])
    image[:, 20:, 3] = 0
    found = load_photo(encoded(image, "PNG"), "cut-out.png")
    np.testing.assert_array_equal(found[:, :20, ::-1], picture()[:, :20])
    assert (found[:, 20:] == 128).all()


def test_sixteen_bits_are_scaled_not_clipped() -> None:
    deep = np.full((20, 30), 32896, np.uint16)
    deep[:10] = 65535
    found = load_photo(encoded(Image.fromarray(deep), "PNG"), "deep.png")
    assert set(np.unique(found[:10])) == {255} and set(np.unique(found[10:])) == {128}


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"Dear all, here is the picture", "not a JPEG, PNG, WebP or BMP picture"),
        (b"", "the file is empty"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00", "HEIC"),
        (encoded(picture(), "GIF"), "not a JPEG, PNG, WebP or BMP picture"),
        (encoded(picture(), "JPEG")[:300], "damaged|not a JPEG"),
        (encoded(picture(), "PNG")[:-60], "damaged"),
        (encoded(picture(15, 60), "PNG"), "15 x 60 pixels; a photo needs 16"),
        (bytes(30_000_001), "more than 30 MB"),
    ],
    ids=["text", "empty", "heic", "gif", "half a JPEG", "half a PNG", "tiny", "large file"],
)
def test_what_is_no_photo_is_refused_by_name(data: bytes, said: str) -> None:
    with pytest.raises(DataError, match=rf"missing\.jpg: .*({said})"):
        load_photo(data, "missing.jpg")


@pytest.mark.parametrize(
    ("width", "height", "said"),
    [(10_000, 10_000, "100 megapixels"), (50_001, 1_000, "50 megapixels"), (60_000, 60_000, "")],
)
def test_too_many_pixels_are_refused_from_the_header(width: int, height: int, said: str) -> None:
    """There is nothing behind the header: decoding first would say `damaged`."""
    with pytest.raises(DataError, match=f"big.jpg: .*{said}.* may have 50 megapixels at most"):
        load_photo(png_header(width, height), "big.jpg")


def test_the_largest_photo_that_is_allowed_gets_past_the_header() -> None:
    with pytest.raises(DataError, match="damaged"):
        load_photo(png_header(50_000, 1_000), "big.jpg")


def test_never_more_is_read_than_is_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(photos, "MOST_BYTES", 10)
    (tmp_path / "a").write_bytes(bytes(1000))
    assert len(read_photo(tmp_path / "a")) == 11
    with pytest.raises(DataError, match=r"nobody\.jpg: No such file"):
        read_photo(tmp_path / "nobody.jpg")


def test_people_come_by_size_and_certainty() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    detector = Finds(
        seen(10, 20, 20, 50, 0.9),  # 900
        seen(100, 20, 40, 100, 0.5),  # 2000
        seen(102, 22, 38, 98, 0.5),  # the same person once more
        seen(200, 20, 60, 150, 0.4),  # nobody: others are sure
    )
    people = find_people(image, detector, "a.jpg")
    assert [p.box.left for p in people] == [100, 10]
    assert [p.confidence for p in people] == [0.5, 0.9]
    assert people[0].as_json(1) == {"person": 1, "box": [100, 20, 40, 100], "confidence": 0.5}
    assert all(p.edges == () and p.body == p.box and p.name == "a.jpg" for p in people)


def test_who_fills_the_photo_is_seen_whole_from_further_away() -> None:
    """Nearby a detector sees a leg and a half; with a margin, the person (half the size here)."""
    image = np.zeros((2560, 1000, 3), np.uint8)  # shrunk to 1280 x 500 before the margin
    pieces = (seen(100, 200, 700, 1200, 0.55), seen(100, 1300, 600, 1000, 0.5))
    detector = Finds(*pieces, far=[seen(250 + 50, 640 + 50, 350, 1150, 0.9)])
    (person,) = find_people(image, detector, "a.jpg")
    assert detector.shapes == [(2560, 1000, 3), (2560, 1000, 3)]
    assert person.box == Box(100, 100, 800, 2400)


def test_a_child_in_front_of_somebody_stays() -> None:
    adult, child = seen(100, 20, 60, 160, 0.9), seen(110, 80, 30, 90, 0.8)
    people = find_people(np.zeros((200, 300, 3), np.uint8), Finds(adult, child), "a.jpg")
    assert [p.box for p in people] == [adult.box, child.box]


def test_where_nobody_is_sure_the_unsure_are_listed() -> None:
    unsure = Finds(seen(10, 20, 20, 50, 0.35), seen(100, 20, 40, 100, 0.29))
    (person,) = find_people(np.zeros((200, 300, 3), np.uint8), unsure, "a.jpg")
    assert person.confidence == 0.35


def test_a_crop_shows_a_little_around_the_person() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    image[20:120, 100:150] = 200
    (person,) = find_people(image, Finds(seen(100, 20, 50, 100)), "a.jpg")
    assert person.crop.shape == (108, 54, 3)  # 4 % each way, as the pipeline cuts them
    assert person.crop[4:-4, 2:-2].min() == 200


def test_a_body_cut_by_the_photos_edge_is_padded() -> None:
    """Head and shoulders: a whole body of this width is 2.5 times as high."""
    image = np.full((120, 100, 3), 90, np.uint8)
    (person,) = find_people(image, Finds(seen(10, 20, 80, 100)), "a.jpg")
    assert person.edges == ("bottom",)
    assert person.body == Box(10, 20, 90, 220)
    assert person.visible(4) == (1, 1, 0, 0)
    assert person.crop.shape[0] == pytest.approx(1.08 * 200, abs=1)


def test_a_photo_without_people_says_so() -> None:
    landscape = np.zeros((100, 200, 3), np.uint8)
    with pytest.raises(DataError, match=r"a\.jpg: nobody is found in it$"):
        find_people(landscape, Finds(), "a.jpg")
    with pytest.raises(DataError, match=r"the best guess has confidence 0\.20"):
        find_people(landscape, Finds(seen(1, 1, 20, 40, 0.2)), "a.jpg")
    with pytest.raises(DataError, match=r"say so with --crop$"):
        find_people(np.zeros((160, 100, 3), np.uint8), Finds(), "a.jpg")


def test_a_crop_is_taken_as_it_is() -> None:
    image = picture()
    person = whole_picture(image, "a.jpg")
    assert person.crop is image and person.box == Box(0, 0, 40, 60)
    assert person.visible(6) == (1,) * 6


def test_choosing_a_person() -> None:
    image = np.zeros((200, 300, 3), np.uint8)
    one = find_people(image, Finds(seen(10, 20, 20, 50)), "a.jpg")
    two = find_people(image, Finds(seen(10, 20, 20, 50), seen(100, 20, 40, 90)), "a.jpg")
    assert choose(one, None) is one[0] and choose(two, 2) is two[1]
    with pytest.raises(SeveralPeople, match=r"shows 2 people.*1: \[100, 20, 40, 90\]; 2:") as told:
        choose(two, None)
    assert told.value.people == tuple(two)
    for number in (0, 3, -1):
        with pytest.raises(DataError, match=f"there is no person {number}; it shows 2 people"):
            choose(two, number)


def test_real_people_are_found_and_cut_out(shared: Path) -> None:
    """Oracle: the ground truth of PETS, frame 201 of the left camera."""
    capture = cv2.VideoCapture(str(shared / "footage" / "pets_left.mp4"))
    capture.set(cv2.CAP_PROP_POS_FRAMES, 200)
    frame = capture.read()[1]
    truth = []
    for line in (shared / "footage" / "pets_left_gt.txt").read_text().splitlines():
        number, _, left, top, width, height = (float(v) for v in line.split(",")[:6])
        if number == 201:
            truth.append(Box(left, top, left + width, top + height))
    model = shared / "models" / "rtmdet_nano_person_dyn.onnx"
    detector = build_detector(DetectorSettings(name=str(model)))
    people: list[Person] = find_people(
        load_photo(encoded(frame[:, :, ::-1], "PNG"), "p"), detector, "p"
    )
    found = [max((p.box.iou(box) for p in people), default=0.0) for box in truth]
    assert truth and min(found) > 0.5
