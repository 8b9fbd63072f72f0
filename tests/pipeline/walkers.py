"""Made-up footage with people in plain colours, and a detector that finds just them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import av
import numpy as np

from pipeline.records import Frame
from trackers.records import Box, Detection

WIDTH, HEIGHT, FPS = 320, 240, 10
COLOURS = {"red": (0, 0, 255), "green": (0, 255, 0), "blue": (255, 0, 0)}


def write_walk(
    path: Path, people: dict[str, tuple[int, int]], frames: int = 40, start: int = 10
) -> Path:
    """Write a video: each person (colour -> top left at `start`) walks to the right."""
    with av.open(str(path), "w") as out:
        stream = out.add_stream("mpeg4", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.bit_rate = 4_000_000
        for index in range(frames):
            image = np.full((HEIGHT, WIDTH, 3), 90, np.uint8)
            for colour, (x, y) in people.items():
                if index >= start:
                    left = x + 2 * (index - start)
                    image[y : y + 80, left : left + 32] = COLOURS[colour]
            for packet in stream.encode(av.VideoFrame.from_ndarray(image, "bgr24")):
                out.mux(packet)
        for packet in stream.encode():
            out.mux(packet)
    return path


class ColourDetector:
    """Finds the coloured people exactly; optionally adds boxes that no detector should give."""

    name = "colours"

    def __init__(self, nonsense: Sequence[Detection] = ()) -> None:
        self._nonsense = list(nonsense)

    def process(self, frames: Sequence[Frame]) -> list[list[Detection]]:
        return [[*self._find(f), *self._nonsense] for f in frames]

    @staticmethod
    def _find(frame: Frame) -> list[Detection]:
        found = []
        for colour in COLOURS.values():
            near = np.abs(frame.image.astype(int) - colour).max(2) < 80
            rows, columns = np.nonzero(near)
            if len(rows) > 200:
                box = Box(columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
                found.append(
                    Detection(Box(*map(float, (box.left, box.top, box.right, box.bottom))), 0.95)
                )
        return found


class ColourEmbedder:
    """Embeds a crop by its mean colour: people of one colour are one person."""

    fingerprint = "colours"
    description = "colours"
    thresholds = (0.2, 0.2)
    batch = 8

    def __init__(self) -> None:
        from reid.network.config import ModelConfig

        self.config = ModelConfig(backbone="mobilenetv2", dim=8)
        self.crops = 0

    def embed(self, crops):
        from reid.records import PartEmbeddings

        self.crops += len(crops)
        rows = []
        for crop in crops:
            middle = crop[
                crop.shape[0] // 4 : -crop.shape[0] // 4, crop.shape[1] // 4 : -crop.shape[1] // 4
            ]
            mean = middle.reshape(-1, 3).mean(0) - 128
            rows.append(np.concatenate([mean, np.zeros(5)]))
        parts = np.repeat(np.array(rows, np.float32)[:, None], 6, axis=1)
        quality = np.full((len(crops), 6), 0.7, np.float32)
        return PartEmbeddings(parts, parts, quality, self.fingerprint)
