import os
import random
import struct
import threading
import time
from datetime import UTC, datetime

import av
import numpy as np
import pytest

from pipeline import decode
from pipeline.config import CameraConfig
from pipeline.redact import SourceUrl
from pipeline.sources import Backoff, Sources
from tests.pipeline.numbered_videos import number_of, picture, write_audio, write_video

START = datetime(2024, 5, 1, 8, tzinfo=UTC)


def camera(name, path, **keywords):
    keywords.setdefault("start_time", START)
    return CameraConfig(id=name, url=SourceUrl(str(path)), **keywords)


def run(cameras, size=4, queue=4):
    """Read all cameras to their end; returns batches and final states."""
    with Sources(cameras, queue=queue, stop=threading.Event()) as sources:
        batches = list(sources.batches(size))
        return batches, sources.states()


def flat(batches):
    return [(f.camera, f.index, round(f.time, 6)) for batch in batches for f in batch]


@pytest.mark.parametrize(
    ("name", "keywords"),
    [
        ("a.mp4", {}),
        ("b-frames.mp4", {"options": {"bf": "3"}}),
        ("faststart.mp4", {"options": {"movflags": "+faststart"}}),
        ("fragmented.mp4", {"options": {"movflags": "frag_keyframe+empty_moov"}}),
        ("a.mkv", {}),
        ("a.ts", {}),  # starts at pts 1.4 s or so
        ("a.avi", {"codec": "mpeg4"}),
    ],
)
def test_every_frame_of_a_file_in_order_with_its_time(video, name, keywords):
    batches, states = run([camera("a", video(name, frames=25, fps=10, **keywords))])
    frames = [f for batch in batches for f in batch]
    assert [number_of(f.image) for f in frames] == list(range(25))
    assert [f.index for f in frames] == list(range(25))
    times = [f.time - START.timestamp() for f in frames]
    assert times == pytest.approx([n / 10 for n in range(25)], abs=0.002)
    assert frames[0].image.shape == (120, 160, 3) and frames[0].image.dtype == np.uint8
    state = states["a"]
    assert (state.state, state.error, state.frames, state.dropped) == ("ended", None, 25, 0)
    assert state.progress == 1.0 and not state.is_live and state.frame_rate == 10
    assert (state.first, state.last) == (frames[0].time, frames[-1].time)


def test_colours_are_bgr(tmp_path, monkeypatch):
    blue = np.zeros((120, 160, 3), np.uint8)
    blue[..., 0] = 255
    monkeypatch.setattr("tests.pipeline.numbered_videos.picture", lambda number: blue)
    batches, _ = run([camera("a", write_video(tmp_path / "a.mp4", frames=2))])
    mean = batches[0][0].image.reshape(-1, 3).mean(axis=0)
    assert mean[0] > 200 and mean[1] < 40 and mean[2] < 40


def test_real_footage(shared):
    path = shared / "footage" / "pets_full.avi"
    stop = threading.Event()
    with Sources([camera("pets", path)], queue=4, stop=stop) as sources:
        frames = next(sources.batches(8))
        assert [f.index for f in frames] == list(range(8))
        assert [round(f.time - START.timestamp(), 3) for f in frames][:3] == [0.0, 0.1, 0.2]
        assert frames[0].image.shape == (576, 768, 3)
        stop.set()


class TestStartTime:
    def first_time(self, path, **keywords):
        batches, _ = run([camera("a", path, **keywords)])
        return batches[0][0].time

    def test_configuration_wins(self, video):
        path = video("a.mp4", frames=2, metadata={"creation_time": "2020-01-02T03:04:05Z"})
        assert self.first_time(path) == START.timestamp()

    def test_then_metadata(self, video):
        path = video("a.mp4", frames=2, metadata={"creation_time": "2020-01-02T03:04:05Z"})
        expected = datetime(2020, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp()
        assert self.first_time(path, start_time=None) == expected

    def test_then_modification_time(self, video):
        path = video("a.mp4", frames=2)
        os.utime(path, (1e9, 1e9))
        assert self.first_time(path, start_time=None) == 1e9


def test_frame_rate_cap_keeps_the_count_of_all_frames(video):
    batches, states = run([camera("a", video("a.mp4", frames=30, fps=10), max_fps=2)])
    frames = [f for batch in batches for f in batch]
    assert [f.index for f in frames] == [0, 5, 10, 15, 20, 25]
    assert [number_of(f.image) for f in frames] == [0, 5, 10, 15, 20, 25]
    assert (states["a"].decoded, states["a"].frames, states["a"].dropped) == (30, 6, 0)


def test_a_clocks_ticks_are_no_frame_rate(video, tmp_path):
    """Symptom: a Matroska file with uneven times has 1000 frames a second, says FFmpeg."""
    path = tmp_path / "a.mkv"
    with av.open(str(video("vp8.mkv", codec="libvpx"))) as source, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(source.streams.video[0])
        late = random.Random(1)
        for packet in source.demux(video=0):
            if packet.size:
                packet.stream = stream
                packet.pts = packet.dts = packet.pts + late.randrange(packet.duration)
                out.mux(packet)
    source = decode.open_source(camera("a", path))
    try:
        assert source.info.frame_rate is None
    finally:
        source.close()


def test_files_are_merged_by_capture_time_ties_by_camera_order(video):
    a = camera("a", video("a.mp4", frames=6, fps=10))
    b = camera("b", video("b.mp4", frames=3, fps=5))
    late = camera("c", video("c.mp4", frames=2), start_time=START.replace(minute=1))
    batches, _ = run([b, a, late], size=4)
    assert [(f.camera, f.index) for batch in batches for f in batch] == [
        ("b", 0), ("a", 0), ("a", 1), ("b", 1), ("a", 2), ("a", 3), ("b", 2), ("a", 4), ("a", 5),
        ("c", 0), ("c", 1),
    ]  # fmt: skip
    assert [len(batch) for batch in batches] == [4, 4, 3]


@pytest.mark.parametrize("seed", range(4))
def test_the_same_batches_whatever_the_load(video, monkeypatch, seed):
    cameras = [
        camera("a", video("a.mp4", frames=30, fps=10)),
        camera("b", video("b.mp4", frames=20, fps=7)),
        camera("c", video("c.mp4", frames=10, fps=3)),
        camera("gone", "nowhere.mp4"),
    ]
    calm = [flat([batch]) for batch in run(cameras, size=5, queue=3)[0]]
    rng = random.Random(seed)
    honest = decode.VideoSource.pictures

    def slow(self, after=float("-inf")):
        for item in honest(self, after):
            time.sleep(rng.choice([0, 0, 0.001, 0.01]))
            yield item

    monkeypatch.setattr(decode.VideoSource, "pictures", slow)
    loaded = [flat([batch]) for batch in run(cameras, size=5, queue=1 + seed)[0]]
    assert loaded == calm
    assert sum(map(len, calm)) == 60


def test_a_slow_consumer_does_not_fill_the_memory(video):
    with Sources(
        [camera("a", video("a.mp4", frames=60))], queue=3, stop=threading.Event()
    ) as sources:
        batches = sources.batches(1)
        next(batches)
        reader = sources._readers[0]
        deadline = time.monotonic() + 5
        while len(reader.queue) < 3 and time.monotonic() < deadline:
            time.sleep(0.01)
        time.sleep(0.1)
        # one handed over, three waiting, one in the reader's hands
        assert len(reader.queue) == 3 and reader.decoded <= 5


def truncated(source, target, share=0.6):
    data = source.read_bytes()
    target.write_bytes(data[: int(len(data) * share)])
    return target


def test_a_file_cut_off_gives_the_frames_up_to_the_damage(video, tmp_path):
    kinds = {
        "fast.mp4": {"options": {"movflags": "+faststart"}},
        "frag.mp4": {"options": {"movflags": "frag_keyframe+empty_moov"}},
        "cut.avi": {"codec": "mpeg4"},
        "cut.mkv": {},
    }
    cameras = [
        camera(name, truncated(video("whole-" + name, frames=60, **k), tmp_path / name))
        for name, k in kinds.items()
    ]
    whole = camera("whole", video("whole.mp4", frames=60))
    batches, states = run([*cameras, whole])
    for name in kinds:
        numbers = [number_of(f.image) for b in batches for f in b if f.camera == name]
        assert numbers == list(range(len(numbers))) and 20 < len(numbers) < 50
        state = states[name]
        assert state.state == "failed"
        assert f"camera {name}" in state.error and "ends early" in state.error
        assert f"{len(numbers)}" in state.error
        assert state.progress < 1
    assert (states["whole"].state, states["whole"].frames) == ("ended", 60)


def make_bad(folder):
    (folder / "empty.mp4").touch()
    (folder / "directory.mp4").mkdir()
    os.mkfifo(folder / "pipe.mp4")
    (folder / "text.mp4").write_text("this is no video\n" * 50)
    (folder / "text.txt").write_text("FFmpeg would draw this as a film\n" * 50)
    write_audio(folder / "audio.m4a")
    write_video(folder / "whole.mp4", frames=60)
    truncated(folder / "whole.mp4", folder / "no-index.mp4")
    return {
        "empty.mp4": "empty",
        "directory.mp4": "directory",
        "missing.mp4": "no such file",
        "pipe.mp4": "no regular file",
        "text.mp4": "no video",
        "text.txt": "no video stream",
        "audio.m4a": "no video stream; it holds: audio aac",
        "no-index.mp4": "damaged",
    }


def test_bad_files_fail_with_their_reason_and_disturb_nobody(tmp_path, video):
    reasons = make_bad(tmp_path)
    good = camera("good", video("good.mp4", frames=12))
    cameras = [camera(name, tmp_path / name) for name in reasons]
    batches, states = run([*cameras, good])
    assert flat(batches) == flat(run([good])[0])
    for name, reason in reasons.items():
        state = states[name]
        assert state.state == "failed"
        assert f"camera {name}" in state.error and reason in state.error
        assert state.frames == 0
    assert (states["good"].state, states["good"].frames) == ("ended", 12)


def test_a_file_from_before_all_clocks_needs_its_start_time(video):
    """Symptom: at its first box the store refused the time, and the run ended for all."""
    path = video("a.mp4")
    os.utime(path, (-3e8, -3e8))
    _, states = run([camera("a", path, start_time=None)])
    assert states["a"].state == "failed"
    assert "give its start_time" in states["a"].error


def test_only_bad_cameras_end_at_once(tmp_path):
    batches, states = run([camera("a", tmp_path / "missing.mp4")])
    assert batches == [] and states["a"].state == "failed"


def test_a_fault_in_a_reader_is_a_state_and_not_a_hang(video, monkeypatch):
    def broken(self, after=0.0):
        yield from ()
        raise ZeroDivisionError("a fault of ours")

    monkeypatch.setattr(decode.VideoSource, "pictures", broken)
    batches, states = run([camera("a", video("a.mp4"))])
    assert batches == [] and states["a"].state == "failed"
    assert "ZeroDivisionError" in states["a"].error


def test_disabled_cameras_are_left_out(video):
    path = video("a.mp4", frames=2)
    _, states = run([camera("a", path), camera("b", path, enabled=False)])
    assert list(states) == ["a"]


def test_stop_ends_the_batches_and_the_threads(video):
    stop = threading.Event()
    with Sources([camera("a", video("a.mp4", frames=60))], queue=2, stop=stop) as sources:
        seen = 0
        for _ in sources.batches(2):
            seen += 1
            if seen == 3:
                stop.set()
        assert seen == 3
    assert not [t for t in threading.enumerate() if t.name == "camera-a"]


def test_a_batch_of_none_is_refused(video):
    with (
        Sources([camera("a", video("a.mp4"))], queue=2, stop=threading.Event()) as sources,
        pytest.raises(ValueError, match="size is 0"),
    ):
        next(sources.batches(0))


@pytest.mark.parametrize(
    ("matrix", "turns"),
    [((0, 1, -1, 0), -1), ((0, -1, 1, 0), 1), ((-1, 0, 0, -1), 2), ((1, 0, 0, 1), 0)],
)
def test_a_turned_video_is_shown_upright(video, matrix, turns):
    """A phone held upright stores the picture lying down, and a matrix that turns it.

    The matrix (a, b, c, d) maps (x, y) to (a x + c y, b x + d y), y downwards:
    (0, 1, -1, 0) takes the right-hand side down, a quarter turn clockwise.
    """
    path = video("a.mp4", frames=1, options={"movflags": "+faststart"})
    one = 0x10000
    a, b, c, d = (value * one for value in matrix)
    data = path.read_bytes()
    at = data.index(struct.pack(">9i", one, 0, 0, 0, one, 0, 0, 0, 1 << 30), data.index(b"tkhd"))
    path.write_bytes(
        data[:at] + struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30) + data[at + 36 :]
    )
    image = run([camera("a", path)])[0][0][0].image
    assert image.flags["C_CONTIGUOUS"]
    back = np.rot90(image, -turns)
    assert back.shape == (120, 160, 3)
    assert np.abs(back[:32].astype(int) - picture(0)[:32]).mean() < 20
    assert np.abs(back.astype(int) - picture(0)).mean() < 60


def test_a_device_through_opencv(video, tmp_path):
    """No camera here: OpenCV reads a file in its place, which takes the same way."""
    path = video("a.avi", frames=5, codec="mpeg4")
    device = CameraConfig(id="d", url=SourceUrl(f"device:{path}"))
    source = decode.open_source(device)
    try:
        assert source.info.is_live and (source.info.width, source.info.height) == (160, 120)
        pictures = source.pictures(0.0)
        numbers = [number_of(next(pictures).image()) for _ in range(5)]
        with pytest.raises(decode.SourceError, match="no more pictures"):
            next(pictures)
    finally:
        source.close()
    assert numbers == [0, 1, 2, 3, 4]


def test_a_missing_device():
    device = CameraConfig(id="d", url=SourceUrl("/dev/video77"))
    with pytest.raises(decode.SourceError, match=r"camera d .*no such device"):
        decode.open_source(device)


def test_backoff_doubles_within_its_bounds():
    backoff = Backoff(1.0, 10.0)
    pauses = [backoff.next() for _ in range(2000)]
    assert all(1.0 <= p <= 10.0 for p in pauses)
    assert pauses[0] == 1.0 and pauses[1] <= 2.0 and pauses[2] <= 4.0
    assert min(pauses[10:]) >= 5.0 and max(pauses[10:]) > 9.0
    assert len(set(pauses[10:])) > 100  # jitter: many cameras do not come back at once
    backoff.reset()
    assert backoff.next() == 1.0
