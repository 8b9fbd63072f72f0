"""`crosscam embed` and `crosscam train`; light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

EMBED_EXAMPLES = """examples:
  crosscam embed --images crops/ --out crops.npz
  crosscam embed --images crops/ --out crops.npz --weights runs/mine/model.safetensors

The file holds parts (N, K, d) float32, global_parts (N, K, d) float32,
quality (N, K) float32, paths (N,) and fingerprint.
"""

TRAIN_EXAMPLES = """examples:
  crosscam train --config configs/qpm_mobilenet.yaml --data market1501/ \\
      --imagenet mobilenetv2_imagenet.pt --out runs/first
  crosscam train --config my.yaml --data people/ --out runs/ours   (identity/camera/*.jpg)

Run the same command again to go on after a stop.
"""


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's sub-commands to the front door's parser."""
    raw = argparse.RawDescriptionHelpFormatter
    embed = commands.add_parser(
        "embed", help="embed a folder of person crops", epilog=EMBED_EXAMPLES, formatter_class=raw
    )
    embed.add_argument("--images", type=Path, required=True, help="folder of crops, searched deep")
    embed.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    embed.add_argument("--weights", default="default", help="default, untrained, or a file")
    embed.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    embed.set_defaults(function=run_embed)

    train = commands.add_parser(
        "train", help="train a QPM model", epilog=TRAIN_EXAMPLES, formatter_class=raw
    )
    train.add_argument("--config", type=Path, required=True, help="a training configuration")
    train.add_argument("--data", type=Path, required=True, help="an unpacked data set")
    train.add_argument("--imagenet", type=Path, help="ImageNet weights of the trunk")
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument("--compile", action="store_true", help="compile the trunk")
    train.set_defaults(function=run_train)


def run_embed(options: argparse.Namespace) -> int:
    """`crosscam embed`."""
    import numpy as np
    from rich.progress import track

    from reid.embedding import Embedder, embed_files, list_images
    from reid.errors import DataError
    from reid.records import PartEmbeddings
    from reid.settings import EmbeddingSettings

    paths = list_images(options.images)
    if not options.out.resolve().parent.is_dir():
        raise DataError(f"--out {options.out}: its folder does not exist")
    embedder = Embedder.from_settings(
        EmbeddingSettings(weights=options.weights, device=options.device)
    )
    chunk = 256
    batches = embed_files(embedder, paths, chunk)
    total = -(-len(paths) // chunk)
    result = PartEmbeddings.concatenate(list(track(batches, "embedding", total=total)))
    temporary = options.out.with_name(options.out.name + ".tmp")
    with temporary.open("wb") as file:
        np.savez(
            file,
            parts=result.parts,
            global_parts=result.global_parts,
            quality=result.quality,
            paths=np.array([str(p) for p in paths]),
            fingerprint=np.array(result.fingerprint),
        )
    temporary.replace(options.out)
    return 0


def run_train(options: argparse.Namespace) -> int:
    """`crosscam train`."""
    from reid.hardware import resolve_device
    from reid.train import TrainPaths, train
    from reid.train_config import load_train_config

    config = load_train_config(options.config)
    paths = TrainPaths(options.data, options.out, options.imagenet)
    train(config, paths, resolve_device(options.device), compiled=options.compile)
    return 0
