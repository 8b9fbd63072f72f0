"""`crosscam run --serve`: the pages as a process that ends with the run."""

from __future__ import annotations

import socket
import sys
from pathlib import Path

import httpx
import pytest

import run_pipeline
from pipeline.serving import Serving, front_door
from reid.errors import ConfigError
from storage.settings import StoreSettings


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
    return port


def test_the_pages_are_there_while_the_run_is_and_gone_after(tmp_path: Path) -> None:
    settings = StoreSettings(url=f"sqlite:///{tmp_path / 'x.db'}", media=tmp_path / "media")
    port = free_port()
    with Serving(run_pipeline.main, settings, port) as pages:
        answer = httpx.get(f"http://127.0.0.1:{port}/health")
        assert answer.json() == {"store": "ok"}
        process = pages._process
        assert process is not None and process.poll() is None
        # The URL may hold a password: no other user of the machine may read it.
        command = Path(f"/proc/{process.pid}/cmdline")
        if command.exists():
            assert str(tmp_path / "x.db") not in command.read_text()
    assert process.returncode == 0
    with pytest.raises(httpx.ConnectError):
        httpx.get(f"http://127.0.0.1:{port}/health")
    assert (tmp_path / "media").is_dir()


def test_a_port_of_another_program_and_a_store_that_cannot_be(tmp_path: Path) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        settings = StoreSettings(url=f"sqlite:///{tmp_path / 'x.db'}")
        with (
            pytest.raises(ConfigError, match=f"--port {port}: another program serves there"),
            Serving(run_pipeline.main, settings, port),
        ):
            pass
    nowhere = StoreSettings(url="sqlite:////no/such/folder/x.db")
    with (
        pytest.raises(ConfigError, match="the pages ended with exit code 2"),
        Serving(run_pipeline.main, nowhere, free_port()),
    ):
        pass


def test_the_front_door_is_the_file_that_main_stands_in() -> None:
    assert front_door(run_pipeline.main) == [sys.executable, str(Path(run_pipeline.__file__))]
