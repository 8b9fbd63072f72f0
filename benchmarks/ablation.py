"""The paper's ablation tables: train each arm from one stage 0, rank each as the table asks.

python -m benchmarks.ablation --data market1501/ --partial partial_reid/ \
    --imagenet mobilenetv2_imagenet.pt [--table V VII] [--seeds 1 2 3] [--out runs/ablation]

Every arm starts from one stage 0 ('fine-tuned from the IDE model', Sec. IV-A), and the arms of a
seed see the same batches. The spread over seeds is that of batches, augmentations and new layers,
not of the stage 0. What is trained and ranked already is not done again, so that a run may be
stopped at any time. Partial-REID is looked at, never chosen by.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.common import print_table
from benchmarks.occlusion import Files, embed_occluded
from reid.datasets import Dataset, open_dataset
from reid.embedding import Embedder
from reid.evaluation.scores import evaluate
from reid.evaluation.sets import embed_samples
from reid.hardware import resolve_device
from reid.settings import EmbeddingSettings
from reid.training.arms import TABLE_IX_K, TABLE_X_D, TABLE_XI_GAMMA, arm
from reid.training.config import TrainConfig, load_train_config
from reid.training.train import TrainPaths, train

TABLE_V = (
    "baseline",
    "baseline_triplet",
    "part_branch",
    "gap_global",
    "gap_global_isa",
    "agfe_global",
    "agfe_global_isa",
    "qpm",
)
TABLES: Mapping[str, tuple[str, ...]] = {
    "V": TABLE_V,
    "VI": ("gap_global", "si_global", "agfe_global"),
    "VII": ("agfe_global", *(f"agfe_global_{a}" for a in ("fc", "rga", "ra", "cbam", "isa"))),
    "IX": tuple(f"qpm K={k}" for k in TABLE_IX_K),
    "X": tuple(f"qpm d={d}" for d in TABLE_X_D),
    "XI": tuple(f"qpm gamma={g:g}" for g in TABLE_XI_GAMMA),
}
TRAINED_AS = {"agfe_global_isa": "qpm"}  # one training, ranked in two ways
FIGURES = ("Market R1", "Market mAP", "occluded R1", "occluded mAP", "Partial-REID R1", "R3")


@dataclass(frozen=True)
class Row:
    """One row of a table: what is trained, and how it is ranked."""

    name: str
    training: str
    config: TrainConfig
    gamma: float
    ranking: Any


def row(base: TrainConfig, name: str) -> Row:
    """The row called `name`: an arm, or QPM with another K, d or gamma."""
    label, _, change = name.partition(" ")
    config, order = arm(base, label)
    training, gamma = TRAINED_AS.get(label, label), order.gamma
    if change:
        key, _, value = change.partition("=")
        if key == "gamma":
            gamma = float(value)
        else:
            number = {"num_parts" if key == "K" else "dim": int(value)}
            model = config.model.model_dump() | number
            config = TrainConfig.model_validate(config.model_dump() | {"model": model})
            changed = number.items() - base.model.model_dump().items()
            training = name.replace(" ", "_") if changed else label
    if training != label and not change:
        config, _ = arm(base, training)
    return Row(name, training, config, gamma, order.ranking)


@dataclass(frozen=True)
class Sets:
    """What every arm is measured on."""

    market: Dataset
    partial: Dataset | None

    def embedded(self, weights: Path, device: str) -> dict[str, tuple[Any, ...]]:
        """By name: embeddings of probes and gallery, and their samples."""
        embedder = Embedder.from_settings(EmbeddingSettings(weights=str(weights), device=device))
        query, gallery = self.market.query, self.market.gallery
        known = embed_samples(embedder, gallery)
        hidden = embed_occluded(embedder, query, Files(self.market.train))
        found = {
            "market": (embed_samples(embedder, query), known, query, gallery),
            "occluded": (hidden, known, query, gallery),
        }
        if self.partial is not None:
            query, gallery = self.partial.query, self.partial.gallery
            sides = (embed_samples(embedder, query), embed_samples(embedder, gallery))
            found["partial"] = (*sides, query, gallery)
        return found


def figures(embedded: Mapping[str, tuple[Any, ...]], row: Row) -> list[float]:
    """`FIGURES` of one row."""
    result: list[float] = []
    for name, sides in embedded.items():
        n = row.config.model.top_n
        found = evaluate(*sides, gamma=row.gamma, top_n=n, ranking=row.ranking)
        second = float(found.cmc[2]) if name == "partial" else found.mean_ap
        result += [float(found.cmc[0]), second]
    return result


def stage_zero(base: TrainConfig, options: argparse.Namespace, device: str) -> Path:
    """The trunk that all arms start from: of the run's stage 0, whose QPM stage is never used."""
    out = options.out / "stage0"
    done = out / "done"
    if not done.exists():
        config = base.model_copy(update={"seed": 0, "epochs": 1})
        train(config, TrainPaths((options.data,), out, options.imagenet), device)
        done.touch()
    return Path(out / "trunk.safetensors")


def results(
    rows: Sequence[Row], sets: Sets, options: argparse.Namespace, base: TrainConfig
) -> Iterator[dict[str, Any]]:
    """Train and rank what is missing; every row of every seed as a record."""
    device = resolve_device(options.device)
    store = options.out / "results.jsonl"
    known = {}
    if store.exists():
        lines = [json.loads(line) for line in store.read_text().splitlines()]
        known = {(line["row"], line["seed"]): line for line in lines}
    trunk = stage_zero(base, options, device)
    for seed in options.seeds:
        by_training: dict[str, list[Row]] = {}
        for r in rows:
            if (r.name, seed) not in known:
                by_training.setdefault(r.training, []).append(r)
        for training, members in by_training.items():
            config = members[0].config.model_copy(update={"seed": seed, "ide_epochs": 0})
            print(f"seed {seed}: {training}", flush=True)
            out = options.out / f"seed{seed}" / training
            weights = train(config, TrainPaths((options.data,), out, trunk), device)
            embedded = sets.embedded(weights, device)
            for r in members:
                record = {"row": r.name, "seed": seed, "figures": figures(embedded, r)}
                known[r.name, seed] = record
                with store.open("a") as file:
                    file.write(json.dumps(record) + "\n")
    yield from (known[r.name, seed] for r in rows for seed in options.seeds)


def show(table: str, found: Sequence[Mapping[str, Any]], names: Sequence[str]) -> None:
    """Mean over the seeds, and the spread from the least to the most."""
    lines = []
    for name in names:
        values = np.array([f["figures"] for f in found if f["row"] == name])
        mean, spread = values.mean(0), np.ptp(values, axis=0)
        cells = [f"{m:.3f} ({s:.3f})" for m, s in zip(mean, spread, strict=True)]
        lines.append((name, len(values), *cells))
    header = ("arm", "seeds", *FIGURES[: len(found[0]["figures"])])
    print_table(f"Table {table}: mean over the seeds (most - least)", header, lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="unpacked Market-1501")
    parser.add_argument("--partial", type=Path, help="unpacked Partial-REID: test only")
    parser.add_argument("--imagenet", type=Path, required=True, help="the trunk's ImageNet weights")
    parser.add_argument("--config", type=Path, default=Path("configs/qpm_ablation.yaml"))
    parser.add_argument("--table", nargs="+", choices=TABLES, default=["V"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[1, 2, 3])
    parser.add_argument("--out", type=Path, default=Path("runs/ablation"))
    parser.add_argument("--device", default="auto")
    options = parser.parse_args()
    base = load_train_config(options.config)
    partial = open_dataset(options.partial) if options.partial else None
    sets = Sets(open_dataset(options.data), partial)
    names = list(dict.fromkeys(n for table in options.table for n in TABLES[table]))
    found = list(results([row(base, n) for n in names], sets, options, base))
    for table in options.table:
        show(table, [f for f in found if f["row"] in TABLES[table]], TABLES[table])


if __name__ == "__main__":
    main()
