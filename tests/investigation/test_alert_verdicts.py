"""What an alert says is what a search says: rare enough to be strong, and of which parts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from investigation.search.queries import Query
from investigation.search.strangers import Together
from investigation.watching.new_watch import new_watch
from investigation.watching.watcher import Watcher
from reid.chance import Chance
from reid.errors import ConfigError
from storage.watches.alerts import alerts
from tests.investigation.test_watching import YARDSTICK, Site, like
from tests.storage.samples import embedding


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "media")
    with made.store:
        yield made


def test_strong_means_the_same_in_an_alert_as_in_a_search(site: Site) -> None:
    """An alert was strong below the calibrated threshold, whatever the model's strangers said.

    Between 0.1 and 0.25 more than 1 in 1,000 strangers comes as near: that is possible at most.
    """
    strangers = Chance(((0.1, 0.001), (0.25, 0.02), (0.6, 0.3)))
    for track, apart in ((1, 0.2), (2, 0.5)):
        site.see(track, like(1, apart, track))
    strong = site.watch(embedding(1))
    both = site.watch(embedding(1), level="possible")
    Watcher(site.store, replace(YARDSTICK, chance=strangers)).check()
    far, near = alerts(site.reader, watch=both)
    assert near.distance < 0.1 < far.distance < 0.25
    assert (near.verdict, far.verdict) == ("strong", "possible")
    assert site.tracks(strong) == [1]
    assert "At most 1 in 1,000 different people comes as near." in near.evidence["why"]
    assert "tracks searched" not in near.evidence["why"]
    assert near.evidence["thresholds"] == [0.1, 0.47], "what its page says is strong"


def test_the_sites_own_strangers_count_in_an_alert(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where everybody wears the same, a search said possible and an alert strong."""

    class Alike:
        def at(self, distance: float, weights: object) -> Together:
            return Together(2000, 40)

    monkeypatch.setattr("investigation.search.strangers.measure", lambda *_: Alike())
    strangers = Chance(((0.1, 0.001), (0.25, 0.02)))
    site.see(1, like(1, 0.1, 1))
    site.watch(embedding(1), level="possible")
    Watcher(site.store, replace(YARDSTICK, chance=strangers)).check()
    [alert] = alerts(site.reader)
    assert alert.verdict == "possible"
    assert "on this site that is not rare enough" in alert.evidence["why"]


def test_a_watch_on_one_part_finds_the_very_same_picture(site: Site) -> None:
    """A mask of one part of six left 41 % in common with oneself: it could never raise."""
    flat = replace(embedding(1), quality=np.full((1, 6), 0.8, np.float32))
    hidden = flat.quality.copy()
    hidden[0, 0] = 0.01
    site.see(1, flat)
    site.see(2, replace(flat, quality=hidden))
    watch = site.watch(flat, level="possible", weights=(1, 0, 0, 0, 0, 0))
    site.watcher().check()
    assert site.tracks(watch) == [1], "track 2 hides that part"
    [alert] = alerts(site.reader)
    assert (alert.verdict, alert.evidence["shared"]) == ("possible", 1)
    assert "Only part 1 of 6 from the top was compared." in alert.evidence["why"]


def test_a_watch_that_could_never_raise_is_refused() -> None:
    few = Query("photo a.jpg", embedding(1), (1, 1, 0, 0, 0, 0))
    wishes = {"name": "a", "actor": "ada", "reason": "missing", "expires": time.time() + 60}
    with pytest.raises(ConfigError, match="less than half of the parts"):
        new_watch(few, YARDSTICK, **wishes)
    assert new_watch(few, YARDSTICK, level="possible", **wishes).weights == few.weights
    assert new_watch(few.masked((1, 1, 1, 0, 0, 0)), YARDSTICK, **wishes).level == "strong"
    crowded = replace(YARDSTICK, chance=Chance(((0.1, 0.01),)))
    with pytest.raises(ConfigError, match="nothing is strong with model model-a"):
        new_watch(few.masked(None), crowded, **wishes)
