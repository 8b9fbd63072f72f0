"""An itinerary says who was where, when, for how long out of sight, and why we think so."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from investigation.replay.footage import Span
from investigation.replay.itinerary import of_identity, of_track, of_window, stretches
from reid.errors import DataError, StoreError
from storage.models import iso_text
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from tests.storage.samples import decision
from trackers.records import Box, Exemplar, Tracklet, TrackPoint

T = 1_700_000_000.0


def add_track(store: Store, run: int, track: int, camera: str, start: float, end: float) -> None:
    at = [TrackPoint(i, t, Box(10, 20, 40, 100), 0.9) for i, t in enumerate((start, end))]
    store.add_points(run, camera, track, at)
    crop = Exemplar(0, start, Box(10, 20, 40, 100), b"crop %d" % track, (1.0,), (1.0,), track / 10)
    store.save_tracklet(run, Tracklet(track, camera, start, end, at[0], at[-1], 2, None, (crop,)))
    store.close_track(track)


@pytest.fixture
def reader(tmp_path: Path):
    """Identity 1: gate 0-10, again at the gate 15-20; hall 18-30; yard 90-100, gate 200-210."""
    url = f"sqlite:///{tmp_path / 'site.db'}"
    with Store.open(url) as store:
        cameras = [CameraRow("gate", "g.mp4", "East gate"), CameraRow("hall", "h.mp4"),
                   CameraRow("yard", "y.mp4")]  # fmt: skip
        run = store.begin_run({}, cameras)
        for track, camera, start, end, identity in (
            (1, "gate", 0, 10, 1), (2, "gate", 15, 20, 1), (3, "hall", 18, 30, 1),
            (4, "yard", 90, 100, 1), (5, "gate", 200, 210, 1), (6, "hall", 25, 60, 2),
            (7, "yard", 95, 99, None),
        ):  # fmt: skip
            add_track(store, run, track, camera, T + start, T + end)
            if identity is not None:
                action = "create" if track in (1, 6) else "link"
                store.link(run, decision(track, identity, action, distance=0.2, candidate=1))
        store.flush()
        yield store.reader()


def summary(steps: Sequence) -> list[tuple]:
    return [(s.camera, s.start - T, s.end - T, s.tracks, s.gap, s.overlap) for s in steps]


def test_steps_gaps_and_overlaps(reader: StoreReader) -> None:
    found = of_identity(reader, 1)
    assert summary(found.steps) == [
        ("gate", 0, 20, (1, 2), 0, 0),  # five seconds away are the same visit
        ("hall", 18, 30, (3,), 0, 2),
        ("yard", 90, 100, (4,), 60, 0),
        ("gate", 200, 210, (5,), 100, 0),
    ]
    assert found.cameras == ("gate", "hall", "yard")
    assert (found.start, found.end) == (T, T + 210)
    assert found.steps[0].place == "East gate"
    assert [step.number for step in found.steps] == [1, 2, 3, 4]


def test_each_step_has_its_picture_and_evidence(reader: StoreReader) -> None:
    gate, hall, *_ = of_identity(reader, 1).steps
    assert gate.picture is not None and gate.picture.track == 2, "the better crop of the two"
    assert gate.picture.path.read_bytes() == b"crop 2"
    assert "Looks like identity 1: distance 0.200, below the threshold 0.375." in hall.evidence
    assert " is " not in hall.evidence


def test_a_track_leads_to_its_identity(reader: StoreReader) -> None:
    assert of_track(reader, 4) == of_identity(reader, 1)
    alone = of_track(reader, 7)
    assert (alone.identity, alone.name) == (None, "track 7")
    assert summary(alone.steps) == [("yard", 95, 99, (7,), 0, 0)]
    assert alone.steps[0].evidence == ""


def test_a_window_shows_everybody(reader: StoreReader) -> None:
    found = of_window(reader, T + 28, T + 96)
    assert [(i.identity, i.tracks) for i in found] == [(1, (3, 4)), (2, (6,)), (None, (7,))]
    found = of_window(reader, T + 28, T + 96, {"yard"})
    assert [i.tracks for i in found] == [(4,), (7,)]


def test_cameras_narrow_it(reader: StoreReader) -> None:
    assert summary(of_identity(reader, 1, {"gate"}).steps)[1] == ("gate", 200, 210, (5,), 180, 0)


def test_json(reader: StoreReader) -> None:
    told = json.loads(json.dumps(of_identity(reader, 1).as_json()))
    assert told["identity"] == 1
    step = told["steps"][2]
    assert (step["camera"], step["gap"], step["start"]) == ("yard", 60.0, iso_text(T + 90))
    assert step["picture"]["box"] == [10, 20, 30, 80]
    assert [t["track"] for t in told["steps"][0]["tracks"]] == [1, 2]


def test_stretches(reader: StoreReader) -> None:
    spans = stretches([of_identity(reader, 1)], 2.0)
    assert spans == [Span(T - 2, T + 32), Span(T + 88, T + 102), Span(T + 198, T + 212)]


def test_a_visit_elsewhere_ends_a_visit(tmp_path: Path) -> None:
    """Gate, hall, gate within seconds was once told as one long visit to the gate."""
    with Store.open(f"sqlite:///{tmp_path / 'other.db'}") as store:
        run = store.begin_run({}, [CameraRow("gate", "g.mp4"), CameraRow("hall", "h.mp4")])
        for track, camera, start, end in ((1, "gate", 0, 4), (2, "hall", 5, 7), (3, "gate", 8, 9)):
            add_track(store, run, track, camera, T + start, T + end)
            store.link(run, decision(track, 1))
        store.flush()
        steps = of_identity(store.reader(), 1).steps
    assert [(s.camera, s.tracks, s.gap) for s in steps] == [
        ("gate", (1,), 0), ("hall", (2,), 1), ("gate", (3,), 1)
    ]  # fmt: skip


def test_nobody(reader: StoreReader) -> None:
    with pytest.raises(StoreError, match="identity 9 has no track"):
        of_identity(reader, 9)
    with pytest.raises(StoreError, match="identity 2 has no track on gate"):
        of_identity(reader, 2, {"gate"})
    with pytest.raises(StoreError, match="has no track 99"):
        of_track(reader, 99)
    with pytest.raises(DataError, match="the end is not after the start"):
        of_window(reader, T, T)
    assert of_window(reader, T + 1000, T + 1001) == []
