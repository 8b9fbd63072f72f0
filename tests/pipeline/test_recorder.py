"""Recording: packets copied, never re-encoded; times; crashes; trouble."""

from __future__ import annotations

import itertools
import logging
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import recorder as recorder_module
from pipeline.clock import LiveClock
from pipeline.config import CameraConfig
from pipeline.recorder import Recorder, Tape, repair
from pipeline.redact import SourceUrl
from pipeline.segments import Segment
from pipeline.settings import RecordingSettings
from pipeline.sources import Sources
from reid.errors import ConfigError
from storage.footage import retention
from storage.footage.recordings import RecordingRow, begin_recording, recordings
from storage.records import CameraRow
from storage.store import Store
from tests.pipeline.numbered_videos import number_of, picture

ROOT = Path(__file__).parent.parent.parent
START = 1714550400.0  # 2024-05-01T08:00:00Z


@pytest.fixture
def store(tmp_path):
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        yield opened


def camera(name, address, **keywords):
    values = {"start_time": "2024-05-01T08:00:00Z"} if "://" not in str(address) else {}
    return CameraConfig(id=name, url=SourceUrl(str(address)), **{**values, **keywords})


def record(store, *cameras, segment=2.0, until=None, **settings):
    """Read cameras to their end (or until a condition) with the recorder on; returns it."""
    run = store.begin_run({}, [CameraRow(c.id, str(c.url)) for c in cameras])
    tapes = Recorder(
        store, run, RecordingSettings(enabled=True, segment=segment, **settings), cameras
    )
    stop = threading.Event()
    taken = []
    with Sources(cameras, queue=4, stop=stop, recorder=tapes) as sources:
        for batch in sources.batches(4):
            taken += batch
            if until is not None and until(tapes, taken):
                stop.set()
    tapes.close()
    store.finish_run(run)
    return tapes, taken


def packets(path):
    """(bytes, pts in seconds) of every packet, in the order of the file."""
    with av.open(str(path)) as container:
        stream = container.streams.video[0]
        base = stream.time_base
        return [(bytes(p), p.pts * base) for p in container.demux(stream) if p.size]


def rows(store, name="a") -> list[RecordingRow]:
    return recordings(store.reader(), name)


def recorded(found):
    """All packets of some segments with their capture times."""
    result = []
    for row in found:
        inside = packets(row.path)
        result += [(data, row.start + float(pts - inside[0][1])) for data, pts in inside]
    return result


@pytest.fixture
def gop(tmp_path):
    """A video of 80 frames at 10 fps, a key frame every second, with B-frames."""
    options = {"g": "10", "bf": "2", "sc_threshold": "0"}

    def write(name="a.mp4", frames=80, **keywords):
        return encode(tmp_path / name, frames, options, **keywords)

    return write


def encode(path, frames, options, codec="libx264", size=None):
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.height, stream.width = size or (120, 160)
        stream.pix_fmt = "yuv420p"
        for number in range(frames):
            image = np.ascontiguousarray(picture(number)[: stream.height, : stream.width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(image, format="bgr24")))
        container.mux(stream.encode())
    return path


def test_every_packet_is_copied_and_none_is_touched(store, gop):
    source = gop()
    record(store, camera("a", source))
    found = rows(store)
    sent = packets(source)
    assert [data for data, _ in recorded(found)] == [data for data, _ in sent]
    first = sent[0][1]
    for (_, when), (_, pts) in zip(recorded(found), sent, strict=True):
        assert when == pytest.approx(START + float(pts - first), abs=1e-5)


def test_segments_are_cut_at_key_frames_and_indexed_by_capture_time(store, gop):
    record(store, camera("a", gop()), segment=2.0)
    found = rows(store)
    assert [r.start - START for r in found] == pytest.approx([0, 2, 4, 6], abs=1e-3)
    assert [r.end - START for r in found] == pytest.approx([2, 4, 6, 8], abs=1e-3)
    for row in found:
        assert row.closed and (row.codec, row.width, row.height) == ("h264", 160, 120)
        assert row.bytes == row.path.stat().st_size > 0
        assert row.path.parent == store.media.absolute() / "recordings" / "a" / "2024-05-01"
        with av.open(str(row.path)) as container:
            numbers = [number_of(f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
        begin = round((row.start - START) * 10)
        assert numbers == list(range(begin, begin + 20)), "playable from its first picture"
    assert [r.path.name for r in found][:2] == ["080000.000-run000001.mp4",
                                                "080002.000-run000001.mp4"]  # fmt: skip
    assert len(recordings(store.reader(), "a", START + 2.5, START + 4.5)) == 2
    assert recordings(store.reader(), "b") == []


def test_what_the_pipeline_saw_lies_at_the_same_time_in_the_recording(store, gop):
    _, frames = record(store, camera("a", gop()))
    seen = {number_of(f.image): f.time for f in frames}
    for row in rows(store):
        with av.open(str(row.path)) as container:
            stream = container.streams.video[0]
            first = next(container.demux(stream)).pts
            container.seek(0)
            for frame in container.decode(stream):
                when = row.start + float((frame.pts - first) * stream.time_base)
                number = number_of(frame.to_ndarray(format="bgr24"))
                assert when == pytest.approx(seen[number], abs=1e-5)


def test_two_runs_over_the_same_file_record_the_same_twice(store, gop):
    source = gop()
    record(store, camera("a", source))
    record(store, camera("a", source))
    found = rows(store)
    times = [(r.start, r.end, r.bytes) for r in found]
    assert times[::2] == times[1::2]
    assert len({r.path for r in found}) == 8


def test_a_frame_rate_cap_does_not_thin_the_recording(store, gop):
    source = gop(frames=40)
    _, frames = record(store, camera("a", source, max_fps=2))
    assert len(frames) < 12
    assert len(recorded(rows(store))) == 40


def test_cameras_are_chosen_one_by_one(store, gop):
    record(store, camera("a", gop("a.mp4", 20)), camera("b", gop("b.mp4", 20), record=False))
    assert rows(store, "a") and not rows(store, "b")


def test_what_mp4_cannot_hold_goes_into_matroska(store, tmp_path):
    source = encode(tmp_path / "a.avi", 40, {"g": "10"}, codec="msmpeg4")
    record(store, camera("a", source))
    found = rows(store)
    assert {r.path.suffix for r in found} == {".mkv"} and len(found) == 2
    sent = [data for data, _ in packets(source)]
    assert [data for data, _ in recorded(found)] == sent


def test_time_stamps_that_step_back_begin_a_new_segment(store, tmp_path, gop):
    """A joined MPEG-TS: the second half's clock starts again at 0."""
    half = encode(tmp_path / "half.ts", 30, {"g": "10", "bf": "2", "sc_threshold": "0"})
    joined = tmp_path / "joined.ts"
    joined.write_bytes(half.read_bytes() * 2)
    _, frames = record(store, camera("a", joined), segment=60)
    found = rows(store)
    assert len(found) == 2 and all(r.closed for r in found)
    assert len(recorded(found)) == 60
    assert found[0].end <= found[1].start + 0.2
    times = sorted(when for _, when in recorded(found))
    assert times == pytest.approx(sorted(f.time for f in frames), abs=0.011)


def test_a_device_cannot_be_recorded_and_says_so(store):
    with pytest.raises(ConfigError, match=r"camera desk \(device:0\).*record: false"):
        record(store, camera("desk", "device:0", start_time=None))


def test_a_stream_that_begins_in_the_middle_is_recorded_from_its_first_key_frame(
    store, tmp_path, gop
):
    whole, cut = gop(frames=40), tmp_path / "cut.ts"
    with av.open(str(whole)) as origin, av.open(str(cut), "w") as out:
        stream = origin.streams.video[0]
        copy = out.add_stream_from_template(stream, opaque=True)
        for index, packet in enumerate(origin.demux(stream)):
            if packet.size and index >= 4:
                packet.stream = copy
                out.mux(packet)
    record(store, camera("a", cut))
    found = rows(store)
    assert len(recorded(found)) == 30, "from the second group of ten"
    with av.open(str(found[0].path)) as container:
        first = next(container.decode(video=0))
    assert number_of(first.to_ndarray(format="bgr24")) == 10


def test_a_folder_in_the_way_is_that_cameras_trouble_alone(store, gop, caplog):
    (store.media / "recordings").mkdir(parents=True)
    (store.media / "recordings" / "a").write_text("in the way")
    tapes, frames = record(store, camera("a", gop("a.mp4", 40)), camera("b", gop("b.mp4", 40)))
    assert len(frames) == 80
    assert set(tapes.problems()) == {"a"}
    assert not rows(store, "a"), "no row without a file"
    assert len(recorded(rows(store, "b"))) == 40
    assert [r.getMessage() for r in caplog.records if r.levelno >= logging.ERROR] == [
        "camera a: recording stopped: Not a directory; tried again every 30 s"
    ]


@pytest.fixture
def small_disk(tmp_path):
    """A file system of 400 kB."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("mounting a small tmpfs needs root")
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(folder)]
    if subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("cannot mount a tmpfs here")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk_ends_the_recording_and_not_the_run(small_disk, tmp_path, gop, caplog):
    with Store.open(f"sqlite:///{tmp_path / 's.db'}", small_disk / "media") as store:
        tapes, frames = record(store, camera("a", gop(frames=160)), segment=4.0, keep_free=0)
        assert len(frames) == 160
        assert tapes.problems() == {"a": "recording stopped: No space left on device"}
        assert caplog.text.count("No space left") == 1
        found = rows(store)
        assert found and all(r.closed for r in found)
        for row in found:  # what stands in the store can be played, up to where it says
            assert row.bytes == row.path.stat().st_size
            count = len(packets(row.path))
            assert row.end - row.start == pytest.approx(count / 10, abs=0.21)


def test_a_nearly_full_disk_ends_the_recording_before_the_store(small_disk, gop, monkeypatch):
    """Store and media on one disk: without a rest for the store, it is what fails."""
    with Store.open(f"sqlite:///{small_disk / 's.db'}") as store:
        monkeypatch.setattr(retention, "_SHARE", 0.4)
        monkeypatch.setattr(recorder_module, "GROW_SECONDS", 0.0)
        tapes, frames = record(store, camera("a", gop(frames=300)), segment=2.0)
        assert len(frames) == 300
        assert "recording stopped: only 0 MB are free on the disk of" in tapes.problems()["a"]
        assert "keep_free" in tapes.problems()["a"]
        assert rows(store)


def test_recording_goes_on_when_the_trouble_is_over(store, gop, monkeypatch, caplog):
    monkeypatch.setattr(recorder_module, "RETRY_SECONDS", 0.0)
    monkeypatch.setattr(recorder_module, "GROW_SECONDS", 0.0)
    block = store.media / "recordings"
    block.write_text("in the way")

    def free(tapes, taken):
        if len(taken) == 40:
            block.unlink()
        return False

    tapes, _ = record(store, camera("a", gop()), until=free)
    assert tapes.problems() == {}
    found = rows(store)
    assert found[-1].end == pytest.approx(START + 8, abs=1e-3)
    assert 3.0 <= found[0].start - START <= 6.0
    assert caplog.text.count("recording stopped") == 1


KILLED = """
import sys, time
from tests.pipeline.test_recorder import *
with Store.open(sys.argv[1]) as store:
    def slowly(tapes, taken):
        sys.stdout.write(f"{len(taken)}\\n")
        sys.stdout.flush()
        time.sleep(0.05)
    record(store, camera("a", sys.argv[2]), segment=3.0, until=slowly)
"""


def test_kill_9_leaves_what_was_recorded_playable_and_the_next_start_closes_it(tmp_path, gop):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    command = [sys.executable, "-c", KILLED, url, str(gop(frames=100))]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        for line in process.stdout:
            if int(line) >= 40:
                process.send_signal(signal.SIGKILL)
                break
    with Store.open(url) as store:
        first, second = rows(store)
        assert first.closed and not second.closed, "killed within the second segment"
        run = store.begin_run({}, [CameraRow("a", "a.mp4")])
        assert repair(store) == 1
        assert repair(store) == 0
        assert all(r.closed and r.bytes == r.path.stat().st_size for r in rows(store))
        _, second = rows(store)
        with av.open(str(second.path)) as container:
            numbers = [number_of(f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
        # 40 frames were handed out, so their packets were read; a fragment is a second at most.
        assert numbers == list(range(30, 30 + len(numbers)))
        assert numbers[-1] + 1 >= 40 - 10
        assert second.end - second.start == pytest.approx(len(numbers) / 10, abs=0.21)
        store.finish_run(run)


def test_a_segment_that_never_came_to_a_picture_goes(store, gop):
    """Killed between the row and the first fragment."""
    run = store.begin_run({}, [CameraRow("a", "a.mp4")])
    row = begin_recording(
        store, camera="a", run=run, start=START, codec="h264", width=8, height=8, suffix=".mp4"
    )
    row.path.parent.mkdir(parents=True)
    row.path.write_bytes(b"")
    assert repair(store) == 0, "its run goes on"
    store.finish_run(run)
    assert repair(store) == 1
    assert not rows(store) and not row.path.exists()


def units(data, prefixed):
    """The NAL units of an H.264 packet: behind lengths (MP4) or start codes (RTSP)."""
    if not prefixed:
        return [part for part in re.split(b"\0?\0\0\1", data) if part]
    found, position = [], 0
    while position < len(data):
        length = int.from_bytes(data[position : position + 4], "big")
        found.append(data[position + 4 : position + 4 + length])
        position += 4 + length
    return found


def test_a_live_camera_is_recorded_whole_though_frames_are_dropped(rtsp, store):
    """Another client of the same stream says what was sent."""
    server = rtsp(fps=25)
    sent, ready, done = [], threading.Event(), threading.Event()

    def listen():
        with av.open("rtsp://" + server.address, options={"rtsp_transport": "tcp"}) as container:
            for packet in container.demux(container.streams.video[0]):
                sent.append(units(bytes(packet), prefixed=False))
                ready.set()
                if done.is_set() and len(sent) > 20:
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    assert ready.wait(20)

    def slowly(tapes, taken):
        time.sleep(0.3)
        return len(taken) >= 14

    began = time.time()
    record(store, camera("a", "rtsp://" + server.address), until=slowly)
    ended = time.time()
    found = rows(store)
    assert len(found) >= 2
    kept = [units(data, prefixed=True) for data, _ in recorded(found)]
    assert len(kept) > 60, "25 a second came, 3 were looked at"
    deadline = time.monotonic() + 20
    while sent[-len(kept) :].count(kept[-1]) == 0 and time.monotonic() < deadline:
        time.sleep(0.05)
    done.set()
    listener.join(10)
    # GStreamer's server loses the x264 banner (an SEI unit) of a client's very first packet.
    matching = [i for i in range(1, len(sent)) if sent[i : i + len(kept) - 1] == kept[1:]]
    assert len(matching) == 1
    assert all(unit in sent[matching[0] - 1] for unit in kept[0])
    times = [when for _, when in recorded(found)]
    assert np.diff(times) == pytest.approx(0.04, abs=0.02), "no gap where a segment ends"
    assert began - 2 < times[0] and times[-1] < ended + 0.1


def test_a_reconnect_begins_a_new_segment(rtsp, store):
    server = rtsp(fps=10)
    quick = {"reconnect_min": 0.1, "reconnect_max": 0.3, "read_timeout": 2.0}
    state = {}

    def again(tapes, taken):
        if len(taken) == 15:
            server.kill()
            state["killed"] = time.time()
            server.start()
        return len(taken) >= 30

    record(store, camera("a", "rtsp://" + server.address, **quick), segment=600, until=again)
    first, second = rows(store)
    assert first.closed and second.closed
    assert first.end < state["killed"] + 0.5 < second.end
    assert second.start >= first.end - 0.05


def test_old_footage_is_not_recorded_only_to_be_deleted(store, gop, caplog):
    tapes, frames = record(store, camera("a", gop()), keep_days=30)
    assert len(frames) == 80 and not rows(store)
    assert "older than recording.keep_days" in tapes.problems()["a"]
    assert caplog.text.count("camera a") == 1


def test_one_bad_packet_costs_no_more_than_its_group(store, gop, monkeypatch):
    honest, count = Segment.write, itertools.count()

    def once(self, packet, pts, dts):
        if next(count) == 14:
            raise av.error.InvalidDataError(1, "bad")
        honest(self, packet, pts, dts)

    monkeypatch.setattr(Segment, "write", once)
    record(store, camera("a", gop(frames=60)), segment=60)
    found = rows(store)
    assert len(found) == 2 and all(r.closed for r in found)
    assert [len(packets(r.path)) for r in found] == [14, 40], "recorded again from the next group"
    assert found[1].start == pytest.approx(START + 2, abs=1e-3)


def test_a_fault_of_ours_does_not_cost_the_camera_its_pictures(store, gop, monkeypatch, caplog):
    monkeypatch.setattr(Segment, "write", lambda *arguments: 1 / 0)
    tapes, frames = record(store, camera("a", gop(frames=20)))
    assert len(frames) == 20 and "ZeroDivisionError" in caplog.text
    assert tapes.problems() == {"a": "recording stopped: division by zero"}
    assert rows(store) == []


@pytest.mark.parametrize("step", [3600.0, -3600.0, 5.0])
def test_a_clock_that_is_set_does_not_move_what_was_recorded(store, gop, step):
    """What lies in the recording lies at the time that the pictures had for the pipeline."""
    run = store.begin_run({}, [CameraRow("a", "a")])
    tape = Tape(camera("a", "rtsp://a"), store, run, RecordingSettings(enabled=True, segment=600))
    clock, seen = LiveClock(window=8.0), []
    with av.open(str(gop(frames=300))) as container:
        stream = container.streams.video[0]
        tape.connect(stream, live=True)
        for packet in container.demux(stream):
            if packet.size:
                pts = float(packet.pts * packet.time_base)
                now = START + pts + (step if pts >= 10 else 0.0)
                clock.observe(pts, now)
                seen.append(clock.at(pts, now))
                tape.packet(packet, seen[-1])
    tape.close()
    store.flush()
    found = sorted(rows(store), key=lambda row: row.id)
    assert len(found) == 2
    times = [when for _, when in recorded(found)]
    assert times == pytest.approx(seen, abs=1e-3)
