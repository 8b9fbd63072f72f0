"""Small people and small models for the tests of training."""

from __future__ import annotations

import csv
from pathlib import Path

import cv2
import numpy as np

from reid.network.config import ModelConfig
from reid.training.config import TrainConfig

MODEL = {"backbone": "mobilenetv2", "height": 96, "width": 32, "num_parts": 3, "dim": 16}


def paint_people(folder: Path, people: int = 4, images: int = 6) -> Path:
    """People in plain colours with a little noise, two cameras: `folder/pN/cM/I.png`."""
    rng = np.random.default_rng(1)
    for identity in range(people):
        colour = rng.integers(0, 255, 3)
        for index in range(images):
            camera = folder / f"p{identity}" / f"c{index % 2}"
            camera.mkdir(parents=True, exist_ok=True)
            image = np.clip(colour + rng.normal(0, 10, (64, 32, 3)), 0, 255).astype(np.uint8)
            cv2.imwrite(str(camera / f"{index}.png"), image)
    return folder


def tiny(**changes) -> TrainConfig:
    """A run of seconds."""
    model = ModelConfig(**MODEL, part_norm=True)
    values = {"epochs": 2, "ids_per_batch": 2, "images_per_id": 3, "lr": 0.01, "paste": 0.5}
    return TrainConfig(**({"model": model} | values | changes))


def lines(folder: Path, stage: str = "") -> list[dict[str, str]]:
    """The log without what differs from run to run."""
    with (folder / f"log{stage}.csv").open() as file:
        rows = list(csv.DictReader(file))
    return [
        {k: v for k, v in row.items() if k not in ("seconds", "images_per_second")} for row in rows
    ]
