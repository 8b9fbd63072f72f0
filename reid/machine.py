"""The machine's name, for every table and file that holds a measurement."""

from __future__ import annotations

import os
import platform
from pathlib import Path


def machine() -> str:
    """CPU, cores, memory, what the CPU is good at, and the GPU if there is one, on one line."""
    import torch

    model = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.exists():
        lines = [li for li in info.read_text().splitlines() if li.startswith("model name")]
        model = lines[0].split(":", 1)[1].strip() if lines else model
    gib = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    level = torch.backends.cpu.get_cpu_capability()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return (
        f"{model}, {os.cpu_count()} cores, {gib:.0f} GiB, {level}{gpu}, torch {torch.__version__}"
    )
