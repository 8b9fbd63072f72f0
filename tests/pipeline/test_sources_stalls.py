"""Live cameras that send data but no pictures: FFmpeg's own time-out sees only silence."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.config import CameraConfig
from pipeline.decode import open_source
from pipeline.probe import probe
from pipeline.redact import SourceUrl
from reid.errors import SourceError
from tests.pipeline.numbered_videos import picture

PACKET = 188  # bytes, MPEG transport stream
READ = 0.5  # seconds, the cameras' read_timeout
NO_KEY_FRAMES = {"g": "9999", "sc_threshold": "0", "preset": "ultrafast"}  # but the first
Serve = Callable[[bytes, int, float], CameraConfig]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Serve a transport stream over HTTP: `first` bytes at once, the others within `seconds`."""
    servers = []

    def start(data: bytes, first: int, seconds: float) -> CameraConfig:
        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "video/mp2t")
                self.end_headers()
                step = max(1, int((len(data) - first) / seconds / 20 / PACKET)) * PACKET
                try:
                    self.wfile.write(data[:first])
                    for at in range(first, len(data), step):
                        self.wfile.write(data[at : at + step])
                        time.sleep(0.05)
                except OSError:
                    pass

            def log_message(self, *args: object) -> None:
                pass

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        servers.append(server)
        url = SourceUrl(f"http://127.0.0.1:{server.server_port}/live.ts")
        return CameraConfig(id="a", url=url, live=True, open_timeout=20.0, read_timeout=READ)

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


def sound_goes_on(path: Path, pictures: int, seconds: float) -> tuple[bytes, int]:
    """A stream whose sound goes on after its pictures stop; and where in it that is."""
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream("mpeg2video", rate=25)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        sound = out.add_stream("mp2", rate=44100, layout="mono")
        for number in range(pictures):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        out.mux(video.encode())
        for sample in range(0, int(44100 * seconds), 1152):
            frame = av.AudioFrame.from_ndarray(np.zeros((1, 1152), np.int16), layout="mono")
            frame.sample_rate, frame.pts = 44100, sample
            out.mux(sound.encode(frame))
    with av.open(str(path)) as made:
        last = max(p.pos for p in made.demux(video=0) if p.size)
    data = path.read_bytes()
    return data, min(len(data), (last // PACKET + 100) * PACKET)


def test_pictures_that_stop_while_the_sound_goes_on_are_noticed(tmp_path, serve) -> None:
    """Symptom: the camera was `running` for as long as its microphone worked."""
    data, first = sound_goes_on(tmp_path / "a.ts", pictures=40, seconds=40)
    source = open_source(serve(data, first, 40.0))
    count, began = 0, time.monotonic()
    try:
        with pytest.raises(SourceError) as caught:
            for _ in source.pictures(float("-inf")):
                count += 1
    finally:
        source.close()
    assert count >= 30
    assert time.monotonic() - began < 10
    assert "no picture for 0.5 s (read_timeout)" in str(caught.value)
    assert "nor any packet of the video" in str(caught.value)


def test_a_look_at_a_stream_without_a_key_frame_ends(tmp_path, serve) -> None:
    """Symptom: `crosscam check` hung for ever: packets came, and none could be decoded."""
    path = tmp_path / "a.ts"
    with av.open(str(path), "w", format="mpegts") as out:
        video = out.add_stream("libx264", rate=25, options=NO_KEY_FRAMES)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for number in range(300):
            out.mux(video.encode(av.VideoFrame.from_ndarray(picture(number), format="bgr24")))
        out.mux(video.encode())
    data = path.read_bytes()
    behind = data[len(data) // 5 // PACKET * PACKET :]
    found = probe(serve(behind, len(behind) * 2 // 3 // PACKET * PACKET, 10.0))
    assert found.first is None
    assert found.error is not None
    assert "no picture for 1.5 s (3 times read_timeout)" in found.error
    assert "packets of the video came: none could be decoded" in found.error
