"""How near strangers come here, against plain loops; and what a hit makes of it."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.stats import binom

from investigation.search.desk import SearchDesk
from investigation.search.hits import Crowd
from investigation.search.queries import Query
from investigation.search.strangers import SiteStrangers, Together, measure
from reid.chance import Chance
from reid.explain.explanation import Explainer
from reid.records import PartEmbeddings
from storage.store import Store
from tests.reid import naive
from tests.storage.samples import CAMERAS, tracklet
from tests.storage.test_together import walk

K, D, GAMMA = 6, 256, 0.6


def people(count: int, fingerprint: str, seed: int = 0) -> PartEmbeddings:
    """People of one crowd: their parts have much in common."""
    rng = np.random.default_rng(seed)
    crowd = rng.normal(size=(1, K, D))
    parts, others = (
        (crowd + 0.7 * rng.normal(size=(count, K, D))).astype(np.float32) for _ in range(2)
    )
    return PartEmbeddings(
        parts, others, rng.uniform(0.1, 1, (count, K)).astype(np.float32), fingerprint
    )


def stand_in_a_row(url: str, embedded: PartEmbeddings) -> None:
    """All before the door at once, ten pixels apart."""
    with Store.open(url) as store:
        store.register_model(embedded.fingerprint, K, D, {"gamma": GAMMA})
        run = store.begin_run({}, CAMERAS)
        for track in range(1, len(embedded) + 1):
            there = walk(50.0 * track)
            store.add_points(run, "door", track, there)
            made = tracklet(track, embedded=embedded[track - 1])
            ends = {"start": there[0].time, "end": there[-1].time}
            store.save_tracklet(run, replace(made, first=there[0], last=there[-1], **ends))
        store.finish_run(run)


def plain(one: PartEmbeddings, other: PartEmbeddings, weights: tuple[float, ...]) -> list[float]:
    """Eq. 15 of each pair, rising, one number at a time, from what the store keeps (fp16)."""
    found = []
    for i in range(len(one)):
        p, g = (
            [np.float64(np.float16(x)) for x in (e.parts[i], e.global_parts[i], e.quality[i])]
            for e in (one, other)
        )
        q = p[2] * np.array(weights)
        part = naive.part_distance(p[0], q, g[0], g[2])
        overall = naive.global_distance(p[1], q, g[1], g[2])
        found.append(GAMMA * part + (1 - GAMMA) * overall)
    return sorted(found)


@pytest.mark.parametrize("weights", [None, (1.0, 1.0, 0.5, 0.0, 0.0, 0.0)])
def test_shares_are_those_of_a_plain_loop(
    tmp_path: Path, weights: tuple[float, ...] | None
) -> None:
    everybody = people(700, "m")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    stand_in_a_row(url, everybody)
    pairs = [(track, track + 1) for track in range(1, 700)]
    expected = plain(everybody[:-1], everybody[1:], weights or (1.0,) * K)
    with Store.open(url) as store:
        here = SiteStrangers(store.reader(), "m", GAMMA, pairs)
        assert here.distances(weights) == pytest.approx(expected, abs=1e-5)
        for near in (1, 2, 300, 698):
            between = (expected[near - 1] + expected[near]) / 2
            assert here.at(between, weights) == Together(699, near)
        assert here.at(expected[0] - 1e-4, weights).as_near == 0
        # Who was erased since is in no new measure.
        gone = SiteStrangers(store.reader(), "m", GAMMA, [*pairs, (1, 9_000)])
        assert len(gone.distances(weights)) == 699


def test_a_store_measures_its_own(tmp_path: Path) -> None:
    everybody = people(60, "m")
    url = f"sqlite:///{tmp_path / 'store.db'}"
    stand_in_a_row(url, everybody)
    with Store.open(url) as store:
        reader = store.reader()
        here = measure(reader, "m", GAMMA)
        assert here is not None
        assert 100 <= len(here.distances()) <= 120  # 60 people, four partners each, at most
        assert measure(reader, "m", GAMMA, most=50) is None
        assert measure(reader, "m", GAMMA, fewest=121) is None
        assert here.at(2.0) == Together(len(here.distances()), len(here.distances()))


def test_the_bound_is_the_exact_one() -> None:
    """It is the share at which so many or more would be seen once in forty times."""
    for pairs, near in ((100, 1), (2_000, 6), (146, 7)):
        low = Together(pairs, near).at_least
        assert binom.sf(near - 1, pairs, low) == pytest.approx(0.025)
        assert low < near / pairs
    assert Together(100, 0).at_least == 0


def test_the_site_is_believed_where_its_strangers_are_surely_nearer() -> None:
    chance = Chance(((0.1, 0.001), (0.5, 0.01)))
    assert Crowd.of(500, 0.05, chance, None) == Crowd(500, 0.001, True)
    few = Together(2_000, 5)
    assert Crowd.of(500, 0.05, chance, few) == Crowd(500, 0.001, True, few)
    many = Together(2_000, 6)
    assert Crowd.of(500, 0.05, chance, many) == Crowd(500, 0.003, False, many)
    assert str(Crowd(500, 0.003, False, many)).endswith(
        "may be strangers. On these cameras 6 of 2,000 pairs of people who were seen at the same "
        "moment come as near."
    )


def test_a_hit_tells_what_the_site_says(tmp_path: Path) -> None:
    model = Explainer.from_weights("default", "cpu")
    everybody = people(60, model.fingerprint)
    url = f"sqlite:///{tmp_path / 'store.db'}"
    stand_in_a_row(url, everybody)
    with Store.open(url) as store:
        desk = SearchDesk(store.reader(), model=model)
        one = everybody[0]
        noise = np.random.default_rng(5).normal(scale=0.2, size=one.parts.shape).astype(np.float32)
        query = Query("somebody", replace(one, parts=one.parts + noise))
        assert model.chance is not None and model.thresholds is not None
        [nearest, *_] = desk.search(query)
        assert nearest.track == 1 and nearest.verdict == "strong"
        assert nearest.crowd is not None and nearest.crowd.here is not None
        pairs = nearest.crowd.here.pairs
        assert nearest.as_json()["seen_together"] == {"pairs": pairs, "as_near": 0}
        assert f"0 of {pairs} pairs of people who were seen at the same moment" in nearest.why
        # A site where everybody wears the same.
        same = [(track, track) for track in range(1, 60)]
        assert desk._site is not None
        desk._site._strangers = SiteStrangers(store.reader(), model.fingerprint, GAMMA, same)
        [nearest, *_] = desk.search(query)
        assert nearest.verdict == "possible"
        assert "but on this site that is not rare enough to be strong" in nearest.why
