"""Fixtures of the pipeline's tests: numbered videos, RTSP servers."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.pipeline.numbered_videos import write_video


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
