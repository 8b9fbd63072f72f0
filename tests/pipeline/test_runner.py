"""The whole way, from video files to identities in the store, on made-up footage."""

from __future__ import annotations

import math
import threading
from pathlib import Path

import numpy as np
import pytest

from pipeline.config import load_cameras, load_pipeline
from pipeline.run_command import resolve_matching
from pipeline.runner import Runner, Summary
from storage.queries import StoreReader
from storage.store import Store
from tests.pipeline.walkers import ColourDetector, ColourEmbedder, write_walk
from trackers.records import Box, Detection

START = "2024-05-01T08:00:00Z"


def cameras_file(folder: Path, **files: Path) -> Path:
    lines = [f"  - {{id: {n}, url: {p}, start_time: '{START}'}}" for n, p in files.items()]
    (folder / "cams.yaml").write_text("cameras:\n" + "\n".join(lines) + "\n")
    return folder / "cams.yaml"


def run(
    folder: Path, cameras: Path, name: str = "run", detector=None, stop=None, embedder=None
) -> Summary:
    embedder = embedder or ColourEmbedder()
    config = resolve_matching(load_pipeline(None), embedder)
    with Store.open(f"sqlite:///{folder / name}.db") as store:
        return Runner(
            load_cameras(cameras).enabled,
            config,
            detector or ColourDetector(),
            embedder,
            store,
            stop=stop or threading.Event(),
        ).run()


def contents(folder: Path, name: str = "run"):
    """Everything that a run found, without wall-clock times."""
    reader = StoreReader.open(f"sqlite:///{folder / name}.db")
    tracks = list(reader.tracks())
    boxes = {t.id: list(reader.boxes(t.id)) for t in tracks}
    ledger = [
        (e.track, e.identity, e.action, e.time, e.distance, e.support, e.reason)
        for t in tracks
        for e in reader.ledger(t.id)
    ]
    pictures = {t.id: [(e.frame, e.sha256) for e in reader.exemplars(t.id)] for t in tracks}
    reader.close()
    return tracks, boxes, ledger, pictures


@pytest.fixture
def two_cameras(tmp_path):
    """Red walks through both cameras, green through the first, blue through the second."""
    left = write_walk(tmp_path / "left.mp4", {"red": (20, 20), "green": (20, 130)})
    right = write_walk(tmp_path / "right.mp4", {"red": (60, 30), "blue": (60, 140)})
    return cameras_file(tmp_path, left=left, right=right)


def test_people_are_linked_over_cameras(tmp_path, two_cameras):
    summary = run(tmp_path, two_cameras)
    assert (summary.frames, summary.tracks, summary.identities) == (80, 4, 3)
    assert summary.actions == {"create": 3, "link": 1}
    assert not summary.failed
    tracks, boxes, ledger, pictures = contents(tmp_path)
    by_identity: dict[int | None, list[str]] = {}
    for track in tracks:
        by_identity.setdefault(track.identity, []).append(track.camera)
        assert len(boxes[track.id]) == track.boxes
        assert pictures[track.id], "evidence with every track"
    assert sorted(map(sorted, by_identity.values())) == [["left"], ["left", "right"], ["right"]]
    link = next(e for e in ledger if e[2] == "link")
    assert link[4] < 0.2
    first = min(b.time for points in boxes.values() for b in points)
    assert first == pytest.approx(1714550400 + 1.0, abs=0.35), "people come in after a second"


def test_the_same_files_give_the_same_store(tmp_path, two_cameras):
    run(tmp_path, two_cameras, "one")
    run(tmp_path, two_cameras, "two")
    assert contents(tmp_path, "one") == contents(tmp_path, "two")


def test_boxes_lie_where_the_people_are(tmp_path, two_cameras):
    run(tmp_path, two_cameras)
    tracks, boxes, _, _ = contents(tmp_path)
    red_left = next(
        t for t in tracks if t.camera == "left" and all(b.box.top < 60 for b in boxes[t.id])
    )
    for point in boxes[red_left.id]:
        truth = Box(20 + 2 * (point.frame - 10), 20, 52 + 2 * (point.frame - 10), 100)
        assert point.box.iou(truth) > 0.8


def test_a_broken_camera_is_its_own_trouble(tmp_path, two_cameras):
    run(tmp_path, two_cameras, "alone")
    (tmp_path / "broken.mp4").write_bytes(b"no video")
    text = two_cameras.read_text() + f"  - {{id: broken, url: {tmp_path / 'broken.mp4'}}}\n"
    two_cameras.write_text(text + "  - {id: gone, url: /nowhere/gone.mp4}\n")
    summary = run(tmp_path, two_cameras, "with")
    assert set(summary.failed) == {"broken", "gone"}
    assert "gone.mp4" in summary.failed["gone"]
    alone, with_broken = contents(tmp_path, "alone"), contents(tmp_path, "with")
    assert alone[1] == with_broken[1]


class HalfBroken(ColourEmbedder):
    """A model that answers NaN for green people, who are on the left camera alone."""

    def embed(self, crops):
        found = super().embed(crops)
        green = [crop[crop.shape[0] // 2, crop.shape[1] // 2].argmax() == 1 for crop in crops]
        found.parts[green] = np.nan
        return found


def test_bad_numbers_are_their_tracks_own_trouble(tmp_path, two_cameras, caplog):
    """Symptom: the first NaN raised in the main thread, and the run ended for all cameras."""
    summary = run(tmp_path, two_cameras, embedder=HalfBroken())
    assert (summary.frames, summary.tracks, summary.identities) == (80, 4, 3)
    assert summary.actions == {"create": 2, "link": 1, "abstain": 1}
    warnings = [r.getMessage() for r in caplog.records if "NaN" in r.getMessage()]
    assert len(warnings) == 1 and "camera left" in warnings[0], "once a minute at most"


def test_a_video_without_people_ends_well(tmp_path):
    empty = write_walk(tmp_path / "empty.mp4", {})
    summary = run(tmp_path, cameras_file(tmp_path, empty=empty))
    assert (summary.frames, summary.tracks, summary.identities) == (40, 0, 0)
    assert not summary.failed


def test_boxes_that_are_none_do_no_harm(tmp_path, two_cameras):
    nonsense = [
        Detection(Box(50, 50, 50, 90), 0.99),
        Detection(Box(math.nan, 0, 10, 10), 0.99),
        Detection(Box(90, 90, 40, 40), 0.99),
        Detection(Box(0, 0, math.inf, 10), 0.99),
        Detection(Box(10, 10, 20, 20), math.nan),
    ]
    summary = run(tmp_path, two_cameras, detector=ColourDetector(nonsense))
    assert (summary.tracks, summary.identities) == (4, 3)


def test_boxes_outside_the_frame_give_tracks_without_pictures(tmp_path):
    empty = write_walk(tmp_path / "empty.mp4", {})
    outside = [Detection(Box(1000, 1000, 1040, 1100), 0.99)]
    summary = run(tmp_path, cameras_file(tmp_path, a=empty), detector=ColourDetector(outside))
    assert summary.tracks == 1
    assert summary.actions == {"abstain": 1}


def test_stop_keeps_what_was_found(tmp_path, two_cameras):
    stop = threading.Event()

    class Stopping(ColourDetector):
        seen = 0

        def process(self, frames):
            self.seen += len(frames)
            if self.seen >= 56:
                stop.set()
            return super().process(frames)

    summary = run(tmp_path, two_cameras, detector=Stopping(), stop=stop)
    assert summary.interrupted
    assert 0 < summary.frames < 80
    reader = StoreReader.open(f"sqlite:///{tmp_path / 'run'}.db")
    assert reader.runs()[0].status == "interrupted"
    assert all(t.closed for t in reader.tracks(run=summary.run))


def test_an_error_of_the_detector_ends_the_run_and_says_so(tmp_path, two_cameras):
    class Broken(ColourDetector):
        def process(self, frames):
            raise RuntimeError("the detector is broken")

    with pytest.raises(RuntimeError, match="the detector is broken"):
        run(tmp_path, two_cameras, detector=Broken())
    reader = StoreReader.open(f"sqlite:///{tmp_path / 'run'}.db")
    assert reader.runs()[0].status == "failed"


def test_a_zone_leaves_people_out(tmp_path, two_cameras):
    text = two_cameras.read_text().replace(
        "{id: left,", "{id: left, zones: [[[0, 0], [1, 0], [1, 0.6], [0, 0.6]]],"
    )
    two_cameras.write_text(text)
    summary = run(tmp_path, two_cameras)
    assert summary.tracks == 3, "green walks in the lower half, outside the zone"
