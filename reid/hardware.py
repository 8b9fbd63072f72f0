"""What the hardware is good at: precision is chosen by it, never by hope."""

from __future__ import annotations


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


def resolve_device(device: str) -> str:
    """`auto` becomes `cuda` where there is one, else `cpu`."""
    if device != "auto":
        return device
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"
