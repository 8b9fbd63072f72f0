"""`run_pipeline.py --help` answers within half a second.

python -m benchmarks.startup
"""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from benchmarks.common import ROOT, print_table


def seconds(command: list[str], rounds: int = 7) -> float:
    times = []
    for _ in range(rounds + 1):
        begun = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
        times.append(time.perf_counter() - begun)
    return statistics.median(times[1:])


def main() -> None:
    bare = seconds([sys.executable, "-c", "pass"])
    ours = seconds([sys.executable, "run_pipeline.py", "--help"])
    rows = [("python -c pass", bare), ("run_pipeline.py --help", ours), ("limit", 0.5)]
    print_table("Start-up, median of 7", ("command", "seconds"), rows)


if __name__ == "__main__":
    main()
