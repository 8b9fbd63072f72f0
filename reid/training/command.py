"""`crosscam train`; light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

EXAMPLES = """examples:
  crosscam train --config configs/qpm_own.yaml --init default --data people/ --out runs/ours
      your own people, people/NAME/CAMERA/*.jpg, from the model that is shipped
  crosscam train --config configs/qpm_mobilenet.yaml --data market1501/ --data cuhk03/ \\
      --imagenet mobilenetv2_imagenet.pt --out runs/first
  torchrun --nproc_per_node=4 run_pipeline.py train --config configs/qpm_strong.yaml \\
      --data market1501/ --out runs/strong
      four GPUs; each draws its own batches

Run the same command again to go on after a stop. docs/training.md says what is written where.
"""


def add_train(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `train` to the front door's parser."""
    train = commands.add_parser(
        "train",
        help="train a QPM model",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    train.add_argument("--config", type=Path, required=True, help="a training configuration")
    train.add_argument(
        "--data",
        type=Path,
        required=True,
        action="append",
        help="an unpacked data set or identity/camera/*.jpg; several are joined",
    )
    train.add_argument("--out", type=Path, required=True, help="folder of the run")
    train.add_argument(
        "--everybody",
        action="store_true",
        help="train on the test identities of CUHK01 and CUHK03 too; never test there afterwards",
    )
    start = train.add_mutually_exclusive_group()
    start.add_argument("--init", help="model file to start from, or `default`: the shipped one")
    start.add_argument("--imagenet", type=Path, help="ImageNet weights of the trunk")
    train.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    train.add_argument(
        "--compile",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="compile the trunk (without either: on CUDA only)",
    )
    train.set_defaults(function=run_train)


def run_train(options: argparse.Namespace) -> int:
    """`crosscam train`."""
    from reid.hardware import resolve_device
    from reid.network.checkpoint import default_weights
    from reid.training.config import load_train_config
    from reid.training.train import TrainPaths, train

    config = load_train_config(options.config)
    init = None
    if options.init:
        init = default_weights() if options.init == "default" else Path(options.init)
    device = resolve_device(options.device)
    compiled = device.startswith("cuda") if options.compile is None else options.compile
    data = tuple(options.data)
    paths = TrainPaths(data, options.out, options.imagenet, init, options.everybody)
    train(config, paths, device, compiled=compiled)
    return 0
