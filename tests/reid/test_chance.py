"""How near different people come: read off measured points, and measured from distances."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from reid.chance import Chance
from reid.errors import ModelError
from reid.evaluation.calibrate import CameraPairs, chances
from reid.network.checkpoint import (
    default_weights,
    file_fingerprint,
    load_chance,
    load_thresholds,
)


def strangers(distance: np.ndarray) -> CameraPairs:
    """As many different people as there are distances."""
    numbers = np.arange(len(distance))
    people = np.stack([numbers, numbers + len(distance)], axis=1)
    return CameraPairs(distance.astype(np.float32), people, len(distance))


POINTS = ((0.1, 0.001), (0.2, 0.01), (0.4, 0.04))


@pytest.mark.parametrize(
    ("distance", "share"),
    [
        (0.0, 0.001),  # an upper bound
        (0.1, 0.001),
        (0.15, 10**-2.5),  # halfway by the logarithm
        (0.2, 0.01),
        (0.3, 0.02),
        (0.4, 0.04),
        (0.41, 1.0),
    ],
)
def test_share(distance: float, share: float) -> None:
    assert Chance(POINTS).share(distance) == pytest.approx(share)


@pytest.mark.parametrize(
    ("share", "distance"),
    [
        (0.0009, 0.0),  # even the nearest is more
        (0.001, 0.1),
        (10**-2.5, 0.15),
        (0.02, 0.3),
        (0.04, 0.4),
        (0.9, 0.4),
    ],
)
def test_within_is_the_farthest_of_a_share(share: float, distance: float) -> None:
    assert Chance(POINTS).within(share) == pytest.approx(distance)


@pytest.mark.parametrize(
    "points", [(), ((0.2, 0.01), (0.1, 0.1)), ((0.1, 0.1), (0.2, 0.1)), ((0.1, 0.0),)]
)
def test_points_that_make_no_sense(points: tuple[tuple[float, float], ...]) -> None:
    with pytest.raises(ValueError, match="positive and rise"):
        Chance(points)


def test_measured_is_the_worst_of_the_scenes() -> None:
    """Counted by hand: the share of each scene's distances below a point is at most the share."""
    rng = np.random.default_rng(0)
    near, far = rng.uniform(0, 1, 2_000) ** 0.5, rng.uniform(0, 1, 100_000) ** 0.25
    points = chances([strangers(near), strangers(far)])
    assert [share for _, share in points] == [
        0.003,
        0.01,
        0.03,
        0.1,
        0.3,
    ]
    for distance, share in points:
        assert (near < distance).mean() <= share + 1e-3
        assert (far < distance).mean() <= share
    assert chances([strangers(far[:10])]) == []


def test_a_share_that_few_people_make_is_not_said() -> None:
    """Six pairs of people made up a false accept rate; counting pairs of tracklets hid it."""
    distance = np.linspace(0, 1, 10_000)
    pairs = strangers(distance)
    pairs.people[:200] = (1, 2)  # the 2 % that come nearest
    assert min(share for _, share in chances([pairs])) == 0.03
    assert min(share for _, share in chances([strangers(distance)])) == 0.001


def test_the_shipped_calibration_reaches_as_far_as_a_verdict() -> None:
    """Whatever is called possible has a measured share; beyond the last point there is none."""
    path = default_weights()
    fingerprint = file_fingerprint(path)
    thresholds, chance = load_thresholds(path, fingerprint), load_chance(path, fingerprint)
    assert thresholds is not None and chance is not None
    assert chance.share(thresholds[1]) < 1


def test_reading_it(tmp_path: Path) -> None:
    weights, file = tmp_path / "m.safetensors", tmp_path / "m.json"
    assert load_chance(weights, "abc") is None
    file.write_text('{"fingerprint": "abc", "strangers": [[0.1, 0.001], [0.2, 0.01]]}')
    assert load_chance(weights, "abc") == Chance(((0.1, 0.001), (0.2, 0.01)))
    file.write_text('{"fingerprint": "abc", "threshold": 0.2, "possible": 0.3}')
    assert load_chance(weights, "abc") is None
    file.write_text('{"fingerprint": "abc", "strangers": [[0.2, 0.001], [0.1, 0.01]]}')
    with pytest.raises(ModelError, match=r"m\.json: not a calibration: .*positive and rise"):
        load_chance(weights, "abc")
