"""Settings of the `reid` room, and the strict base that every settings model derives from."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field


class StrictModel(BaseModel):
    """Base of every settings model: frozen, unknown keys refused, attribute docs kept."""

    model_config = ConfigDict(extra="forbid", frozen=True, validate_default=True)


class EmbeddingSettings(StrictModel):
    """How crops become QPM embeddings, and which crops are worth it."""

    weights: str = Field(
        default="default",
        title="Model weights",
        description="`default` (the weights shipped with crosscam), a path to a .safetensors "
        "checkpoint of ours, or `untrained` (random weights: for plumbing only, says so loudly).",
    )
    device: str = Field(
        default="auto",
        title="Device",
        description="`auto`, `cpu`, `cuda` or `cuda:N`.",
        pattern=r"^(auto|cpu|cuda(:\d+)?)$",
    )
    backend: Literal["auto", "torch", "compile", "openvino"] = Field(
        default="auto",
        title="Backend",
        description="`torch` eager, `compile` torch.compile, `openvino` (CPU only); `auto` takes "
        "OpenVINO on a CPU and compile on CUDA.",
    )
    precision: Literal["auto", "float32", "bfloat16"] = Field(
        default="auto",
        title="Precision",
        description="`auto` takes bfloat16 where the hardware has it (AMX, AVX512-BF16, CUDA).",
    )
    batch: int = Field(
        default=32, ge=1, le=1024, title="Batch", description="Crops embedded in one call, at most."
    )
    interval: float = Field(
        default=0.5,
        ge=0,
        le=60,
        title="Interval",
        description="Seconds that pass, at least, between two embedded crops of one track.",
    )
    crops_per_track: int = Field(
        default=12,
        ge=1,
        le=200,
        title="Crops per track",
        description="A track embeds at most this many crops; later ones must be better pictures.",
    )
