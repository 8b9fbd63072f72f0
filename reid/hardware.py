"""What the hardware is good at: precision is chosen by it, never by hope."""

from __future__ import annotations

import ctypes
import os
import re
import sys
import threading

from reid.errors import ConfigError

# glibc's malloc.h; the numbers are part of its ABI
M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_MAX = -1, -2, -4
TOP_PAD = 256 << 20


def has_fast_bfloat16(device: str) -> bool:
    """True if bfloat16 matrix products are faster than float32 there (AMX, AVX512-BF16, CUDA)."""
    import torch

    if device.startswith("cuda"):
        return bool(torch.cuda.is_bf16_supported())
    return cpu_has_bfloat16()


def cpu_has_bfloat16() -> bool:
    """True if the CPU multiplies bfloat16 in hardware (on others it is emulated, 100x slower)."""
    import torch

    capabilities = torch.backends.cpu.get_cpu_capability()
    checks = ("_is_amx_tile_supported", "_is_avx512_bf16_supported")
    return capabilities.startswith("AVX512") and any(
        bool(getattr(torch.cpu, name, lambda: False)()) for name in checks
    )


def resolve_device(device: str, key: str = "device") -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`.

    Args:
        device: `auto`, or a device of torch's.
        key: what the setting is called where it stands.

    Raises:
        ConfigError: CUDA was asked for and there is none, or fewer devices.
    """
    if not re.fullmatch(r"auto|cpu|cuda(:\d+)?", device):
        raise ConfigError(f"{key} is {device!r}; allowed: auto, cpu, cuda, cuda:N")
    if device == "cpu":
        return device
    import torch

    count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if device == "auto":
        return "cuda" if count else "cpu"
    number = device.partition(":")[2] or "0"
    if number.isdigit() and int(number) >= count:
        raise ConfigError(f"{key} is '{device}', but {count} CUDA devices are there")
    return device


def alone() -> None:
    """In a thread that has its own work: torch starts no others to help it.

    Where each core is busy already they mostly wait for one another. Other threads keep their
    number, but for those that use torch for the first time in this very moment.
    """
    import torch

    number = torch.get_num_threads()
    torch.set_num_threads(1)  # of this thread, and of threads that are new to torch
    if number > 1:
        restored = threading.Thread(target=torch.set_num_threads, args=(number,))
        restored.start()
        restored.join()


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next step instead of giving it to the kernel.

    A training step on a CPU frees and asks for the same gigabytes again; by default glibc maps
    every large tensor anew and the kernel clears each of its pages. PyTorch is also told to ask
    for huge pages, which it heeds if it has not allocated yet. Costs a few hundred megabytes.
    Does nothing, and harms nothing, where the C library is another one.

    Returns:
        Whether the C library took the settings.
    """
    os.environ.setdefault("THP_MEM_ALLOC_ENABLE", "1")
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is None:  # musl, macOS, Windows
        return False
    # No separate mappings, no trimming: large tensors come from the heap and stay in it. Not
    # M_MMAP_THRESHOLD: older versions refuse one above 32 MiB.
    settings = {M_MMAP_MAX: 0, M_TRIM_THRESHOLD: 2**31 - 1, M_TOP_PAD: TOP_PAD}
    taken = [mallopt(key, value) == 1 for key, value in settings.items()]
    return all(taken)
