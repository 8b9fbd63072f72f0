"""Tiny real videos whose frames carry their own number, as a row of black and white blocks."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np

WIDTH, HEIGHT, BITS = 160, 120, 10


def picture(number: int) -> np.ndarray:
    """Return (120, 160, 3) uint8 with `number` written in bits; noise below."""
    image = np.random.default_rng(number).integers(0, 255, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for bit in range(BITS):
        image[:32, bit * 16 : bit * 16 + 16] = 255 if number >> bit & 1 else 0
    return image


def number_of(image: np.ndarray) -> int:
    """Read the number back."""
    blocks = [image[4:28, bit * 16 + 4 : bit * 16 + 12].mean() for bit in range(BITS)]
    return sum(1 << bit for bit, mean in enumerate(blocks) if mean > 127)


def write_video(
    path: Path,
    frames: int = 20,
    fps: int = 10,
    codec: str = "libx264",
    options: dict[str, str] | None = None,
    metadata: dict[str, str] | None = None,
) -> Path:
    with av.open(str(path), "w", options=options or {}) as container:
        container.metadata.update(metadata or {})
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def write_audio(path: Path) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100, layout="mono")
        for index in range(20):
            samples = np.zeros((1, 1024), dtype=np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="mono")
            frame.sample_rate, frame.pts = 44100, index * 1024
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
