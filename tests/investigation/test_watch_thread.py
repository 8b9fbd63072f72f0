"""The watch list while a run is going on: on real footage, with a store that goes away, and as the
command a person types."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from investigation.search.yardstick import Yardstick
from investigation.watching.thread import WatchThread
from reid.records import PartEmbeddings
from storage.store import Store
from storage.watches.alerts import alerts
from storage.watches.edit import NewWatch, add_watch
from storage.watches.rows import one_watch
from tests.investigation.servers import webhook
from tests.storage.samples import CAMERAS, NOON, embedding, exemplar, points, tracklet
from trackers.records import Box, Exemplar, Tracklet, TrackPoint

ROOT = Path(__file__).parent.parent.parent


def wait_until(done: Callable[[], bool], seconds: float = 60) -> None:
    over = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < over, "it did not happen"
        time.sleep(0.01)


# ---- PETS ----------------------------------------------------------------------------------------

# Of the ground truth. The nearest stranger's distance is 0.217: below the calibrated threshold,
# but in one scene as many as 1 in 200 strangers come as near as that.
PERSON = 17
OTHERS = (1, 4, 7, 9, 10, 13, 16)  # whom the right camera sees as well
SIGHTS = 6  # of each person
Sights = dict[int, list[tuple[TrackPoint, PartEmbeddings]]]


@pytest.fixture(scope="module")
def pets(shared: Path) -> dict[str, Sights]:
    """Boxes and embeddings of people, by camera and person: of one on the left, eight right."""
    from reid.embedding import Embedder
    from reid.settings import EmbeddingSettings

    settings = EmbeddingSettings(backend="torch", device="cpu", batch=64)
    embedder = Embedder.from_settings(settings)
    found: dict[str, Sights] = {}
    for camera, people in (("left", (PERSON,)), ("right", (PERSON, *OTHERS))):
        there = list(_crops(shared / "footage", camera, people))
        made = embedder.embed([image for _, _, image in there])
        found[camera] = defaultdict(list)
        for i, (person, point, _) in enumerate(there):
            found[camera][person].append((point, made[i]))
    return found


def _crops(
    footage: Path, camera: str, people: tuple[int, ...]
) -> Iterator[tuple[int, TrackPoint, np.ndarray]]:
    """Of each person a few boxes of the ground truth, in the order of time."""
    import av

    from trackers.bodies import crop
    from trackers.tracklets import CROP_MARGIN

    boxes: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for line in (footage / f"pets_{camera}_gt.txt").read_text().splitlines():
        frame, person, left, top, width, height = map(float, line.split(",")[:6])
        if person in people:
            box = Box(left, top, left + width, top + height)
            boxes[int(person)].append((int(frame) - 1, box))
    wanted: dict[int, list[tuple[int, Box]]] = defaultdict(list)
    for person, there in boxes.items():
        for place in np.linspace(0, len(there) - 1, SIGHTS).astype(int):
            wanted[there[place][0]].append((person, there[place][1]))
    with av.open(str(footage / f"pets_{camera}.mp4")) as container:
        for index, picture in enumerate(container.decode(video=0)):
            for person, box in wanted.get(index, ()):
                image = crop(picture.to_ndarray(format="bgr24"), box, CROP_MARGIN)
                assert image is not None
                yield person, TrackPoint(index, NOON + index / 10, box, 1.0), image


def _tracklet(track: int, camera: str, sights: list[tuple[TrackPoint, PartEmbeddings]]) -> Tracklet:
    from reid.pooling import pool

    there = [point for point, _ in sights]
    best = max(there, key=lambda p: p.box.area)
    picture = Exemplar(best.frame, best.time, best.box, b"\xff\xd8 a crop", (1.0,), (1.0,), 1.0)
    return Tracklet(
        track, camera, there[0].time, there[-1].time, there[0], there[-1], len(there),
        pool(PartEmbeddings.concatenate([e for _, e in sights])), (picture,),
    )  # fmt: skip


def test_a_pets_watch_raises_one_alert_for_the_right_track_while_the_run_goes_on(
    pets: dict[str, Sights], tmp_path: Path
) -> None:
    """Tracks of the right camera are written as they grow, in the order of time."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    yardstick = Yardstick.from_weights()
    with webhook() as hook, Store.open(url) as store:
        run = store.begin_run({}, CAMERAS)
        query = _tracklet(1000, "door", pets["left"][PERSON])
        assert query.embedding is not None
        store.register_model(yardstick.fingerprint, *query.embedding.parts.shape[1:], {})
        store.save_tracklet(run, query)
        from investigation.search.queries import from_track
        from investigation.watching.new_watch import new_watch
        from investigation.watching.targets import read_target

        store.flush()
        watch = add_watch(
            store,
            new_watch(
                from_track(store.reader(), 1000, yardstick.fingerprint),
                yardstick,
                name="PETS 17",
                actor="ada",
                reason="test",
                expires=time.time() + 3600,
                targets=(read_target(hook.url),),
            ),
        )
        thread = WatchThread(url, interval=0.02)
        thread.start()
        try:
            moments = sorted({p.time for seen in pets["right"].values() for p, _ in seen})
            for now in moments:
                for person, seen in pets["right"].items():
                    so_far = [sight for sight in seen if sight[0].time <= now]
                    if len(so_far) >= 3 and so_far[-1][0].time == now:
                        store.save_tracklet(run, _tracklet(person, "yard", so_far))
                store.flush()
            last = store.write(lambda c: _revision(c))
            wait_until(lambda: one_watch(store.reader(), watch).covered >= last)
            wait_until(lambda: len(hook.got) == 1)
        finally:
            thread.stop()
        assert thread.error is None
        [alert] = alerts(store.reader())
        assert (alert.track, alert.camera, alert.verdict) == (PERSON, "yard", "strong")
        assert [m["alert"]["track"] for m in hook.got] == [PERSON]


def _revision(connection: object) -> int:
    from storage.vectors import revision

    return revision(connection)  # type: ignore[arg-type]


# ---- a store that goes away ----------------------------------------------------------------------


@pytest.fixture
def site(tmp_path: Path) -> Iterator[str]:
    """A store with one watch (model-a) and nothing of it in the past."""
    url = f"sqlite:///{tmp_path / 'site' / 'store.db'}"
    (tmp_path / "site").mkdir()
    with Store.open(url) as store:
        store.register_model("model-a", 6, 8, {})
        run = store.begin_run({}, CAMERAS)
        store.save_tracklet(run, tracklet(2, embedded=embedding(2)))
        store.flush()
        new = NewWatch("a", "ada", "missing", time.time() + 3600, embedding(1))
        add_watch(store, new)
    yield url


def _see(url: str, track: int) -> None:
    with Store.open(url) as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model("model-a", 6, 8, {})
        store.add_points(run, "door", track, points(10))
        store.save_tracklet(run, tracklet(track, embedded=embedding(1), exemplars=(exemplar(3),)))


def _raised(url: str) -> list[int]:
    with Store.open(url) as store:
        return [alert.track for alert in alerts(store.reader())]


def test_a_store_that_goes_away_and_comes_back(
    site: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Moved aside and back: a file that is not there is not written to, and none is made."""
    monkeypatch.setattr("investigation.watching.thread.RETRY_SECONDS", 0.02)
    monkeypatch.setattr(
        Yardstick, "from_weights", staticmethod(lambda _: Yardstick("model-a", 0.6, (0.25, 0.47)))
    )
    folder, aside = tmp_path / "site", tmp_path / "aside"
    reports: list[object] = []
    thread = WatchThread(site, interval=0.02, report=reports.append)
    thread.start()
    try:
        wait_until(lambda: bool(reports))
        folder.rename(aside)
        wait_until(lambda: thread.error is not None)
        assert "there is no file" in str(thread.error)
        assert not folder.exists()
        assert thread.running
        aside.rename(folder)
        wait_until(lambda: thread.error is None)
        _see(site, 7)
        wait_until(lambda: _raised(site) == [7])
    finally:
        thread.stop()
    assert not thread.running


def test_weights_that_are_not_there_are_an_error_of_the_thread(site: str) -> None:
    thread = WatchThread(site, weights="nowhere.safetensors")
    thread.start()
    try:
        wait_until(lambda: thread.error is not None)
        assert "nowhere.safetensors" in str(thread.error)
    finally:
        thread.stop()


# ---- the command ---------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of the default model with tracks 1 (door) and 2 (yard), which look alike."""
    yardstick = Yardstick.from_weights()
    folder = tmp_path_factory.mktemp("watched")
    with Store.open(f"sqlite:///{folder / 'store.db'}") as store:
        store.register_model(yardstick.fingerprint, 6, 256, {})
        run = store.begin_run({}, CAMERAS)
        for track, camera in ((1, "door"), (2, "yard")):
            made = embedding(1, yardstick.fingerprint, d=256)
            store.add_points(run, camera, track, points(10))
            pictures = (exemplar(3, jpeg=_jpeg(track)),)
            store.save_tracklet(run, tracklet(track, camera, embedded=made, exemplars=pictures))
    return folder


def _jpeg(colour: int) -> bytes:
    import cv2

    return bytes(cv2.imencode(".jpg", np.full((90, 30, 3), 60 * colour, np.uint8))[1])


@pytest.fixture
def store_url(watched: Path, tmp_path: Path) -> str:
    shutil.copytree(watched, tmp_path / "copy")
    return f"sqlite:///{tmp_path / 'copy' / 'store.db'}"


ADD = ("watch", "add", "--track", "1", "--name", "blue coat", "--reason", "missing")


def crosscam(*arguments: str) -> int:
    import run_pipeline

    return run_pipeline.main(list(arguments))


def test_a_watch_from_beginning_to_end(store_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    at = ("--store", store_url)
    target = "json://guard:hunter2@127.0.0.1:9/hook"
    assert crosscam(*ADD, *at, "--expires", "2d", "--notify", target, "--json") == 0
    said = json.loads(capsys.readouterr().out)
    assert (said["watch"], said["state"], said["past"]) == (1, "active", {"found": 1, "raised": 1})
    assert said["tracks"] == [1]
    assert crosscam("watch", "alerts", "--unseen", "--json", *at) == 0
    [alert] = json.loads(capsys.readouterr().out)
    assert (alert["track"], alert["verdict"], alert["camera"]) == (2, "strong", "yard")
    assert crosscam("watch", "run", "--once", *at) == 0
    assert "0 messages sent, 1 failed" in capsys.readouterr().out
    assert crosscam("watch", "seen", "1", *at) == 0
    assert crosscam("watch", "alerts", *at) == 0
    assert crosscam("watch", "list", *at) == 0
    assert crosscam("watch", "end", "1", "--reason", "she was found", *at) == 0
    assert crosscam("watch", "list", "--all", "--json", *at) == 0
    text = capsys.readouterr()
    assert "hunter2" not in text.out + text.err
    with Store.open(store_url) as store:
        assert one_watch(store.reader(), 1).state == "ended"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ((*ADD, "--expires", "yesterday"), "expires is 'yesterday', which is no time"),
        ((*ADD, "--expires", "2001-01-01"), "which has passed"),
        ((*ADD, "--expires", "3000-01-01"), "at most 366"),
        ((*ADD, "--expires", "2d", "--camera", "cellar"), "no camera cellar; it has: door, yard"),
        ((*ADD, "--expires", "2d", "--parts", "9"), "there is no part 9"),
        ((*ADD, "--expires", "2d", "--notify", "nonsense://x"), "nothing can be sent there"),
        ((*ADD, "--expires", "2d", "--base-url", "ftp://x"), "must be http"),
        ((*ADD[:3], "99", *ADD[4:], "--expires", "2d"), "has no track 99"),
        (("watch", "end", "7", "--reason", "x"), "has no watch 7"),
        (("watch", "alerts", "--watch", "7"), "has no watch 7"),
        (("watch", "alerts", "--top", "0"), "--top is 0"),
        (("watch", "seen", "7"), "has no alert 7"),
    ],
)
def test_what_is_wrong_is_said_in_one_line(
    store_url: str, arguments: tuple[str, ...], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert crosscam(*arguments, "--store", store_url) == 2
    said = capsys.readouterr().err
    assert says in said
    assert len(said.splitlines()) == 1


@pytest.mark.parametrize("deed", [(*ADD, "--expires", "2d"), ("watch", "run"), ("watch", "list")])
def test_no_store_is_made_by_watching(
    tmp_path: Path, deed: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    assert crosscam(*deed, "--store", f"sqlite:///{tmp_path / 'none.db'}") == 2
    assert "there is no file" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.skipif(os.name != "posix", reason="signals as on POSIX")
def test_watch_run_ends_cleanly_on_ctrl_c(store_url: str) -> None:
    program = [sys.executable, "run_pipeline.py", "watch", "run", "--store", store_url]
    with subprocess.Popen(
        program, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as running:
        assert running.stdout is not None
        assert running.stdout.readline() == "watching (Ctrl-C ends)\n"
        running.send_signal(signal.SIGINT)
        out, err = running.communicate(timeout=60)
    assert (running.returncode, err) == (0, "")
    assert out.endswith("stopped; what is not sent yet waits in the store\n")
