"""Configuration of the QPM model; each value's paper section in its text."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from reid.settings import StrictModel

TRUNK_STRIDE = 16  # every trunk keeps its last down-sampling away (Sec. III-A)
MEAN = (0.485, 0.456, 0.406)  # of the input, RGB in 0..1: ImageNet's, as the trunks were trained
STD = (0.229, 0.224, 0.225)


class ModelConfig(StrictModel):
    """The QPM network."""

    backbone: Literal["resnet50", "resnet50v2", "mobilenetv2", "hrnet_w32"] = Field(
        default="resnet50",
        title="Trunk",
        description="The trunk, last stride 1 (Sec. III-A). `hrnet_w32` is the paper's QPM* and "
        "needs `pip install crosscam[hrnet]`.",
    )
    height: int = Field(
        default=384, ge=32, le=1024, title="Height", description="Input height, pixels (Sec. IV-A)."
    )
    width: int = Field(
        default=128, ge=16, le=512, title="Width", description="Input width, pixels (Sec. IV-A)."
    )
    num_parts: int = Field(
        default=6, ge=1, le=24, title="K", description="Number of stripes K (Table IX)."
    )
    dim: int = Field(
        default=1024, ge=8, le=4096, title="d", description="Feature dimension d (Table X)."
    )
    part_norm: bool = Field(
        default=False,
        title="BN on part features",
        description="Batch norm after each part's 1x1 conv (not in the paper: f_k is bare there).",
    )
    quality: bool = Field(
        default=True,
        title="Part qualities",
        description="Predict q_k (Sec. III-A); without, every q_k = 1 (Table V, baseline).",
    )
    global_feature: Literal["agfe", "si", "gap", "none"] = Field(
        default="agfe",
        title="Global feature",
        description="`agfe` per pair (Eqs. 9-11), `si` per image by Eq. 4, `gap` the mean of all "
        "pixels (Table VI), or `none`: no global branch.",
    )
    attention: Literal["isa", "none", "fc", "rga", "ra", "cbam"] = Field(
        default="isa",
        title="Attention",
        description="What weighs the pixels of the global branch: ISA (Sec. III-B), one of its "
        "rivals of Table VII, or nothing. Without effect where there is no global branch.",
    )
    global_norm: bool = Field(
        default=False,
        title="BN on G",
        description="Batch norm after the global branch's 1x1 conv, and Eq. 7's inner product over "
        "sqrt(d). Not in the paper; without it a short training drives M to 0 or 1 everywhere.",
    )
    gamma: float = Field(
        default=0.6, ge=0, le=1, title="gamma", description="Part share in Eq. 15 (Table XI)."
    )
    top_n: int = Field(
        default=30, ge=1, le=10000, title="n", description="Pairs re-scored by Eq. 15 (Sec. IV-A)."
    )

    @property
    def has_global(self) -> bool:
        """True if there is a global branch."""
        return self.global_feature != "none"

    @property
    def has_isa(self) -> bool:
        """True if ISA weighs the pixels, so that there is an h^ (Eq. 6)."""
        return self.has_global and self.attention == "isa"

    @model_validator(mode="after")
    def _no_global_no_share(self) -> ModelConfig:
        if not self.has_global and self.gamma != 1:
            raise ValueError(
                f"gamma {self.gamma:g} gives the global distance a share, but global_feature is "
                "'none': gamma must be 1"
            )
        return self

    @model_validator(mode="after")
    def _stripes_divide(self) -> ModelConfig:
        rows = self.height / TRUNK_STRIDE
        if rows != int(rows) or int(rows) % self.num_parts:
            raise ValueError(
                f"height {self.height} gives {rows:g} feature rows, which {self.num_parts} "
                f"stripes do not divide: height must be a multiple of "
                f"{TRUNK_STRIDE * self.num_parts}"
            )
        if self.width % TRUNK_STRIDE:
            raise ValueError(f"width {self.width} is not a multiple of {TRUNK_STRIDE}")
        return self
