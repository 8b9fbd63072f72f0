"""After an erasure: what still shows the person is told, by file, number or address."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reid.errors import StoreError
from storage.audit import Audit, entries, write
from storage.decisions.decide import Decisions
from storage.erasure.erase import erase, survey
from storage.erasure.watched import erase_watch
from storage.store import Store
from storage.watches.alerts import NewAlert, save_hits
from storage.watches.edit import NewWatch, add_watch
from storage.watches.rows import NotifyTarget
from storage.watches.sending import claim, settle
from tests.storage.erasing import files, fill, jpeg, kinds, leaks, look_of
from tests.storage.samples import CAMERAS, NOON, decision, exemplar, points, tracklet


@pytest.fixture
def store(sqlite_url: str, media: Path) -> Iterator[Store]:
    with Store.open(sqlite_url, media) as opened:
        fill(opened)
        yield opened


@pytest.fixture
def either(url: str, media: Path) -> Iterator[Store]:
    """On each kind of database, for what its SQL decides."""
    with Store.open(url, media) as opened:
        fill(opened)
        yield opened


def test_it_says_what_still_shows_the_person(either: Store, media: Path) -> None:
    write(either, Audit("bert", "export", "case 1", "x", {"file": "gate.zip"}))
    write(either, Audit("bert", "export", "identity 2", "x", {"clip": "walk.mp4"}))
    write(either, Audit("bert", "export", "identity 3", "x", {"clip": "another.mp4"}))
    write(either, Audit("bert", "view", "track 4", "x"))
    night = {"cameras": ["yard"], "from": "2023-11-15T02:00:00Z", "clip": "night.mp4"}
    write(either, Audit("bert", "export", "yard, a stretch of time", "x", night))
    all_day = {"cameras": [], "from": None, "to": None, "clip": "all.mp4"}
    write(either, Audit("bert", "export", "all cameras, a stretch of time", "x", all_day))
    either.begin_run({}, CAMERAS)
    found = kinds(erase(either, 2, "anna", "x"))
    assert found["recording"] == [
        str(media / "recordings/yard-5.mp4"), str(media / "recordings/door40.mp4"),
    ]  # fmt: skip
    assert [what.split(":")[0] for what in found["export"]] == ["gate.zip", "walk.mp4", "all.mp4"]
    assert [Path(p).name.split("-")[0] for p in found["picture"]] == ["00000006"], "beside 4"
    assert found["case clip"] == ["case 1, item 4: a stretch of footage"]
    assert found["watch"] == [
        "watch 1 (of 4) was made of it and holds its look; remove it with: crosscam erase --watch 1"
    ]
    assert len(found["blurring"]) == 1, "there is footage, and nothing knows any more where"
    assert found["running"] == ["run 2 goes on: it may see the person again"]
    assert found["audit"][0].startswith("2 entries")


def test_what_a_rerun_saw_is_told(either: Store, media: Path) -> None:
    """It has crops and a vector of its own of the same people at the same moments."""
    run = either.begin_run({}, CAMERAS, rerun_of=1)
    there, beside = points(10, 0, 400.0), points(10, 0, 430.0)
    for number, (seen, identity) in {8: (there, 4), 9: (beside, 5)}.items():
        either.add_points(run, "yard", number, seen)
        crop = replace(exemplar(5, jpeg=jpeg(number, 2)), time=seen[5].time, box=seen[5].box)
        state = tracklet(number, "yard", 10, look_of(number, 2), (crop,))
        either.save_tracklet(run, replace(state, start=seen[0].time, end=seen[-1].time))
        either.link(run, decision(number, identity))
    either.finish_run(run)
    write(either, Audit("bert", "export", "run 2", "x", {"format": "report", "out": "rerun.html"}))
    found = kinds(erase(either, 2, "anna", "x"))
    assert found["other run"] == [
        "track 8 of run 2, a re-run of run 1 (identity 4), was at the same place at the same time: "
        "it may be the person, with pictures and a vector of its own; erase identity 4 as well if "
        "so"
    ]
    names = [Path(path).name.split("-")[0] for path in found["picture"]]
    assert names == ["00000006", "00000008", "00000009"], "9 is beside, as 6 is"
    assert found["export"][0].startswith("rerun.html: run 2, exported ")
    assert erase(either, 4, "anna", "x").tracks == (8,)


def test_pictures_that_alerts_sent_are_told(store: Store) -> None:
    """The alerts go, and with them all that knew of the pictures."""
    target = NotifyTarget("json://user:secret@host/hook", "json://host")
    query = NewWatch("by photo", "anna", "x", time.time() + 3600, look_of(4, 2), targets=(target,))
    with_picture = add_watch(store, replace(query, attach_picture=True))
    in_words = add_watch(store, query)
    hit = NewAlert(4, NOON, 0.1, 1.0, "strong", {})
    both = {with_picture: [hit], in_words: [hit]}
    save_hits(store, both, dict.fromkeys(both, 1), time.time())
    assert "sent picture" not in {r.kind for r in survey(store.reader(), 2).remains}
    while job := claim(store, time.time()):
        settle(store, job, time.time(), None)
    (what,) = kinds(erase(store, 2, "anna", "x"))["sent picture"]
    assert what.startswith(
        f"a picture of track 4 was sent to json://host (alert 3 of watch {with_picture}, by photo, "
    )
    assert "secret" not in what


def test_a_watch_by_photo_that_found_the_person_is_told_and_removed(
    store: Store, media: Path, tmp_path: Path
) -> None:
    """It keeps photo and look, and nothing but an erasure can take them away."""
    query = NewWatch("child", "anna", "x", time.time() + 3600, look_of(4, 1))
    photo = b"\xff\xd8 the child's photo"
    watch = add_watch(store, replace(query, photos=("child.jpg",), picture=photo))
    save_hits(store, {watch: [NewAlert(4, NOON, 0.1, 1.0, "strong", {})]}, {watch: 1}, NOON)
    (what,) = kinds(erase(store, 2, "anna", "x", watches=True))["watch"]
    assert what == (
        f"watch {watch} (child) was made of child.jpg and raised alerts on tracks 4: if that is "
        "the person, it holds their photo and look, also once it has ended; remove it with: "
        f"crosscam erase --watch {watch}"
    )
    assert leaks(media, tmp_path) != []
    with pytest.raises(StoreError, match="the reason is empty"):
        erase_watch(store, watch, "anna", " ")
    gone = erase_watch(store, watch, "anna", "asked", address="10.0.0.7")
    assert gone.counts == {"alerts": 0, "watches": 1, "files": 1}
    assert leaks(media, tmp_path) == []
    assert not any(photo in path.read_bytes() for path in files(media))
    newest = entries(store.reader())[0]
    assert (newest.action, newest.subject, newest.address) == (
        "erase", f"watch {watch}", "10.0.0.7",
    )  # fmt: skip
    with pytest.raises(StoreError, match=f"has no watch {watch}"):
        erase_watch(store, watch, "anna", "asked")


def test_exports_by_the_numbers_that_the_person_had_are_told(store: Store) -> None:
    write(store, Audit("bert", "export", "identity 2", "x", {"clip": "walk.mp4"}))
    Decisions(store).merge(3, 2, "anna", "x")
    found = kinds(erase(store, 3, "anna", "x"))
    assert [what.split(":")[0] for what in found["export"]] == ["walk.mp4"]


def test_a_recording_is_told_with_the_time_that_shows_the_person(store: Store) -> None:
    found = [r for r in survey(store.reader(), 2).remains if r.kind == "recording"]
    assert [(r.camera, r.start, r.end) for r in found] == [
        ("yard", NOON, pytest.approx(NOON + 0.9, abs=1e-3)),
        ("door", NOON + 50, pytest.approx(NOON + 50.9, abs=1e-3)),
    ]
    assert found[0].as_json()["from"] == "2023-11-14T22:13:20.250000Z"
