"""`crosscam run --serve`: the pages beside a run, as a process of their own.

The front door starts `crosscam serve` over the same store, so this room need not know `web`, and a
slow page never holds up a camera. The pages end with the run, also when it is killed: they read a
pipe whose other end only the run holds.
"""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from types import TracebackType

from reid.errors import ConfigError
from storage.arguments import STORE_VARIABLE
from storage.settings import StoreSettings

START_SECONDS = 180.0
END_SECONDS = 10.0


class Serving:
    """`crosscam serve` as a child process; use it in a `with` block."""

    def __init__(
        self,
        main: Callable[[Sequence[str] | None], int],
        store: StoreSettings,
        port: int,
    ) -> None:
        """Prepare; nothing is started yet.

        Args:
            main: the front door, as the parser handed it over.
            store: the run's.
            port: to serve on, at 127.0.0.1.
        """
        self._arguments = [*front_door(main), "serve", "--port", str(port)]
        if store.media is not None:
            self._arguments += ["--media", str(store.media)]
        self._arguments.append("--until-stdin-closes")
        self._store = store
        self._port = port
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Serving:
        """Start it and wait until it answers.

        Raises:
            ConfigError: if it does not come up; it has said why by then.
        """
        if _listens(self._port):
            raise ConfigError(f"--port {self._port}: another program serves there")
        self._process = subprocess.Popen(
            self._arguments,
            stdin=subprocess.PIPE,
            env={**os.environ, STORE_VARIABLE: self._store.url},
            start_new_session=True,  # Ctrl-C is for the run, which ends this one after itself
        )
        try:
            self._wait(self._process)
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._end()

    def _wait(self, process: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + START_SECONDS
        while not _listens(self._port):
            code = process.poll()
            if code is not None:
                raise ConfigError(f"--serve: the pages ended with exit code {code}")
            if time.monotonic() > deadline:
                raise ConfigError(
                    f"--serve: nothing answers on port {self._port} after {START_SECONDS:g} s"
                )
            time.sleep(0.1)

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is None:
            return
        if process.stdin is not None:
            process.stdin.close()
        try:
            process.wait(END_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def front_door(main: Callable[[Sequence[str] | None], int]) -> list[str]:
    """How to start the program that this is: the file that `main` stands in."""
    file = getattr(sys.modules[main.__module__], "__file__", None)
    if file is None:
        raise ConfigError("--serve: this program was not started from a file")
    return [sys.executable, str(Path(file).resolve())]


def _listens(port: int) -> bool:
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=1):
            return True
    except OSError:
        return False
