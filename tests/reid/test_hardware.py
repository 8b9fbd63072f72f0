"""Memory that a training step frees is there for the next one; threads that work alone."""

from __future__ import annotations

import subprocess
import sys
import threading

import pytest
import torch

from reid.hardware import alone
from tests.test_architecture import ROOT

PROGRAM = """
import resource, sys
if sys.argv[1] == "kept":
    from reid.hardware import keep_freed_memory
    print(keep_freed_memory())
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x, y = (torch.empty(n << 20, dtype=torch.uint8).fill_(1) for n in (32, 16))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(30)][-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's glibc takes the settings")
def test_freed_memory_is_kept():
    """Page faults of the 30th turn of allocating 48 MiB: none, where there were thousands."""
    counts = []
    for mode in ("kept", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, mode],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        words = done.stdout.split()
        if words[0] == "False":
            pytest.skip("this C library is not glibc")
        counts.append(int(words[-1]))
    kept, plain = counts
    assert kept < 100 < plain


def test_a_thread_that_works_alone_leaves_the_others_their_threads():
    before, seen = torch.get_num_threads(), {}
    torch.set_num_threads(2)
    try:

        def work() -> None:
            alone()
            seen["worker"] = torch.get_num_threads()
            later = threading.Thread(target=lambda: seen.update(later=torch.get_num_threads()))
            later.start()
            later.join()

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert seen == {"worker": 1, "later": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
