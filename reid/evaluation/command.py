"""`crosscam evaluate`; light to import."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from reid.embedding import Embedder
    from reid.evaluation.sets import EvaluationSettings, SetFigures

RANKS = (1, 3, 5, 10)

EXAMPLES = """examples:
  crosscam evaluate --data market1501/
  crosscam evaluate --data market1501/ --data partial_reid/ --json figures.json
  crosscam evaluate --data people/ --weights runs/ours/model.safetensors   (identity/camera/*.jpg)
  crosscam evaluate --data market1501/ --ranking exhaustive --gamma 0.5

R1 to R10 are the share of queries with a true match among the first 1 to 10; mAP
and mINP are as in the literature. Single query; the gallery's images of the same
person by the same camera do not count. Each set's protocol is in docs/data.md.
"""


def add_evaluate(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `evaluate` to the front door's parser."""
    evaluate = commands.add_parser(
        "evaluate",
        help="rank-1, mAP and mINP of a model on data sets",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    evaluate.add_argument(
        "--data",
        type=Path,
        required=True,
        action="append",
        help="an unpacked data set or identity/camera/*.jpg; may be repeated",
    )
    evaluate.add_argument("--weights", default="default", help="default, or a model file")
    evaluate.add_argument("--gamma", type=float, help="share of the part distance (the model's)")
    evaluate.add_argument("--top-n", type=int, help="candidates to re-score (the model's)")
    evaluate.add_argument(
        "--ranking",
        choices=("two_stage", "exhaustive"),
        default="two_stage",
        help="Eq. 2, then Eq. 15 on the first n; or Eq. 15 on all pairs, which is slow",
    )
    evaluate.add_argument(
        "--flip", action="store_true", help="average each image with its mirror image"
    )
    evaluate.add_argument("--json", type=Path, help="write the same figures to this file")
    evaluate.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    evaluate.add_argument(
        "--precision",
        choices=("auto", "float32", "bfloat16"),
        default="auto",
        help="auto: bfloat16 where the hardware has it, which moves the figures a little",
    )
    evaluate.set_defaults(function=run_evaluate)


def run_evaluate(options: argparse.Namespace) -> int:
    """`crosscam evaluate`."""
    from rich.console import Console

    from reid.datasets import open_dataset
    from reid.embedding import Embedder
    from reid.errors import DataError
    from reid.evaluation.sets import EvaluationSettings, evaluate_set
    from reid.hardware import resolve_device
    from reid.settings import EmbeddingSettings

    if options.json and not options.json.resolve().parent.is_dir():
        raise DataError(f"--json {options.json}: its folder does not exist")
    resolve_device(options.device, "--device")
    datasets = [open_dataset(path) for path in options.data]
    embedder = Embedder.from_settings(
        EmbeddingSettings(
            weights=options.weights, device=options.device, precision=options.precision
        )
    )
    settings = EvaluationSettings.of(
        embedder, options.gamma, options.top_n, options.ranking, flip=options.flip
    )
    rows = [row for dataset in datasets for row in evaluate_set(embedder, dataset, settings)]
    Console().print(_table(embedder, settings, rows))
    if options.json:
        _write(options.json, options.weights, embedder, settings, rows)
    return 0


def _table(embedder: Embedder, settings: EvaluationSettings, rows: list[SetFigures]) -> object:
    from rich.box import SIMPLE_HEAD
    from rich.table import Table

    config = embedder.config
    how = f"n {settings.top_n}" if settings.ranking == "two_stage" else "exhaustive"
    table = Table(
        title=f"{config.backbone}, {config.height}x{config.width}, d={config.dim}, model "
        f"{embedder.fingerprint}\ngamma {settings.gamma:g}, {how}"
        + (", flip averaging" if settings.flip else "")
        + f"; {embedder.description}",
        title_justify="left",
        box=SIMPLE_HEAD,
        padding=(0, 0),
    )
    table.add_column("set")
    for name in ("queries", "gallery", *(f"R{r}" for r in RANKS), "mAP", "mINP"):
        table.add_column(name, justify="right", no_wrap=True, min_width=len(name))
    for row in rows:
        found = row.accuracy
        figures = [*(found.cmc[r - 1] for r in RANKS), found.mean_ap, found.mean_inp]
        cells = (str(row.queries), str(row.gallery), *(f"{f:.3f}" for f in figures))
        table.add_row(row.title, *cells)
    return table


def _write(
    path: Path,
    weights: str,
    embedder: Embedder,
    settings: EvaluationSettings,
    rows: list[SetFigures],
) -> None:
    import json
    from dataclasses import asdict

    from reid.machine import machine

    document = {
        "weights": weights,
        "fingerprint": embedder.fingerprint,
        "model": embedder.config.model_dump(),
        "settings": asdict(settings),
        "backend": embedder.description,
        "precision": embedder.precision,
        "machine": machine(),
        "sets": [
            {
                "set": row.title,
                "data": row.data,
                "queries": row.queries,
                "queries_with_a_match": row.accuracy.queries,
                "gallery": row.gallery,
                **{f"R{r}": float(row.accuracy.cmc[r - 1]) for r in RANKS},
                "mAP": row.accuracy.mean_ap,
                "mINP": row.accuracy.mean_inp,
            }
            for row in rows
        ],
    }
    temporary = path.with_name(path.name + ".tmp")
    temporary.write_text(json.dumps(document, indent=2) + "\n")
    temporary.replace(path)
