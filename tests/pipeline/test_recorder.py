"""Recording: packets copied, never re-encoded; times; crashes; trouble."""

from __future__ import annotations

import logging
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline import recorder as recorder_module
from pipeline.config import CameraConfig
from pipeline.recorder import Recorder, repair
from pipeline.redact import SourceUrl
from pipeline.settings import RecordingSettings
from pipeline.sources import Sources
from reid.errors import ConfigError
from storage.records import CameraRow
from storage.recordings import RecordingRow, recordings
from storage.store import Store
from tests.pipeline.numbered_videos import number_of, picture, write_video

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


def test_old_footage_is_not_recorded_only_to_be_deleted(store, gop, caplog):
    tapes, frames = record(store, camera("a", gop()), keep_days=30)
    assert len(frames) == 80 and not rows(store)
    assert "older than recording.keep_days" in tapes.problems()["a"]
    assert caplog.text.count("camera a") == 1
