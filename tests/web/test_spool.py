"""Files of footage for the player: written once, whole for each who asks, gone in time."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from web import spool
from web.spool import Spool


@pytest.fixture
def files() -> Iterator[Spool]:
    made = Spool()
    yield made
    made.close()


def test_a_file_is_written_once_however_many_ask_at_once(files: Spool) -> None:
    begun, go_on = threading.Event(), threading.Event()
    made: list[int] = []

    def chunks() -> Iterator[bytes]:
        made.append(1)
        begun.set()
        assert go_on.wait(10)
        yield b"foot"
        yield b"age"

    read: list[bytes] = []
    askers = [
        threading.Thread(target=lambda: read.append(files.file("door", chunks).read_bytes()))
        for _ in range(4)
    ]
    for asker in askers:
        asker.start()
    assert begun.wait(10)
    go_on.set()
    for asker in askers:
        asker.join(10)
    assert read == [b"footage"] * 4 and made == [1]


def test_what_failed_is_tried_again(files: Spool) -> None:
    def broken() -> Iterator[bytes]:
        yield b"half"
        raise OSError("the disk went away")

    with pytest.raises(OSError, match="went away"):
        files.file("door", broken)
    assert files.file("door", lambda: [b"whole"]).read_bytes() == b"whole"


def test_the_longest_unasked_goes_first(files: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST", 2)
    first, second = (files.file(key, lambda: [b"x"]) for key in "ab")
    files.file("a", lambda: pytest.fail("it is there"))
    third = files.file("c", lambda: [b"x"])
    assert first.exists() and third.exists() and not second.exists()


def test_room_is_bounded(files: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(spool, "MOST_BYTES", 10)
    paths = [files.file(key, lambda: [b"12345678"]) for key in "abc"]
    assert [path.exists() for path in paths] == [False, True, True]  # the newest may go beyond


def test_what_nobody_asks_for_goes(files: Spool, monkeypatch: pytest.MonkeyPatch) -> None:
    old = files.file("a", lambda: [b"x"])
    monkeypatch.setattr(spool, "KEPT", -1.0)
    files.file("b", lambda: [b"x"])
    assert not old.exists()


def test_nobody_else_of_the_machine_reads_them_and_the_end_removes_them(files: Spool) -> None:
    path = files.file("a", lambda: [b"x"])
    assert path.parent.stat().st_mode & 0o077 == 0
    files.close()
    assert not path.parent.exists()
