"""Tiny real videos whose frames carry their own number, as a row of black and white blocks."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import av
import numpy as np
import pytest

WIDTH, HEIGHT, BITS = 160, 120, 10


def picture(number: int) -> np.ndarray:
    """Return (120, 160, 3) uint8 with `number` written in bits; noise below."""
    image = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for bit in range(BITS):
        image[:32, bit * 16 : bit * 16 + 16] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: np.ndarray) -> int:
    """Read the number back."""
    blocks = [image[4:28, bit * 16 + 4 : bit * 16 + 12].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, mean in enumerate(blocks) if mean > 127)


def write_video(
    path: Path,
    frames: int = 20,
    fps: int = 10,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for index in range(20):
            samples = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def video(tmp_path: Path) -> Callable[..., Path]:
    """Write a numbered video into the test's folder: `video("a.mp4", frames=20, fps=10)`."""
    return lambda name, **keywords: write_video(tmp_path / name, **keywords)


class RtspServer:
    """GStreamer's RTSP server in a process of its own; can be killed and started again."""

    def __init__(self, fps: int, login: tuple[str, ...] = ()) -> None:
        self.fps, self.login, self.port = fps, login, 0
        self.process: subprocess.Popen[str] | None = None

    def start(self) -> None:
        script = Path(__file__).parent / "rtsp_server.py"
        command = ["/usr/bin/python3", str(script), str(self.port), str(self.fps), *self.login]
        self.process = subprocess.Popen(
            command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self.process.stdout is not None
        line = self.process.stdout.readline()
        if not line.startswith("ready"):
            self.kill()
            raise OSError("GStreamer's RTSP server does not start")
        self.port = int(line.split()[1])

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None

    @property
    def address(self) -> str:
        return f"127.0.0.1:{self.port}/test"


@pytest.fixture
def rtsp() -> Iterator[Callable[..., RtspServer]]:
    """Start RTSP servers on loopback; skips where GStreamer's server is not installed."""
    servers: list[RtspServer] = []

    def start(fps: int = 25, login: tuple[str, ...] = ()) -> RtspServer:
        server = RtspServer(fps, login)
        servers.append(server)
        try:
            server.start()
        except OSError as error:
            pytest.skip(f"{error}: see .ci/run for the packages ({sys.platform})")
        return server

    yield start
    for server in servers:
        server.kill()
