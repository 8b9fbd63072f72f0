"""Tells whether the process that began a run still lives, even after ids were used again."""

from __future__ import annotations

import os
import socket
from pathlib import Path

# A run of another machine counts as dead after this long without a sign of life.
SILENT_SECONDS = 120.0


def this_process() -> str:
    """`host:pid:start`, where start tells two processes of one pid apart (Linux; else 0)."""
    return f"{socket.gethostname()}:{os.getpid()}:{_start_ticks(os.getpid())}"


def is_dead(process: str, silent: float) -> bool:
    """True if the process named by `this_process` is gone.

    Args:
        process: what the run says.
        silent: seconds since its last sign of life; decides for other machines.
    """
    host, pid_text, start = process.rsplit(":", 2)
    if host != socket.gethostname():
        return silent > SILENT_SECONDS
    pid = int(pid_text)
    if os.name == "posix":
        try:
            os.kill(pid, 0)
        except ProcessLookupError:
            return True
        except PermissionError:
            pass  # alive, someone else's
        return start != "0" and _start_ticks(pid) != start
    return pid != os.getpid() and silent > SILENT_SECONDS


def _start_ticks(pid: int) -> str:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return "0"
    # The program's name stands in brackets and may itself hold blanks and brackets.
    return stat.rsplit(")", 1)[1].split()[19]
