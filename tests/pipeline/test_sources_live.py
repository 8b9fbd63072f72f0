"""Live cameras: RTSP through GStreamer's server on loopback, HTTP through the standard library."""

import functools
import http.server
import logging
import socket
import threading
import time

import pytest

from pipeline.config import CameraConfig, load_cameras
from pipeline.redact import SourceUrl
from pipeline.sources import Sources
from tests.pipeline.numbered_videos import number_of, write_video

QUICK = {
    "open_timeout": 5.0,
    "read_timeout": 2.0,
    "reconnect_min": 0.1,
    "reconnect_max": 0.4,
}


def live(name, address, **keywords):
    return CameraConfig(id=name, url=SourceUrl(address), **{**QUICK, **keywords})


def closed_port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Watch:
    """Runs `batches` in a thread and keeps what came out; `until` waits for a condition."""

    def __init__(self, sources, size=4, pause=0.0):
        self.frames, self.batches = [], []
        self._sources, self._size, self.pause = sources, size, pause
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        for batch in self._sources.batches(self._size):
            self.batches.append(batch)
            self.frames += [(f.camera, f.index, f.time) for f in batch]
            time.sleep(self.pause)

    def count(self, camera):
        return sum(f[0] == camera for f in self.frames)

    def until(self, condition, seconds=30.0):
        end = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < end, f"never came true; {self._sources.states()}"
            time.sleep(0.02)

    def until_state(self, camera, state):
        self.until(lambda: self._sources.states()[camera].state == state)


@pytest.fixture
def start():
    """Open sources and watch them; everything ends with the test."""
    stop, opened = threading.Event(), []

    def begin(*cameras, **keywords):
        sources = Sources(cameras, queue=4, stop=stop)
        opened.append(sources)
        sources.__enter__()
        return sources, Watch(sources, **keywords)

    yield begin
    stop.set()
    for sources in opened:
        sources.close()


@pytest.fixture
def serve(tmp_path):
    """Serve the test's folder over HTTP on loopback; gives the base address."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(
        ("127.0.0.1", 0), functools.partial(Quiet, directory=str(tmp_path))
    )
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_newest_frame_first_and_drops_are_counted(rtsp, start):
    server = rtsp(fps=25)
    sources, watch = start(live("a", "rtsp://" + server.address), pause=0.4)
    watch.until(lambda: watch.count("a") >= 5)
    state = sources.states()["a"]
    assert state.state == "running" and state.is_live and state.progress is None
    assert state.dropped > 5  # 25 a second come, 2.5 are taken
    indices = [f[1] for f in watch.frames]
    assert indices == sorted(set(indices))
    # every decoded frame was handed over, replaced, or is the one that waits
    assert 0 <= state.decoded - state.frames - state.dropped <= 2
    times = [f[2] for f in watch.frames]
    assert times == sorted(times)
    assert abs(times[-1] - time.time()) < 5  # wall clock, UTC
    assert all(len(batch) == 1 for batch in watch.batches)


def test_a_server_that_dies_is_found_again_and_the_others_never_notice(rtsp, start):
    first, second = rtsp(fps=10), rtsp(fps=10)
    sources, watch = start(
        live("a", "rtsp://" + first.address), live("b", "rtsp://" + second.address)
    )
    watch.until(lambda: watch.count("a") > 3 and watch.count("b") > 3)
    first.kill()
    watch.until_state("a", "reconnecting")
    error = sources.states()["a"].error
    assert "camera a" in error
    seen = watch.count("b")
    watch.until(lambda: watch.count("b") > seen + 5)
    assert sources.states()["b"].state == "running"
    before = watch.count("a")
    first.start()
    watch.until(lambda: watch.count("a") > before + 3)
    state = sources.states()["a"]
    assert (state.state, state.error) == ("running", None)
    for camera in "ab":
        rows = [f for f in watch.frames if f[0] == camera]
        assert rows == sorted(rows, key=lambda f: f[2])
        assert len({f[1] for f in rows}) == len(rows)


def test_a_stalled_camera_is_noticed(start):
    """The host takes the connection and says nothing more."""
    silent = socket.create_server(("127.0.0.1", 0))
    try:
        port = silent.getsockname()[1]
        sources, watch = start(live("a", f"rtsp://127.0.0.1:{port}/x", open_timeout=0.5))
        watch.until_state("a", "failed")
        assert "0.5 s" in sources.states()["a"].error
    finally:
        silent.close()


def test_a_stream_that_stalls_later_is_noticed(rtsp, start):
    """Frozen, not killed: the connection stays, no data come."""
    import signal

    server = rtsp(fps=10)
    sources, watch = start(live("a", "rtsp://" + server.address, read_timeout=1.0))
    watch.until(lambda: watch.count("a") > 3)
    server.process.send_signal(signal.SIGSTOP)
    try:
        watch.until_state("a", "reconnecting")
        assert "1 s" in sources.states()["a"].error
    finally:
        server.process.send_signal(signal.SIGCONT)


@pytest.mark.parametrize("scheme", ["rtsp", "http"])
def test_unreachable_hosts_fail_with_their_reason_and_do_not_keep_a_run_alive(
    start, tmp_path, scheme
):
    good = CameraConfig(
        id="good",
        url=SourceUrl(str(write_video(tmp_path / "a.mp4"))),
        start_time="2024-05-01T00:00Z",
    )
    dead = live("dead", f"{scheme}://127.0.0.1:{closed_port()}/x")
    sources, watch = start(dead, good)
    watch.thread.join(10)
    assert not watch.thread.is_alive()  # the file ended, and nobody else was ever there
    states = sources.states()
    assert states["dead"].state == "failed"
    assert "camera dead" in states["dead"].error and "refused" in states["dead"].error
    assert (states["good"].state, states["good"].frames) == ("ended", 20)


def test_a_lost_camera_can_be_given_up(rtsp, start):
    server = rtsp(fps=10)
    sources, watch = start(live("a", "rtsp://" + server.address, give_up_after=0.5))
    watch.until(lambda: watch.count("a") > 2)
    server.kill()
    watch.thread.join(20)
    assert not watch.thread.is_alive()
    state = sources.states()["a"]
    assert state.state == "failed" and "given up after 0.5 s" in state.error


def test_live_frames_do_not_wait_for_a_slow_file(rtsp, start, tmp_path, monkeypatch):
    from pipeline import decode

    honest = decode.VideoSource._file
    release = threading.Event()

    def blocked(self):
        release.wait(30)
        yield from honest(self)

    monkeypatch.setattr(decode.VideoSource, "_file", blocked)
    server = rtsp(fps=10)
    path = write_video(tmp_path / "a.mp4", frames=9)
    file = CameraConfig(id="file", url=SourceUrl(str(path)))
    _, watch = start(file, live("a", "rtsp://" + server.address))
    try:
        watch.until(lambda: watch.count("a") > 5)
        assert watch.count("file") == 0
    finally:
        release.set()
    watch.until(lambda: watch.count("file") == 9)
    assert [f[1] for f in watch.frames if f[0] == "file"] == list(range(9))


def test_passwords_with_special_characters_work_and_never_show(rtsp, start, tmp_path, caplog):
    password = "p@ss/w#1 %?"
    server = rtsp(fps=10, login=("joe", password))
    path = tmp_path / "cams.yaml"
    path.write_text(
        f"cameras:\n  good: {{url: 'rtsp://joe:${{PW}}@{server.address}', open_timeout: 5.0}}\n"
        f"  bad: {{url: 'rtsp://joe:${{WRONG}}@{server.address}', open_timeout: 5.0}}\n"
        f"  dead: {{url: 'rtsp://joe:${{PW}}@127.0.0.1:{closed_port()}/x'}}\n"
    )
    wrong = "wr0ng@gues"
    config = load_cameras(path, {"PW": password, "WRONG": wrong})
    with caplog.at_level(logging.DEBUG):
        sources, watch = start(*config.cameras)
        watch.until(lambda: watch.count("good") > 2)
        watch.until_state("bad", "failed")
        watch.until_state("dead", "failed")
    states = sources.states()
    assert "401" in states["bad"].error and "refused" in states["dead"].error
    shown = caplog.text + repr(states) + repr(config)
    for secret in ("p@ss", "p%40ss", "wr0ng", "gues"):
        assert secret not in shown


def test_http_recording_is_read_like_a_file(serve, start, tmp_path):
    write_video(tmp_path / "a.mp4", frames=15, options={"movflags": "+faststart"})
    camera = CameraConfig(
        id="a", url=SourceUrl(f"http://{serve}/a.mp4"), start_time="2024-05-01T00:00Z", **QUICK
    )
    sources, watch = start(camera)
    watch.thread.join(20)
    assert [number_of(f.image) for batch in watch.batches for f in batch] == list(range(15))
    state = sources.states()["a"]
    assert (state.state, state.is_live, state.progress) == ("ended", False, 1.0)


def test_http_not_found(serve, start):
    sources, watch = start(CameraConfig(id="a", url=SourceUrl(f"http://{serve}/b.mp4"), **QUICK))
    watch.thread.join(20)
    assert not watch.thread.is_alive()
    state = sources.states()["a"]
    assert state.state == "failed" and "404" in state.error


@pytest.fixture
def mjpeg():
    """A network camera's endless motion JPEG; `cut` breaks the connection after some frames."""
    import cv2

    from tests.pipeline.numbered_videos import picture

    limits = [6, 1_000_000]

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(200)
            self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=f")
            self.end_headers()
            limit = limits.pop(0) if len(limits) > 1 else limits[0]
            try:
                for number in range(limit):
                    data = cv2.imencode(".jpg", picture(number % 512))[1].tobytes()
                    head = f"--f\r\nContent-Type: image/jpeg\r\nContent-Length: {len(data)}\r\n\r\n"
                    self.wfile.write(head.encode() + data + b"\r\n")
                    time.sleep(0.02)
            except OSError:
                pass

        def log_message(self, *args):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/live.mjpg"
    server.shutdown()
    server.server_close()


def test_http_live_stream_reconnects_when_it_ends(mjpeg, start):
    sources, watch = start(live("a", mjpeg, live=True))
    watch.until(lambda: (s := sources.states()["a"]).state == "running" and s.decoded > 20)
    assert sources.states()["a"].is_live
    times = [f[2] for f in watch.frames]
    assert times == sorted(times) and abs(times[-1] - time.time()) < 5
