"""The rows of the paper's ablation tables as overrides of one training configuration.

Tables V and VI: `baseline` to `qpm`; Table VII: `agfe_global_fc` and so on.
Tables IX, X and XI vary one number of QPM: K, d (each trained anew) and gamma
(ranked anew). docs/qpm.md says where the paper is silent.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any, Literal

from reid.errors import ConfigError
from reid.training.config import TrainConfig

TABLE_IX_K = (2, 3, 4, 6, 8)
TABLE_X_D = (128, 256, 512, 1024)
TABLE_XI_GAMMA = (0.5, 0.6, 0.7, 0.8, 0.9, 1.0)


@dataclass(frozen=True, slots=True)
class Ranking:
    """How an arm's gallery is ordered.

    Attributes:
        gamma: share of the part distance in Eq. 15: 1 parts only, 0 global only.
        ranking: `two_stage` as in Sec. III-D; `exhaustive` where Eq. 2 takes no part.
    """

    gamma: float
    ranking: Literal["two_stage", "exhaustive"] = "two_stage"


def _parts(**train: Any) -> dict[str, Any]:
    """An arm without a global branch."""
    quality = train.pop("quality", True)
    model = {"quality": quality, "global_feature": "none", "attention": "none", "gamma": 1.0}
    return {**train, "model": model}


def _overall(feature: str, attention: str = "none") -> dict[str, Any]:
    """An arm ranked by its global feature; the part branch is trained beside it and gives q."""
    model = {"quality": True, "global_feature": feature, "attention": attention, "gamma": 0.0}
    return {"part_triplet": True, "model": model}


ARMS: Mapping[str, dict[str, Any]] = MappingProxyType(
    {
        "baseline": _parts(quality=False, part_triplet=False),
        "baseline_triplet": _parts(quality=False, part_triplet=True),
        "part_branch": _parts(part_triplet=True),
        "gap_global": _overall("gap"),
        "gap_global_isa": _overall("gap", "isa"),
        "si_global": _overall("si"),
        "agfe_global": _overall("agfe"),
        "agfe_global_fc": _overall("agfe", "fc"),
        "agfe_global_rga": _overall("agfe", "rga"),
        "agfe_global_ra": _overall("agfe", "ra"),
        "agfe_global_cbam": _overall("agfe", "cbam"),
        "agfe_global_isa": _overall("agfe", "isa"),
        "qpm": {
            "part_triplet": True,
            "model": {"quality": True, "global_feature": "agfe", "attention": "isa"},
        },
    }
)


def arm(config: TrainConfig, name: str) -> tuple[TrainConfig, Ranking]:
    """The configuration and the ranking of one row; all that the row does not name stays.

    Args:
        config: of the full run (trunk, schedule, K, d, gamma ...).
        name: a key of `ARMS`.

    Raises:
        ConfigError: if there is no such row; the message lists them.
    """
    if name not in ARMS:
        raise ConfigError(f"arm {name!r} is not known: {', '.join(ARMS)}")
    changes = ARMS[name]
    values = config.model_dump()
    model = {**values["model"], **changes["model"]}
    changed = TrainConfig.model_validate({**values, **changes, "model": model})
    gamma = changed.model.gamma
    return changed, Ranking(gamma, "exhaustive" if gamma == 0 else "two_stage")
