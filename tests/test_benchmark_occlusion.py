from __future__ import annotations

import hashlib

import numpy as np
import pytest

from benchmarks.occlusion import LEAST, MOST, first_people, occlude, region
from reid.datasets import Sample

WHITE = np.full((128, 64, 3), 255, np.uint8)


def donors() -> list[np.ndarray]:
    """Dark noise of several sizes, never as bright as the probe, and from no generator."""
    sizes = [(128, 64), (96, 40), (200, 90)]
    return [
        (np.arange(h * w * 3, dtype=np.int64) * 2654435761 // 4096 % 200)
        .astype(np.uint8)
        .reshape(h, w, 3)
        for h, w in sizes
    ]


@pytest.mark.parametrize("size", [(128, 64), (160, 60), (77, 31)])
def test_every_probe_is_covered_by_a_fifth_to_a_half(size):
    image = np.full((*size, 3), 255, np.uint8)
    touched = {"top": 0, "bottom": 0, "left": 0, "right": 0}
    for i in range(200):
        out = occlude(image, f"{i:04d}_c1s1_000001_00.jpg", donors())
        assert out.shape == image.shape
        assert out.dtype == np.uint8
        hidden = (out != 255).all(axis=2)
        assert LEAST - 0.02 <= hidden.mean() <= MOST + 0.02
        rows, columns = np.flatnonzero(hidden.any(1)), np.flatnonzero(hidden.any(0))
        assert hidden.sum() == len(rows) * len(columns), "one rectangle, nothing else changed"
        touched["top"] += rows[-1] < size[0] - 1
        touched["bottom"] += len(columns) == size[1] and rows[0] > 0
        touched["left"] += columns[-1] < size[1] - 1
        touched["right"] += columns[0] > 0
    assert min(touched.values()) > 10, "all four sides occur"
    assert max(touched, key=lambda side: touched[side]) == "bottom"
    assert (image == 255).all(), "the probe itself is left alone"


def test_the_same_on_every_machine_and_run():
    names = [f"{i:04d}_c1s1_000001_00.jpg" for i in range(20)]
    everything = b"".join(occlude(WHITE, n, donors()).tobytes() for n in names)
    again = b"".join(occlude(WHITE, n, donors()).tobytes() for n in names)
    assert everything == again
    assert len({occlude(WHITE, n, donors()).tobytes() for n in names}) == 20
    # Another digest means another occlusion set: figures measured before do not compare.
    assert hashlib.sha256(everything).hexdigest()[:16] == "a538128a4abcce43"


def test_regions_lie_inside_at_the_ends_of_the_draws():
    for kind in (0.0, 0.499, 0.5, 0.649, 0.65, 0.824, 0.825, 0.9999):
        for size in (0.0, 0.9999):
            for reach in (0.0, 0.9999):
                top, left, rows, columns = region(128, 64, kind, size, reach)
                assert top >= 0
                assert left >= 0
                assert top + rows <= 128
                assert left + columns <= 64
                assert rows * columns / (128 * 64) == pytest.approx(0.5 if size else 0.2, abs=0.01)


def test_a_quick_look_keeps_its_people_and_the_distractors(tmp_path):
    def people(*identities):
        return [Sample(tmp_path / str(n), i, 1) for n, i in enumerate(identities)]

    query, gallery = first_people(people(5, 2, 9), people(0, 2, 5, 9, 7), 2)
    assert [s.identity for s in query] == [5, 2]
    assert [s.identity for s in gallery] == [0, 2, 5]
