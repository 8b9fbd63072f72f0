"""This room's sub-commands, and `crosscam embed`; light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

from reid.evaluation.command import add_evaluate
from reid.explain.command import add_explain
from reid.training.command import add_train

EMBED_EXAMPLES = """examples:
  crosscam embed --images crops/ --out crops.npz
  crosscam embed --images crops/ --out crops.npz --weights runs/mine/model.safetensors

The file holds parts (N, K, d) float32, global_parts (N, K, d) float32,
quality (N, K) float32, paths (N,) and fingerprint.
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
    add_explain(commands)
    add_train(commands)
    add_evaluate(commands)


def run_embed(options: argparse.Namespace) -> int:
    """`crosscam embed`."""
    import numpy as np
    from rich.progress import track

    from reid.embedding import Embedder, embed_files, list_images
    from reid.errors import DataError, OutputError
    from reid.hardware import resolve_device
    from reid.records import PartEmbeddings
    from reid.settings import EmbeddingSettings

    resolve_device(options.device, "--device")
    paths = list_images(options.images)
    if options.out.exists() and options.out.suffix.lower() != ".npz":
        raise OutputError(f"--out {options.out} is there already and no .npz file: not replaced")
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
    try:
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
    except OSError as error:
        raise OutputError(f"--out {options.out}: {error.strerror or error}") from error
    finally:
        temporary.unlink(missing_ok=True)
    return 0
