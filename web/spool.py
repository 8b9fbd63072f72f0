"""Stretches of footage as files for a while, so that a browser can jump about in them.

A browser jumps only where it may ask for ranges of bytes (Chromium stays at second 0 of a stream,
Safari does not even begin), and ranges need a file. Each file is written once, belongs to who
asked for it, and goes after `KEPT` seconds, when newer ones need the room, or with the process.
"""

from __future__ import annotations

import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass, field
from pathlib import Path

KEPT = 600.0  # seconds that nobody asked for it
MOST = 24  # files at a time
MOST_BYTES = 2_000_000_000  # of them all


@dataclass(slots=True)
class _Entry:
    path: Path
    asked: float
    lock: threading.Lock = field(default_factory=threading.Lock)
    bytes: int | None = None  # None until it is written


class Spool:
    """The files. Safe to share by threads."""

    def __init__(self) -> None:
        """Nothing is made before the first file is."""
        self._entries: OrderedDict[Hashable, _Entry] = OrderedDict()
        self._lock = threading.Lock()
        self._folder: tempfile.TemporaryDirectory[str] | None = None
        self._made = 0

    def file(self, key: Hashable, chunks: Callable[[], Iterable[bytes]]) -> Path:
        """The file of this key; `chunks` is asked for what is in it if it is not there."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                if self._folder is None:
                    self._folder = tempfile.TemporaryDirectory(
                        prefix="crosscam-play-", ignore_cleanup_errors=True
                    )
                self._made += 1
                path = Path(self._folder.name) / f"{self._made}.mp4"
                entry = _Entry(path, time.monotonic())
                self._entries[key] = entry
            entry.asked = time.monotonic()
            self._entries.move_to_end(key)
            self._forget(key)
        with entry.lock:  # who asks for the same at the same time waits for the one file
            if entry.bytes is None:
                try:
                    with entry.path.open("wb") as out:
                        for chunk in chunks():
                            out.write(chunk)
                except BaseException:
                    entry.path.unlink(missing_ok=True)
                    raise
                entry.bytes = entry.path.stat().st_size
        return entry.path

    def close(self) -> None:
        """Remove them all."""
        with self._lock:
            self._entries.clear()
            folder, self._folder = self._folder, None
        if folder is not None:
            folder.cleanup()

    def _forget(self, but: Hashable) -> None:
        """Remove what is old or too much, the longest unasked first; the caller holds the lock.

        Whoever is being sent a file has it open and gets the rest of it.
        """
        now = time.monotonic()
        for key, entry in list(self._entries.items()):
            held = sum(e.bytes or 0 for e in self._entries.values())
            full = len(self._entries) > MOST or held > MOST_BYTES
            if key != but and entry.bytes is not None and (full or now - entry.asked > KEPT):
                del self._entries[key]
                entry.path.unlink(missing_ok=True)
