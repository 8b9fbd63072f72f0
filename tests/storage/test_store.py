"""What goes into the store comes out of it, on SQLite and on PostgreSQL."""

from __future__ import annotations

import hashlib
import math
from pathlib import Path

import numpy as np
import pytest

from reid.errors import FingerprintMismatch, StoreError
from storage.queries import StoreReader
from storage.store import Store
from tests.storage.samples import (
    CAMERAS,
    NOON,
    D,
    K,
    decision,
    embedding,
    exemplar,
    points,
    tracklet,
)
from trackers.records import Box, TrackPoint


def test_round_trip(url: str, media: Path) -> None:
    stored = embedding(3)
    pictures = (exemplar(2, score=1.0), exemplar(5, score=3.0))
    with Store.open(url, media) as store:
        run = store.begin_run({"detector": {"weights": Path("a.pt")}, "n": 3}, CAMERAS)
        track = store.track_allocator().next_id()
        identity = store.identity_allocator().next_id()
        store.register_model("model-a", K, D, {"name": "QPM"})
        store.add_points(run, "door", track, points(6))
        store.add_points(run, "door", track, points(4, first=6))
        store.save_tracklet(run, tracklet(track, embedded=stored, exemplars=pictures))
        store.close_track(track)
        store.link(
            run,
            decision(track, identity, "abstain", candidate=7, distance=0.5, support=1.25e-3),
        )
        store.camera_state(run, "door", "ended", None, 10, 2, NOON, NOON + 0.9)
        store.camera_state(run, "yard", "failed", "rtsp://a:pw@h/x timed out")
        store.finish_run(run)

    with StoreReader.open(url, media) as reader:
        found_run = reader.run()
        assert (found_run.id, found_run.status) == (1, "finished")
        assert found_run.config == {"detector": {"weights": "a.pt"}, "n": 3}
        assert found_run.finished is not None
        assert found_run.started <= found_run.finished
        door, yard = reader.run_cameras(1)
        assert (door.state, door.frames, door.dropped) == ("ended", 10, 2)
        assert (door.first, door.last) == (NOON, NOON + 0.9)
        assert yard.error == "rtsp://a:***@h/x timed out"
        (row,) = reader.tracks(run=1)
        assert (row.id, row.camera, row.place) == (1, "door", "Front door")
        assert (row.start, row.end, row.boxes, row.closed) == (NOON, NOON + 0.9, 10, True)
        assert (row.identity, row.action) == (1, "abstain")
        assert list(reader.boxes(1)) == points(10)
        best, other = reader.exemplars(1)
        assert (best.frame, other.frame) == (5, 2)
        assert best.path.read_bytes() == pictures[1].jpeg
        assert best.sha256 == hashlib.sha256(pictures[1].jpeg).hexdigest()
        assert best.box == pictures[1].box
        assert (best.quality, best.visible) == (pictures[1].quality, pictures[1].visible)
        found = reader.embeddings()
        assert found is not None
        assert found.tracks.tolist() == [1]
        assert found.identities.tolist() == [1]
        assert found.embeddings.fingerprint == "model-a"
        for name in ("parts", "global_parts", "quality"):
            half = getattr(stored, name).astype(np.float16).astype(np.float32)
            np.testing.assert_array_equal(getattr(found.embeddings, name), half)
        (entry,) = reader.ledger(1)
        assert (entry.candidate, entry.distance, entry.runner_up) == (7, 0.5, None)
        assert (entry.support, entry.threshold, entry.actor) == (1.25e-3, 0.375, "test 1")
        assert entry.time == NOON + 1


def test_current_identity_is_the_last_row_of_the_ledger(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        for track, camera in ((1, "door"), (2, "yard"), (3, "yard")):
            store.add_points(run, camera, track, points(3))
        store.link(run, decision(1, 1))
        store.link(run, decision(2, 2))
        store.link(run, decision(2, 1, "move", candidate=1, distance=0.1))
        store.flush()
        reader = store.reader()
        assert [(t.id, t.identity) for t in reader.tracks()] == [(1, 1), (2, 1), (3, None)]
        assert [t.id for t in reader.tracks(identity=1)] == [1, 2]
        assert list(reader.tracks(identity=2)) == []
        assert [t.id for t in reader.tracks(camera="yard")] == [2, 3]
        (person,) = reader.identities(run)
        assert (person.id, person.tracks, person.cameras) == (1, 2, ("door", "yard"))
        assert [entry.action for entry in reader.ledger(2)] == ["create", "move"]
        store.link(run, decision(2, 2, "move", reason="a person said so"))
        store.flush()
        assert [p.id for p in reader.identities(run)] == [1, 2]


def test_contact_sheet(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model("model-a", K, D, {})
        for track, camera in ((1, "yard"), (2, "door"), (3, "yard")):
            store.add_points(run, camera, track, points(3))
            store.save_tracklet(
                run, tracklet(track, camera, embedded=embedding(track), exemplars=(exemplar(1),))
            )
        store.add_points(run, "door", 4, points(1))
        for track, identity in ((1, 1), (2, 1), (3, 2), (4, 2)):
            store.link(run, decision(track, identity))
        store.finish_run(run)
        first, second = store.reader().contact_sheet(run)
        assert list(first.cameras) == ["door", "yard"]
        (sheet,) = first.cameras["yard"]
        assert sheet.track.id == 1
        assert sheet.quality == tuple(embedding(1).quality[0].astype(np.float16).astype(float))
        assert sheet.exemplars[0].path.is_file()
        assert [entry.identity for entry in sheet.ledger] == [1]
        assert second.cameras["door"][0].quality is None


def test_a_tracklet_saved_again_replaces_embedding_and_pictures(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model("model-a", K, D, {})
        store.add_points(run, "door", 1, points(10))
        store.save_tracklet(
            run, tracklet(1, embedded=embedding(1), exemplars=(exemplar(1), exemplar(2)))
        )
        again = (exemplar(2), exemplar(3), exemplar(1, jpeg=b"\xff\xd8 padded anew"))
        store.save_tracklet(run, tracklet(1, embedded=embedding(2), exemplars=again))
        store.flush()
        found = store.reader().exemplars(1)
        assert {e.frame: e.path.read_bytes() for e in found} == {e.frame: e.jpeg for e in again}
        kept = {path for path in media.rglob("*") if path.is_file()}
        assert kept == {e.path for e in found}  # outdated files are gone, nothing half-written
        stored = store.reader().embeddings()
        assert stored is not None
        np.testing.assert_allclose(
            stored.embeddings.parts, embedding(2).parts, rtol=1e-3, atol=1e-4
        )


def test_a_point_sent_twice_counts_once(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        store.add_points(run, "door", 1, points(5))
        store.add_points(run, "door", 1, points(5, first=3, offset=1.0))
        store.close_track(1)
        store.flush()
        (row,) = store.reader().tracks()
        assert row.boxes == 8
        assert [p.frame for p in store.reader().boxes(1)] == list(range(8))
        assert list(store.reader().boxes(1))[3:] == points(5, first=3, offset=1.0)


def test_times_keep_the_microsecond(url: str, media: Path) -> None:
    times = [0.0, 1e-6, 1_700_000_000.123456, 1_700_000_000.1234567, 4_000_000_000.999999]
    box = Box(0, 0, 1, 1)
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        for track, time in enumerate(times, 1):
            store.add_points(run, "door", track, [TrackPoint(0, time, box, 1.0)])
        store.flush()
        for row, time in zip(store.reader().tracks(), times, strict=True):
            assert row.start == pytest.approx(time, abs=5.1e-7)
            (point,) = store.reader().boxes(row.id)
            assert point.time == row.start == row.end


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_numbers_that_are_none_are_refused_and_harm_nothing(
    bad: float, sqlite_url: str, media: Path
) -> None:
    good = points(1)[0]
    with Store.open(sqlite_url, media) as store:
        with pytest.raises(StoreError, match="configuration cannot be stored"):
            store.begin_run({"threshold": bad}, CAMERAS)
        run = store.begin_run({}, CAMERAS)
        store.register_model("model-a", K, D, {})
        for point in (
            TrackPoint(0, bad, good.box, 1.0),
            TrackPoint(0, NOON, good.box, bad),
            TrackPoint(0, NOON, Box(bad, 0, 1, 1), 1.0),
        ):
            with pytest.raises(StoreError, match=r"camera door, track 1, frame 0: .*(nan|inf)"):
                store.add_points(run, "door", 1, [point])
        with pytest.raises(StoreError, match=r"track 1, link: number .* cannot be stored"):
            store.link(run, decision(1, 1, "link", distance=bad))
        broken = embedding()
        broken.global_parts[0, 2, 3] = bad
        with pytest.raises(StoreError, match="track 1, global_parts: numbers are NaN"):
            store.save_tracklet(run, tracklet(1, embedded=broken))
        store.add_points(run, "door", 1, [good])
        store.finish_run(run)
        assert list(store.reader().boxes(1)) == [good]


def test_numbers_beyond_half_precision_are_refused(sqlite_url: str) -> None:
    large = embedding()
    large.parts[0, 0, 0] = 70_000
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model("model-a", K, D, {})
        with pytest.raises(StoreError, match="half precision"):
            store.save_tracklet(run, tracklet(1, embedded=large))


@pytest.mark.parametrize("box", [Box(5, 5, 5, 9), Box(5, 5, 4, 9), Box(5, 9, 6, 9)])
def test_boxes_without_area_are_refused(box: Box, sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, CAMERAS)
        with pytest.raises(StoreError, match=r"camera yard, track 4, frame 3: .*no area"):
            store.add_points(run, "yard", 4, [TrackPoint(3, NOON, box, 1.0)])


def test_one_track_belongs_to_one_camera(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, CAMERAS)
        store.add_points(run, "door", 1, points(1))
        with pytest.raises(StoreError, match="track 1 belongs to camera door"):
            store.add_points(run, "yard", 1, points(1))


def test_embeddings_must_fit_their_model(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        with pytest.raises(StoreError, match="model model-a was not registered"):
            store.save_tracklet(run, tracklet(1, embedded=embedding()))
        store.register_model("model-a", K, D, {"name": "first"})
        store.register_model("model-a", K, D, {"name": "again"})
        with pytest.raises(StoreError, match="known with K=6, d=8, not K=6, d=9"):
            store.register_model("model-a", K, D + 1, {})
        with pytest.raises(StoreError, match="embedding has K=3, d=8, but model model-a has K=6"):
            store.save_tracklet(run, tracklet(1, embedded=embedding(k=3)))


def test_embeddings_of_two_models_are_not_mixed(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        for track, name in ((1, "model-a"), (2, "model-b"), (3, "model-b")):
            store.register_model(name, K, D, {})
            store.save_tracklet(run, tracklet(track, embedded=embedding(track, name)))
        store.flush()
        reader = store.reader()
        with pytest.raises(FingerprintMismatch, match="model-a, model-b"):
            reader.embeddings()
        with pytest.raises(FingerprintMismatch):
            reader.embeddings(tracks=[1, 2])
        found = reader.embeddings(fingerprint="model-b")
        assert found is not None
        assert found.tracks.tolist() == [2, 3]
        assert reader.embeddings(tracks=[99]) is None
        assert [model.fingerprint for model in reader.models()] == ["model-a", "model-b"]


def test_a_run_left_open_is_interrupted_at_close(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as store:
        run = store.begin_run({}, CAMERAS)
        store.add_points(run, "door", 1, points(2))
        assert store.reader().run().status == "running"
    with StoreReader.open(sqlite_url) as reader:
        assert reader.run(1).status == "interrupted"
        assert next(reader.tracks()).closed
        with pytest.raises(StoreError, match="has no run 2; it has: 1 \\(interrupted\\)"):
            reader.run(2)


def test_a_finish_needs_a_known_status_and_a_closed_store_refuses(sqlite_url: str) -> None:
    store = Store.open(sqlite_url)
    run = store.begin_run({}, CAMERAS)
    with pytest.raises(StoreError, match="status 'done' is none of finished, failed, interrupted"):
        store.finish_run(run, "done")
    store.finish_run(run, "failed")
    store.close()
    store.close()
    with pytest.raises(StoreError, match="is closed"):
        store.add_points(run, "door", 1, points(1))


def test_of_a_live_site_the_latest_run_is_meant(url: str, media: Path) -> None:
    """Its runs end by Ctrl-C or go on: none is ever finished."""
    with Store.open(url, media) as store:
        with pytest.raises(StoreError, match="holds no run; it has: no run at all"):
            store.reader().run()
        first = store.begin_run({}, CAMERAS)
        store.finish_run(first, "interrupted")
        second = store.begin_run({}, CAMERAS)
        store.begin_run({}, CAMERAS, rerun_of=first)
        assert store.reader().run().id == second
        store.finish_run(second)
        store.begin_run({}, CAMERAS)
        assert store.reader().run().id == second
