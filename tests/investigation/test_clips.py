"""Clips: the chosen one stays sharp and named, others lose their detail, the clock fits."""

from __future__ import annotations

import itertools
import shutil
from pathlib import Path

import av
import numpy as np
import pytest

from investigation.replay.clips import ClipPlan, labels_of, write_clip
from investigation.replay.drawing import grid, hide
from investigation.replay.footage import Footage, Span
from investigation.replay.itinerary import of_identity
from investigation.replay.people_shown import Hiding, PeopleShown
from reid.errors import DataError, OutputError
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from tests.investigation.recorded import FPS, START, make_store, record
from tests.storage.samples import decision
from trackers.records import Box, TrackPoint

WIDTH, HEIGHT, FRAMES = 320, 192, 30
CHOSEN = Box(20, 40, 68, 160)
OTHER = Box(120, 40, 168, 160)


def noise_video(path: Path) -> Path:
    """Ten key frames' worth of pictures in which every eight pixels differ."""
    random = np.random.default_rng(1)
    with av.open(str(path), "w") as out:
        stream = out.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"g": "10", "bf": "0", "crf": "10"}
        for _ in range(FRAMES):
            small = random.integers(0, 255, (HEIGHT // 2, WIDTH // 2, 1), dtype=np.uint8)
            image = small.repeat(2, 0).repeat(2, 1).repeat(3, 2)
            out.mux(stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")))
        out.mux(stream.encode())
    return path


def add_boxes(store: Store, run: int, track: int, camera: str, box: Box, frames) -> None:
    points = [TrackPoint(n, START + n / FPS, box, 0.9) for n in frames]
    store.add_points(run, camera, track, points)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two cameras. On `left` track 1 (identity 1), and track 2, unseen in pictures 8 to 21."""
    folder = tmp_path_factory.mktemp("made")
    store, run = make_store(folder, "left", "right")
    with store:
        source = noise_video(folder / "noise.mp4")
        for camera in ("left", "right"):
            record(store, camera, source, START, run=run, size=(WIDTH, HEIGHT))
            store.camera_state(run, camera, "ended", None, FRAMES, 0, START, START + 3)
        add_boxes(store, run, 1, "left", CHOSEN, range(FRAMES))
        add_boxes(store, run, 2, "left", OTHER, [*range(8), *range(22, FRAMES)])
        add_boxes(store, run, 3, "right", OTHER, range(5, 10))
        for track, identity in ((1, 1), (2, 2), (3, 1)):
            store.link(run, decision(track, identity))
        store.finish_run(run)
    return folder


@pytest.fixture
def reader(made: Path, tmp_path: Path):
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as opened:
        yield opened


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]


def detail(image: np.ndarray, box: Box, inset: int = 8) -> float:
    """The standard deviation within 4 x 4 pixels, on average, inside a box."""
    part = image[
        int(box.top) + inset : int(box.bottom) - inset,
        int(box.left) + inset : int(box.right) - inset,
    ].astype(float)
    high, wide = (length // 4 * 4 for length in part.shape[:2])
    blocks = part[:high, :wide].reshape(high // 4, 4, wide // 4, 4, 3)
    return float(blocks.std(axis=(1, 3)).mean())


def moved(box: Box, down: int) -> Box:
    return Box(box.left, box.top + down, box.right, box.bottom + down)


def test_others_are_blurred_and_the_chosen_is_not(reader: StoreReader, tmp_path: Path) -> None:
    plan = ClipPlan(("left",), (Span(START, START + 3),), {1: "identity 1"}, blur_others=True)
    report = write_clip(reader, plan, tmp_path / "clip.mp4")
    shown = pictures(tmp_path / "clip.mp4")
    assert len(shown) == report.frames == FRAMES
    raw = [f.image for f in Footage(reader).frames("left", START, START + 3)]
    top = shown[0].shape[0] - HEIGHT  # the lines of text above the picture
    for number, (image, original) in enumerate(zip(shown, raw, strict=True)):
        before = detail(original, CHOSEN)
        assert before > 30, "the oracle needs detail to lose"
        assert detail(image, moved(CHOSEN, top)) > 0.7 * before, number
        # Also while its boxes are missing, between 8 and 21: hidden where it was last and next.
        assert detail(image, moved(OTHER, top)) < 0.3 * before, number
    assert any("not blurred" in note for note in report.notes)


def test_without_the_wish_nobody_is_blurred(reader: StoreReader, tmp_path: Path) -> None:
    plan = ClipPlan(("left",), (Span(START, START + 1),), {1: "identity 1"})
    report = write_clip(reader, plan, tmp_path / "clip.mp4")
    image = pictures(tmp_path / "clip.mp4")[3]
    assert detail(image, moved(OTHER, image.shape[0] - HEIGHT)) > 30
    assert report.notes == ()


def test_the_chosen_is_framed_where_the_store_says(reader: StoreReader, tmp_path: Path) -> None:
    plan = ClipPlan(("left",), (Span(START, START + 1),), {1: "identity 1"})
    write_clip(reader, plan, tmp_path / "clip.mp4")
    image = pictures(tmp_path / "clip.mp4")[5].astype(int)
    box = moved(CHOSEN, image.shape[0] - HEIGHT)
    edge = image[int(box.top) + 20 : int(box.bottom) - 20, int(box.left)]
    assert (edge.max(axis=1) - edge.min(axis=1)).mean() > 60, "a coloured line on grey noise"
    inner = image[int(box.top) + 20 : int(box.bottom) - 20, int(box.left) + 8]
    assert (inner.max(axis=1) - inner.min(axis=1)).mean() < 40


def people(reader: StoreReader, camera: str, labels: dict[int, str], runs=frozenset()):
    return PeopleShown(
        reader, camera, START, START + 3, labels=labels, identities={}, runs=frozenset(runs)
    )


def test_hiding_errs_on_the_side_of_too_much(reader: StoreReader) -> None:
    shown = people(reader, "left", {1: "x"})
    for time in np.arange(START - 0.4, START + 3.4, 0.05):
        hiding = shown.hidden(time)
        assert hiding.all_but is None
        (box,) = hiding.boxes
        assert box.left < OTHER.left - 5 and box.right > OTHER.right + 5
        assert box.top < OTHER.top - 5 and box.bottom > OTHER.bottom + 5
    at = people(reader, "right", {})
    for time in (START + 0.5, START - 0.4):
        assert at.hidden(time).boxes, "held before the first box"
    assert at.hidden(START + 2.95) == Hiding(), "gone for long"


def test_who_walked_unseen_may_be_anywhere_on_the_way(tmp_path: Path) -> None:
    store, run = make_store(tmp_path, "left")
    with store:
        far = Box(200, 40, 248, 160)
        add_boxes(store, run, 1, "left", OTHER, [0])
        add_boxes(store, run, 1, "left", far, [25])
        add_boxes(store, run, 2, "left", OTHER, [0])
        add_boxes(store, run, 2, "left", far, [5])
        store.flush()
        hiding = people(store.reader(), "left", {}).hidden(START + 0.25)
    slow, quick = hiding.boxes
    assert slow.left < OTHER.left and slow.right > far.right
    # Halfway, a tenth of a second more to each side (16 pixels), and the margin (7).
    assert (quick.left, quick.right) == pytest.approx((160 - 16 - 7, 208 + 16 + 7), abs=1)


def test_where_nobody_looked_all_is_blurred(reader: StoreReader, tmp_path: Path) -> None:
    everything = people(reader, "left", {}).hidden(START + 20)
    assert everything == Hiding((), ())
    image = np.random.default_rng(0).integers(0, 255, (96, 96, 3), dtype=np.uint8)
    hide(image, everything)
    assert detail(image, Box(0, 0, 96, 96)) < 10


def test_where_zones_left_people_out_all_but_the_chosen_is_blurred(tmp_path: Path) -> None:
    """Who stands outside a camera's zones has no box that could say where to blur."""
    zones = {"cameras": [{"id": "left", "zones": [[[0, 0], [0.3, 0], [0.3, 1], [0, 1]]]}]}
    noise = np.random.default_rng(0).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    with Store.open(f"sqlite:///{tmp_path / 's.db'}") as store:
        run = store.begin_run(zones, [CameraRow("left", "left.mp4")])
        add_boxes(store, run, 1, "left", CHOSEN, range(FRAMES))
        store.flush()
        hiding = people(store.reader(), "left", {1: "x"}).hidden(START + 1)
        image = noise.copy()
        hide(image, hiding)
        assert (image[60:140, 30:60] == noise[60:140, 30:60]).all(), "the chosen one stays"
        assert detail(image, OTHER) < 0.3 * detail(noise, OTHER)
        whole = store.begin_run({"cameras": [{"id": "left", "zones": []}]}, [])
        add_boxes(store, whole, 2, "left", OTHER, range(FRAMES))
        store.flush()
        hiding = people(store.reader(), "left", {1: "x"}).hidden(START + 1)
        assert hiding.all_but is None and len(hiding.boxes) == 1, "another run looked everywhere"


def test_another_runs_box_does_not_hide_the_chosen(reader: StoreReader, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'site.db'}") as store:
        again = store.begin_run({}, [])
        add_boxes(store, again, 9, "left", CHOSEN, range(FRAMES))
    boxes = people(reader, "left", {1: "x"}).hidden(START + 0.5).boxes
    assert boxes and all(box.iou(CHOSEN) == 0 for box in boxes)
    boxes = people(reader, "left", {}).hidden(START + 0.5).boxes
    assert len(boxes) == 3, "with nobody chosen everybody is hidden"


def test_a_small_mosaic_does_not_uncover_a_large_one() -> None:
    image = np.random.default_rng(0).integers(0, 255, (240, 240, 3), dtype=np.uint8)
    hide(image, Hiding((Box(20, 20, 220, 220), Box(100, 100, 120, 132))))
    assert len(np.unique(image[101:119, 101:119].reshape(-1, 3), axis=0)) <= 9


def test_cameras_stand_side_by_side_by_one_clock(reader: StoreReader, tmp_path: Path) -> None:
    itinerary = of_identity(reader, 1)
    plan = ClipPlan(
        ("left", "right"), (Span(START, START + 1), Span(START + 2, START + 5)),
        labels_of([itinerary]),
    )  # fmt: skip
    calls: list[tuple[float, float]] = []
    report = write_clip(reader, plan, tmp_path / "two.mp4", lambda *call: calls.append(call))
    shown = pictures(tmp_path / "two.mp4")
    assert len(shown) == 10 + FPS + 30, "both stretches, and a second of a card in between"
    assert report.missing == pytest.approx({"left": 1.6, "right": 1.6}, abs=0.3)
    assert calls[-1] == (4.0, 4.0) and all(a <= b for (a, _), (b, _) in itertools.pairwise(calls))
    layout = grid({"left": (WIDTH, HEIGHT), "right": (WIDTH, HEIGHT)})
    tiles = [layout.tiles[c] for c in ("left", "right")]
    frame = shown[4]
    assert frame.shape[1] == layout.width
    left, right = (frame[t.top : t.top + t.height, t.left : t.left + t.width] for t in tiles)
    raw = next(Footage(reader).frames("right", START + 0.4, START + 0.45)).image
    assert np.abs(right.astype(int) - raw)[:, 200:].mean() < 12, "the right picture at its time"
    other = next(Footage(reader).frames("right", START + 0.5, START + 0.55)).image
    assert np.abs(right.astype(int) - other)[:, 200:].mean() > 40
    assert np.abs(left.astype(int) - raw)[:, 200:].mean() < 12


def test_nothing_to_show(reader: StoreReader, tmp_path: Path) -> None:
    out = tmp_path / "none.mp4"
    with pytest.raises(DataError, match="nothing is recorded of left between"):
        write_clip(reader, ClipPlan(("left",), (Span(START + 50, START + 51),)), out)
    with pytest.raises(DataError, match="camera 'shed' is not in store"):
        write_clip(reader, ClipPlan(("shed",), (Span(START, START + 1),)), out)
    with pytest.raises(DataError, match="needs a camera"):
        write_clip(reader, ClipPlan((), ()), out)
    assert not out.exists()
    with pytest.raises(DataError, match=r"cannot write .*nowhere"):
        plan = ClipPlan(("left",), (Span(START, START + 1),))
        write_clip(reader, plan, tmp_path / "nowhere" / "clip.mp4")


def test_nothing_but_an_older_clip_of_ours_is_replaced(reader: StoreReader, tmp_path: Path) -> None:
    plan = ClipPlan(("left",), (Span(START, START + 0.5),))
    out = tmp_path / "clip.mp4"
    write_clip(reader, plan, out)
    write_clip(reader, plan, out)
    footage = noise_video(tmp_path / "footage.mp4")
    before = footage.read_bytes()
    with pytest.raises(OutputError, match="no clip of ours"):
        write_clip(reader, plan, footage)
    assert footage.read_bytes() == before
    store = tmp_path / "site.db"
    before = store.read_bytes()
    with pytest.raises(OutputError, match=r"site.db is there already and no \.mp4 file"):
        write_clip(reader, plan, store)
    assert store.read_bytes() == before
    with pytest.raises(OutputError, match="it is a folder"):
        write_clip(reader, plan, tmp_path)


def test_where_recording_was_off_it_is_said(tmp_path: Path) -> None:
    store, _ = make_store(tmp_path, "left")
    with store, pytest.raises(DataError, match=r"recording was off: set recording\.enabled"):
        plan = ClipPlan(("left",), (Span(START, START + 1),))
        write_clip(store.reader(), plan, tmp_path / "clip.mp4")
