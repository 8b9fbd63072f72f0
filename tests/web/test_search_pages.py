"""Search on the page: photo in, hits out, evidence, and what must not get through."""

from __future__ import annotations

import re
import struct
import tempfile
import time
import zlib
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from investigation.search.desk import SearchDesk
from investigation.search.photos import Person
from storage.accounts import accounts
from storage.erasure.erase import erase
from storage.watches.rows import watches
from tests.storage.samples import exemplar, tracklet
from tests.web.conftest import BY, text_of
from tests.web.people import Blind, Browser, People, body, hits, photo
from trackers.records import Box
from web import room

RED, GREEN = (1, 2), 3


def key_of(location: str) -> str:
    return location.split("/")[2]


def test_the_person_of_the_photo_comes_first_and_the_search_is_written_down(
    people: People, ivan: Browser
) -> None:
    there = ivan.found({"top": "5"})
    page = ivan.get(there)
    order = hits(page.text)
    assert sorted(order) == [1, 2, 3, 4, 5]
    assert set(order[:2]) == set(RED)
    assert "Strong: looks alike" in page.text
    entry = people.audit("search")[0]
    assert (entry.actor, entry.subject, entry.reason) == ("ivan", "photo red.jpg", "missing child")
    assert entry.details["tracks"] == order or set(entry.details["tracks"]) == set(order)


def test_the_hits_come_in_the_order_of_the_distances_shown(ivan: Browser) -> None:
    page = ivan.get(ivan.found())
    shown = [float(n) for n in re.findall(r"distance (\d\.\d+)", page.text)]
    verdicts = re.findall(r"(Strong|Possible|Not enough in common)[^<]*</span>", page.text)
    assert len(shown) == 5
    weak = verdicts.count("Not enough in common")
    assert shown[: 5 - weak] == sorted(shown[: 5 - weak])
    assert verdicts[5 - weak :] == ["Not enough in common"] * weak


def test_a_viewer_may_not_search(people: People) -> None:
    vera = people.browse("vera")
    assert vera.get("/search").status_code == 403
    assert vera.search().status_code == 403


@pytest.mark.parametrize(
    ("fields", "says"),
    [
        ({"reason": " "}, "say why you search"),
        ({"start": "2026-02-02T10:00", "end": "2026-02-02T09:00"}, "runs backwards"),
        ({"start": "yesterday"}, "which is no time"),
        ({"cameras": "roof"}, "has no camera 'roof'; it has: door, yard"),
        ({"cameras": "../../etc/passwd"}, "has no camera"),
        ({"places": "Moon"}, "has no place 'Moon'"),
        ({"top": "0"}, "allowed: 1 to"),
        ({"top": "100000"}, "allowed: 1 to"),
        ({"weights": ["1", "1"]}, "the model has 6 parts"),
        ({"weights": ["0"] * 6}, "nothing is left to compare"),
        ({"weights": ["nan"] * 6}, "allowed: 0 to 1"),
    ],
)
def test_a_wrong_wish_is_named_and_what_was_typed_stays(
    ivan: Browser, fields: dict[str, object], says: str
) -> None:
    answer = ivan.search(fields)
    assert answer.status_code == 422
    assert says in text_of(answer)
    if "reason" not in fields:
        assert 'value="missing child"' in answer.text


def png_that_says(width: int, height: int) -> bytes:
    """A small file whose header promises many pixels."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    head = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0))
    rows = chunk(b"IDAT", zlib.compress(b"\0" * 1000))
    return b"\x89PNG\r\n\x1a\n" + head + rows + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("name", "content", "status", "says"),
    [
        ("kid.jpg", b"this is text", 422, "kid.jpg: not a JPEG, PNG, WebP or BMP picture"),
        ("kid.png", png_that_says(10_000, 10_000), 422, "100 megapixels"),
        ("kid.jpg", b"", 422, "kid.jpg: the file is empty"),
        ("kid.jpg", b"\xff\xd8" + b"\0" * 30_000_000, 413, "more than 30 MB"),
        ("kid.jpg", b"\0" * 33_000_000, 413, "allowed are 30 MB for one request"),
        ("../../etc/kid.jpg", b"x", 422, "kid.jpg: not a JPEG"),
        ("kid.zip", b"PK\x03\x04" + b"\0" * 100, 422, "not a JPEG, PNG, WebP or BMP picture"),
    ],
)
def test_what_is_no_photo_is_refused_by_its_name(
    ivan: Browser, name: str, content: bytes, status: int, says: str
) -> None:
    answer = ivan.search(None, (name, content))
    assert answer.status_code == status
    assert says in text_of(answer)
    assert "etc" not in text_of(answer)


def test_too_many_photos(ivan: Browser) -> None:
    answer = ivan.search(None, *[("a.jpg", b"x")] * 9)
    assert answer.status_code == 422
    assert "9 photos; one search takes 8 at most" in text_of(answer)


def test_no_photo_at_all_says_so(ivan: Browser) -> None:
    answer = ivan.send("/search", {"reason": "missing child"})
    assert answer.status_code == 422
    assert "choose a photo of the person" in text_of(answer)


def test_htmx_is_sent_on_by_a_header_and_told_errors_as_a_piece(ivan: Browser) -> None:
    htmx = {"hx-request": "true"}
    answer = ivan.search(headers=htmx)
    assert answer.status_code == 204
    assert answer.headers["hx-redirect"].startswith("/search/")
    answer = ivan.search(None, ("kid.jpg", b"text"), headers=htmx)
    assert answer.status_code == 422
    assert "<html" not in answer.text
    assert "id.jpg: not a JPEG" in answer.text


def test_a_large_photo_never_touches_the_disk(
    ivan: Browser, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("the upload went into a temporary file")

    monkeypatch.setattr(tempfile.SpooledTemporaryFile, "rollover", refuse)
    noise = np.random.default_rng(1).integers(0, 255, (1200, 900, 3), np.uint8)
    content = photo(noise, ".png")
    assert len(content) > 2_000_000
    assert ivan.search(None, ("big.png", content)).status_code == 303


# ---- several people ------------------------------------------------------------------------------


@pytest.fixture
def two_in_each(monkeypatch: pytest.MonkeyPatch) -> None:
    """The detector finds two: the left half and the right half of any photo."""

    def find(_: Blind, image: np.ndarray, name: str) -> list[Person]:
        half = image.shape[1] // 2
        boxes = (Box(0, 0, half, 256), Box(half, 0, 2 * half, 256))
        crops = (image[:, :half], image[:, half:])
        pairs = zip(boxes, crops, strict=True)
        return [Person(box, box, np.ascontiguousarray(crop), 0.9, (), name) for box, crop in pairs]

    monkeypatch.setattr(Blind, "find_people", find)


@pytest.mark.usefixtures("two_in_each")
def test_with_several_people_one_is_picked_in_each_photo(people: People, ivan: Browser) -> None:
    both = photo(np.hstack([body("blue", 7), body("red", 8)]))
    other = photo(np.hstack([body("red", 9), body("blue", 6)]))
    there = ivan.found({"crop": "false"}, ("one.jpg", both), ("two.jpg", other))
    assert there.endswith("/people")
    page = ivan.get(there)
    assert "2 people are in this photo" in page.text
    assert "one.jpg, photo 1 of 2" in text_of(page)
    base = there.removesuffix("/people")
    for picture in (f"{base}/photo/0", f"{base}/photo/0/1", f"{base}/photo/0/2"):
        assert ivan.get(picture).content.startswith(b"\xff\xd8")
    assert ivan.get(f"{base}/photo/0/3").status_code == 404
    assert ivan.get(f"{base}/photo/2").status_code == 404
    assert ivan.send(there, {"photo": 0, "person": 3}).status_code == 422
    assert ivan.send(there, {"photo": 0, "person": 2}).headers["location"] == there
    assert "two.jpg, photo 2 of 2" in text_of(ivan.get(there))
    answer = ivan.send(there, {"photo": 1, "person": 1})
    page = ivan.get(answer.headers["location"])
    assert set(hits(page.text)[:2]) == set(RED)
    assert re.match("2 photos: (one.jpg, two.jpg|two.jpg, one.jpg)$",
                    people.audit("search")[0].subject)  # fmt: skip
    assert ivan.get(there).status_code == 404  # the photos are gone, the query is there


@pytest.mark.usefixtures("two_in_each")
def test_a_photo_may_be_left_out(ivan: Browser) -> None:
    both = photo(np.hstack([body("blue", 7), body("red", 8)]))
    there = ivan.found({"crop": "false"}, ("one.jpg", both))
    assert ivan.send(there, {"photo": 0, "person": 0}).headers["location"] == "/search"


def test_a_photo_without_people_says_so(ivan: Browser) -> None:
    answer = ivan.search({"crop": "false"}, ("wall.jpg", photo(body("grey", 3))))
    assert answer.status_code == 422
    assert "wall.jpg: nobody is found in it" in text_of(answer)


# ---- masked, again, stored -----------------------------------------------------------------------


def test_searching_again_with_other_parts_needs_no_photo(people: People, ivan: Browser) -> None:
    there = ivan.found()
    answer = ivan.send(
        "/search",
        {"query": key_of(there), "reason": "the jacket is gone", "cameras": "yard",
         "weights": ["1", "0", "0", "0.5", "1", "1"]},
    )  # fmt: skip
    assert answer.status_code == 303
    page = ivan.get(answer.headers["location"])
    assert set(hits(page.text)) == {2, 3, 5}
    assert "Parts of the body are masked" in page.text
    assert page.text.count('<option value="0" selected>') == 2
    details = people.audit("search")[0].details
    assert details["weights"] == [1, 0, 0, 0.5, 1, 1]
    assert details["cameras"] == ["yard"]


def test_a_track_finds_the_others_but_not_itself(ivan: Browser) -> None:
    page = ivan.get(ivan.from_stored(track=1))
    assert hits(page.text)[0] == 2
    assert 1 not in hits(page.text)


def test_time_filter_keeps_out_what_was_elsewhen(ivan: Browser) -> None:
    page = ivan.get(ivan.found({"start": "2030-01-01T00:00"}))
    assert hits(page.text) == []
    assert "Nobody was found" in page.text


def test_what_does_not_exist_is_not_found(ivan: Browser) -> None:
    for path in ("/search?track=99", "/search?identity=99", "/search/nonsense",
                 "/search/..%2f..%2fetc%2fpasswd", "/search/x/hit/1",
                 "/pictures/999999"):  # fmt: skip
        assert ivan.get(path).status_code == 404, path
    for path in ("/search?track=abc", f"/search?track={2**70}", f"/pictures/{2**64}",
                 "/pictures/..%2f..%2fsite.db"):  # fmt: skip
        assert ivan.get(path).status_code in (404, 422), path


def test_a_search_is_its_owners(people: People, ivan: Browser) -> None:
    there = ivan.found()
    anna = people.browse("anna")
    for path in (there, f"{there}/picture/0", f"{there}/hit/1", f"{there}/hit/1/query"):
        assert anna.get(path).status_code == 404, path


# ---- evidence ------------------------------------------------------------------------------------


def test_the_evidence_shows_both_and_each_part(people: People, ivan: Browser) -> None:
    there = ivan.found()
    page = ivan.get(f"{there}/hit/2")
    text = text_of(page)
    assert "Strong: looks alike" in text
    assert "Looks alike in what both show: distance" in text
    for name in ("Head", "Shoulders, chest", "Waist, hands", "Thighs", "Knees", "Feet"):
        assert name in text
    assert page.text.count("<meter") == 12
    shares = [int(n) for n in re.findall(r'<td class="n">(\d+) %</td></tr>', page.text)]
    assert 97 <= sum(shares) <= 103
    assert "Looks like identity 1: distance 0.100" in text  # the ledger
    for which, start in (("query", b"\xff\xd8"), ("hit", b"\xff\xd8"), ("query-heat", b"\x89PNG"),
                         ("hit-heat", b"\x89PNG")):  # fmt: skip
        assert ivan.get(f"{there}/hit/2/{which}").content.startswith(start)
    assert ivan.get(f"{there}/hit/2/passwd").status_code == 422
    assert ivan.get(f"{there}/hit/99").status_code == 404
    assert people.audit("view")[0].subject == "track 2"


def test_wording_never_says_who_somebody_is(ivan: Browser) -> None:
    there = ivan.found()
    for path in (there, f"{there}/hit/2"):
        assert not re.search(
            r"\b(is the same person|identified as|match(es|ed)? \d)", ivan.get(path).text
        )


# ---- camera groups -------------------------------------------------------------------------------


def test_other_cameras_are_not_there(people: People, ivan: Browser, eve: Browser) -> None:
    there = eve.found()
    page = eve.get(there)
    assert set(hits(page.text)) == {1, 4}
    assert "yard" not in text_of(page)
    assert eve.get(f"{there}/hit/2").status_code == 404
    assert eve.search({"cameras": "yard"}).status_code == 422
    assert eve.get("/search?track=2").status_code == 404
    assert eve.send("/search", {"reason": "x", "track": 2}).status_code == 404
    assert eve.get("/search?identity=2").status_code == 404
    reader = people.desk.reader
    assert eve.get(f"/pictures/{reader.exemplars(2)[0].id}").status_code == 404
    assert eve.get(f"/pictures/{reader.exemplars(1)[0].id}").status_code == 200
    assert ivan.get(f"/pictures/{reader.exemplars(2)[0].id}").status_code == 200


def test_an_identitys_query_is_made_of_what_one_may_see(people: People, eve: Browser) -> None:
    there = eve.from_stored(identity=1)
    assert set(hits(eve.get(there).text)) == {4}
    assert eve.get(f"{there}/picture/0").status_code == 200
    assert eve.get(f"{there}/picture/1").status_code == 404  # of the yard
    assert people.audit("search")[0].details["cameras"] == ["door"]


def test_what_was_taken_from_somebody_since_is_in_no_search_of_theirs(own_people: People) -> None:
    """A search kept for hours went on to show the crops it was made of, and to be searched for."""
    ivan, desk = own_people.browse("ivan"), own_people.desk
    by_photo, yards = ivan.found(), ivan.from_stored(track=3)
    door, user = accounts.groups(desk.reader)[0], accounts.find_user(desk.reader, "ivan")
    desk.accounts.change_user(user.id, BY, all_cameras=False, groups=[door.id])
    key = key_of(yards)
    for path in (yards, f"{yards}/picture/0", f"{yards}/hit/1", f"{yards}/hit/1/query",
                 f"/watches/new?query={key}", f"/watches/new/picture?query={key}"):  # fmt: skip
        answer = ivan.get(path)
        assert answer.status_code == 404, path
        assert "may not see any more" in text_of(answer)
    assert ivan.send("/search", {"reason": "x", "query": key}).status_code == 404
    assert ivan.send("/watches", {"name": "x", "reason": "x", "query": key}).status_code == 404
    assert set(hits(ivan.get(by_photo).text)) == {1, 4}
    assert ivan.get(f"{by_photo}/picture/0").status_code == 200  # their own photo


# ---- erased --------------------------------------------------------------------------------------


def test_what_was_erased_is_in_no_search_any_more(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    by_photo, by_track, confirmed = ivan.found(), ivan.from_stored(track=3), ivan.found()
    own = ivan.from_stored(track=1)
    ivan.get(f"{by_photo}/hit/2/query-heat")  # drawn and kept
    action = {"action": "confirm", "track": 1, "identity": 1, "search": key_of(confirmed)}
    assert ivan.send("/decisions", action).status_code == 303
    erase(own_people.store, 1, "anna", "she asked for it")
    assert ivan.get(f"{own}/picture/0").status_code == 404
    assert ivan.get(own).status_code == 404  # it was made of her pictures
    assert ivan.get(confirmed).status_code == 404  # it was a photo of her
    for there in (by_photo, by_track):
        assert not {1, 2} & set(hits(ivan.get(there).text))
        for path in ("", "/hit", "/hit-heat"):
            assert ivan.get(f"{there}/hit/2{path}").status_code == 404


def test_what_another_process_erased_is_neither_searched_nor_watched_for(
    own_people: People,
) -> None:
    """`crosscam erase` beside the server: its shelf still held the erased look, and used it."""
    ivan = own_people.browse("ivan")
    own, confirmed = ivan.from_stored(track=1), ivan.found()
    action = {"action": "confirm", "track": 1, "identity": 1, "search": key_of(confirmed)}
    assert ivan.send("/decisions", action).status_code == 303
    erase(own_people.store, 1, "cli:root", "she asked for it")
    for key in (key_of(own), key_of(confirmed)):
        asked = {"name": "a", "reason": "missing", "expires": "2d", "query": key}
        assert ivan.get(f"/watches/new/picture?query={key}").status_code == 404
        assert ivan.send("/watches", asked).status_code == 404
        assert ivan.send("/search", {"reason": "missing", "query": key}).status_code == 404
    assert watches(own_people.desk.reader) == []


def test_a_hit_that_grew_has_its_crops_own_time_and_box(own_people: People) -> None:
    """The better crop of a track that went on was shown beside the first one's time."""
    ivan = own_people.browse("ivan")
    there = ivan.found()
    pictures = (replace(exemplar(60, 9.0, photo(body("red", 77))), box=Box(5, 6, 70, 90)),)
    own_people.store.save_tracklet(1, tracklet(2, "yard", 61, exemplars=pictures))
    own_people.store.flush()
    heading = re.search(r"<h1>.*?</h1>", ivan.get(f"{there}/hit/2").text, re.DOTALL)
    assert heading is not None
    assert "22:13:26" in heading[0]


def test_of_few_parts_the_page_calls_nothing_strong(ivan: Browser) -> None:
    whole = text_of(ivan.get(f"{ivan.found()}/hit/2"))
    assert re.search(r"below 0\.\d+ is strong, below 0\.\d+ possible", whole)
    head = ivan.found({"weights": ["1", "0", "0", "0", "0", "0"]})
    masked = text_of(ivan.get(f"{head}/hit/2"))
    assert "of so few parts nothing is strong, below" in masked
    assert not re.search(r"below 0\.\d+ is strong", masked)


# ---- loading, and a store that goes away ---------------------------------------------------------


def test_loading_is_shown_until_it_is_done(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    page = ivan.get("/search")
    assert 'hx-get="/search/ready"' in page.text
    assert "Loading" in page.text or "Ready" in page.text
    for _ in range(600):
        answer = ivan.get("/search/ready")
        if answer.status_code == 286:
            break
        assert "Loading" in answer.text
        time.sleep(0.1)
    assert "Ready" in answer.text


def test_a_store_that_went_away_loses_no_search(own_people: People) -> None:
    ivan = own_people.browse("ivan")
    there = ivan.found()
    gone = own_people.path.with_name("elsewhere.db")
    own_people.path.rename(gone)
    for answer in (ivan.get(there), ivan.search()):
        assert answer.status_code == 503
        assert "cannot be reached" in text_of(answer)
    gone.rename(own_people.path)
    for _ in range(100):
        if (answer := ivan.get(there)).status_code == 200:
            break
        time.sleep(0.1)
    assert set(hits(answer.text)[:2]) == set(RED)
    assert ivan.search().status_code == 303


def test_a_street_photo_with_the_real_detector(
    own_people: People, shared: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    video = cv2.VideoCapture(str(shared / "footage" / "pets_left.mp4"))
    video.set(cv2.CAP_PROP_POS_FRAMES, 300)
    read, frame = video.read()
    assert read
    detector = str(shared / "models" / "rtmdet_nano_person_dyn.onnx")
    monkeypatch.setattr(room, "SearchDesk", SearchDesk)
    settings = own_people.desk.settings.model_copy(update={"detector": detector})
    monkeypatch.setattr(own_people.desk, "settings", settings)
    ivan = own_people.browse("ivan")
    there = ivan.found({"crop": "false"}, ("street.jpg", photo(frame)))
    assert there.endswith("/people")
    text = text_of(ivan.get(there))
    found = int(re.findall(r"(\d+) people are in this photo", text)[0])
    assert found >= 4  # as many walk there, by the ground truth
    answer = ivan.send(there, {"photo": 0, "person": 1})
    assert len(hits(ivan.get(answer.headers["location"]).text)) == 5
