"""Configuration of a training run; each value's paper section in its text."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import Field, ValidationError, model_validator

from reid.errors import ConfigError
from reid.network.config import ModelConfig
from reid.settings import StrictModel


class TrainConfig(StrictModel):
    """One training run: data, schedule, augmentation."""

    model: ModelConfig = Field(default_factory=ModelConfig, title="Model", description="QPM.")
    epochs: int = Field(
        default=70, ge=1, le=1000, title="Epochs", description="Passes over the ids (Sec. IV-A)."
    )
    ids_per_batch: int = Field(
        default=8, ge=2, le=128, title="P", description="Identities in a batch (Sec. IV-A)."
    )
    images_per_id: int = Field(
        default=8, ge=2, le=64, title="A", description="Images of each identity (Sec. IV-A)."
    )
    optimizer: Literal["sgd", "adam"] = Field(
        default="sgd", title="Optimizer", description="SGD with momentum 0.9 (Sec. IV-A), or Adam."
    )
    lr: float = Field(
        default=0.01, gt=0, le=10, title="Learning rate", description="At the start (Sec. IV-A)."
    )
    head_lr_scale: float = Field(
        default=1.0, gt=0, le=100, title="Head scale", description="Learning rate of new layers."
    )
    weight_decay: float = Field(
        default=0.0, ge=0, le=1, title="Weight decay", description="None in the paper (Sec. IV-A)."
    )
    frozen_blocks: int = Field(
        default=0,
        ge=0,
        le=64,
        title="Frozen blocks",
        description="This many of the trunk's first blocks keep their weights and statistics: "
        "for machines without a GPU. MobileNetV2 has 19, ResNet-50 has 8 (its stem is 4 of them).",
    )
    ide_epochs: int = Field(
        default=0,
        ge=0,
        le=1000,
        title="Stage 0",
        description="Epochs in which the trunk alone learns to name the identities, before QPM's "
        "own ('fine-tuned from the IDE model', Sec. IV-A).",
    )
    ide_lr: float = Field(
        default=0.01, gt=0, le=10, title="Stage 0's rate", description="The paper names none."
    )
    schedule: Literal["step", "cosine"] = Field(
        default="step", title="Schedule", description="x0.1 every `step_epochs`, or cosine to 0."
    )
    step_epochs: int = Field(
        default=20, ge=1, le=1000, title="Step", description="Epochs between steps (Sec. IV-A)."
    )
    warmup_epochs: float = Field(
        default=0.0, ge=0, le=100, title="Warm-up", description="Linear warm-up; none in the paper."
    )
    ema_decay: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Averaged weights",
        description="Decay per step of the exponential moving average of the weights that the "
        "model file then holds; 0 writes the weights themselves, as the paper does.",
    )
    margin: float = Field(
        default=0.3, ge=0, le=2, title="alpha", description="Triplet margin (Sec. IV-A)."
    )
    part_triplet: bool = Field(
        default=True,
        title="Part triplet loss",
        description="Eq. 3; without it the part branch learns from Eq. 1 alone (Table V).",
    )
    label_smoothing: float = Field(
        default=0.0, ge=0, le=0.5, title="Label smoothing", description="None in the paper."
    )
    flip: float = Field(
        default=0.5, ge=0, le=1, title="Flip", description="Chance of a mirror image (Sec. IV-A)."
    )
    erase: float = Field(
        default=0.5, ge=0, le=1, title="Random erasing", description="Chance of it (Sec. IV-A)."
    )
    paste: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Pasted occluder",
        description="Chance that a patch of another image of the batch covers part of this one.",
    )
    min_visible: float = Field(
        default=0.0,
        ge=0,
        lt=1,
        title="Least visible share",
        description="A stripe of which erasing and pasting left no more than this share takes no "
        "part in Eq. 1: nobody can name a person by somebody else's legs. 0, as in the paper: "
        "every stripe does.",
    )
    jitter: float = Field(
        default=0.0, ge=0, le=1, title="Colour jitter", description="Strength; none in the paper."
    )
    coarse: float = Field(
        default=0.0,
        ge=0,
        le=1,
        title="Few pixels",
        description="Chance that an image is made of a half to a quarter of its pixels a side, as "
        "a far camera sees people; none in the paper.",
    )
    crop_padding: int = Field(
        default=0, ge=0, le=64, title="Pad and crop", description="Pixels; none in the paper."
    )
    held_out_ids: int = Field(
        default=0,
        ge=0,
        le=10000,
        title="Held-out identities",
        description="Training identities kept away, for choosing epochs and thresholds.",
    )
    evaluate_every: int = Field(
        default=1,
        ge=1,
        le=1000,
        title="Evaluate every",
        description="Epochs between two looks at the held-out identities; the last is always one.",
    )
    seed: int = Field(default=1, ge=0, title="Seed", description="Of everything random.")

    @model_validator(mode="after")
    def _something_teaches_quality(self) -> TrainConfig:
        model = self.model
        weighed = model.global_feature in ("agfe", "si") or model.has_isa
        if model.quality and not self.part_triplet and not weighed:
            raise ValueError(
                "model.quality is true, but no loss reaches the qualities: set part_triplet, "
                "or model.quality: false"
            )
        return self


def load_train_config(path: Path) -> TrainConfig:
    """Read a training configuration.

    Raises:
        ConfigError: naming the file, the key and the value.
    """
    try:
        raw: Any = yaml.safe_load(path.read_text())
    except (OSError, yaml.YAMLError) as error:
        raise ConfigError(f"{path}: {error}") from error
    try:
        return TrainConfig.model_validate(raw or {})
    except ValidationError as error:
        lines = [
            f"{'.'.join(map(str, e['loc']))}: {e['msg']} (got {e['input']!r})"
            for e in error.errors()
        ]
        raise ConfigError(f"{path}: " + "; ".join(lines)) from error
