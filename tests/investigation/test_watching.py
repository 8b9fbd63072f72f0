"""Standing queries at work on a small store, against plain loops; and on real footage."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import text

from investigation.search.yardstick import Yardstick
from investigation.watching.watcher import Watcher
from reid.errors import StoreError
from reid.records import PartEmbeddings
from storage.accounts.accounts import Accounts, By, Role
from storage.decisions.decide import Decisions
from storage.queries import StoreReader
from storage.store import Store
from storage.watches import sending
from storage.watches.alerts import AlertRow, alerts, save_hits
from storage.watches.edit import NewWatch, add_watch, end_watch
from storage.watches.rows import NotifyTarget, one_watch
from tests.reid import naive
from tests.storage.conftest import new_postgresql, postgresql_server  # noqa: F401 - fixtures
from tests.storage.samples import CAMERAS, decision, embedding, exemplar, points, tracklet

GAMMA = 0.6
YARDSTICK = Yardstick("model-a", GAMMA, (0.25, 0.47))


def like(person: int, apart: float, seed: int, fingerprint: str = "model-a") -> PartEmbeddings:
    """A sight of a person; `apart` 0 is the very same."""
    base, noise = embedding(person), embedding(1000 + seed)
    return PartEmbeddings(
        base.parts + np.float32(apart) * noise.parts,
        base.global_parts + np.float32(apart) * noise.global_parts,
        base.quality,
        fingerprint,
    )


class Site:
    """A store that a run writes to."""

    def __init__(self, url: str, media: Path) -> None:
        self.store = Store.open(url, media)
        self.store.register_model("model-a", 6, 8, {})
        self.store.register_model("model-b", 6, 8, {})
        self.run = self.store.begin_run({}, CAMERAS)

    def see(
        self, track: int, embedded: PartEmbeddings, camera: str = "door", run: int | None = None
    ) -> None:
        run = self.run if run is None else run
        self.store.add_points(run, camera, track, points(10))
        pictures = (exemplar(3, jpeg=b"\xff\xd8 %d" % track),)
        self.store.save_tracklet(
            run, tracklet(track, camera, embedded=embedded, exemplars=pictures)
        )
        self.store.flush()

    def watch(self, query: PartEmbeddings, **changes: object) -> int:
        new = NewWatch("a", "ada", "missing", time.time() + 3600, query)
        return add_watch(self.store, replace(new, **changes))  # type: ignore[arg-type]

    def watcher(self, **options: int) -> Watcher:
        return Watcher(self.store, YARDSTICK, **options)

    @property
    def reader(self) -> StoreReader:
        return self.store.reader()

    def tracks(self, watch: int | None = None) -> list[int]:
        return sorted(alert.track for alert in alerts(self.reader, watch=watch))

    def covered(self, watch: int) -> int:
        return one_watch(self.reader, watch).covered


@pytest.fixture
def site(tmp_path: Path) -> Iterator[Site]:
    made = Site(f"sqlite:///{tmp_path / 'store.db'}", tmp_path / "media")
    with made.store:
        yield made


def test_the_past_then_what_is_new(site: Site) -> None:
    past_then_new(site)


def test_the_same_on_postgresql(request: pytest.FixtureRequest, tmp_path: Path) -> None:
    new_database: Callable[[], str] = request.getfixturevalue("new_postgresql")
    site = Site(new_database(), tmp_path / "media")
    with site.store:
        past_then_new(site)


def past_then_new(site: Site) -> None:
    site.see(1, like(1, 0.1, 1))
    site.see(2, embedding(2))
    watch = site.watch(embedding(1))
    watcher = site.watcher()
    report = watcher.check()
    assert report.past == {watch: {"found": 1, "raised": 1}}
    assert (report.compared, site.tracks()) == (2, [1])
    assert watcher.check().compared == 0, "nothing is new"
    site.see(3, like(1, 0.1, 3), "yard")
    site.see(4, embedding(4))
    report = watcher.check()
    assert report.compared == 2
    assert site.tracks() == [1, 3]
    [newest] = report.raised[watch]
    assert alerts(site.reader)[0].id == newest
    assert site.watcher().check().raised == {}, "another process finds it all done"


def test_a_watch_ends_where_its_owner_may_no_longer_look(site: Site) -> None:
    by = By("ann", None)
    accounts = Accounts(site.store)
    groups = [accounts.add_group(name, by, [name]) for name in ("door", "yard")]
    accounts.add_user("ada", Role.INVESTIGATOR, by, all_cameras=False, groups=groups)
    both = site.watch(embedding(1), cameras=("door", "yard"))
    anywhere, terminal = site.watch(embedding(1)), site.watch(embedding(1), actor="cli:ada")
    site.watcher().check()
    site.see(1, like(1, 0.1, 1), "yard")
    assert site.watcher().check().raised.keys() == {both, anywhere, terminal}
    accounts.remove_group(groups[1], by)
    site.see(2, like(1, 0.1, 2), "yard")
    site.see(3, like(1, 0.1, 3), "door")
    site.watcher().check()
    assert (site.tracks(both), site.tracks(anywhere)) == ([1, 3], [1, 3])
    assert site.tracks(terminal) == [1, 2, 3], "no account, no groups"


@pytest.mark.parametrize("change", [{"disabled": True}, {"role": Role.VIEWER}])
def test_who_may_no_longer_look_for_people_is_told_of_nobody(
    site: Site, change: dict[str, Any]
) -> None:
    """A disabled user's watch went on to send crops to their webhook."""
    accounts = Accounts(site.store)
    ada = accounts.add_user("ada", Role.INVESTIGATOR, By("ann"), all_cameras=True)
    site.watch(embedding(1))
    site.watcher().check()
    accounts.change_user(ada.id, By("ann"), **change)
    site.see(1, like(1, 0.1, 1))
    assert site.watcher().check().raised == {}
    assert site.tracks() == []


def test_a_growing_track_raises_once_and_keeps_its_best_evidence(site: Site) -> None:
    watch = site.watch(embedding(1), level="possible")
    watcher = site.watcher()
    distances = []
    for apart in (0.7, 0.1, 0.5):
        site.see(1, like(1, apart, 1))
        watcher.check()
        [alert] = alerts(site.reader)
        distances.append(alert.distance)
    assert distances[1] < distances[0]
    assert distances[2] == distances[1]
    assert (alert.verdict, alert.watch) == ("strong", watch)


def test_hits_are_those_of_a_plain_loop(site: Site) -> None:
    random = np.random.default_rng(5)
    seen = {}
    for track in range(1, 120):
        one = like(int(random.integers(1, 6)), float(random.uniform(0, 1.2)), track)
        quality = (one.quality * random.uniform(0, 1, one.quality.shape) ** 3).astype(np.float32)
        seen[track] = replace(one, quality=quality)
        site.see(track, seen[track], "door" if track % 2 else "yard")
        if track == 60:
            watches = [
                site.watch(embedding(1)),
                site.watch(embedding(2), level="possible"),
                site.watch(embedding(3), level="possible", weights=(1, 1, 0.5, 0, 0, 0)),
                site.watch(embedding(4), level="possible", cameras=("yard",)),
                site.watch(embedding(5), level="possible", tracks=(3, 4, 58)),
                site.watch(embedding(1), level="possible", weights=(0, 1, 0, 0, 0, 0)),
            ]
            site.watcher().check()
    site.watcher().check()
    expected: dict[int, list[int]] = {}
    for place, watch in enumerate(watches):
        query = _half(embedding(place % 5 + 1))
        weights = np.array({2: (1, 1, 0.5, 0, 0, 0), 5: (0, 1, 0, 0, 0, 0)}.get(place, (1,) * 6))
        whole = query.quality[0].astype(np.float64)
        quality = whole * weights
        for track, stored in seen.items():
            there = _half(stored)
            quality_g = there.quality[0].astype(np.float64)
            if (place == 3 and track % 2) or (place == 4 and track in (3, 4, 58)):
                continue
            if not quality @ quality_g:
                continue
            part = naive.part_distance(query.parts[0], quality, there.parts[0], quality_g)
            overall = naive.global_distance(
                query.global_parts[0], quality, there.global_parts[0], quality_g
            )
            seen_g = quality_g * weights
            shared = quality @ seen_g / np.linalg.norm(quality) / np.linalg.norm(seen_g)
            shown = sorted((max(quality) / max(whole), max(seen_g) / max(quality_g)))
            shared *= shown[0] / shown[1]
            limit = 0.25 if place == 0 else 0.47
            if GAMMA * part + (1 - GAMMA) * overall < limit and shared >= 0.5:
                expected.setdefault(watch, []).append(track)
    assert {watch: site.tracks(watch) for watch in watches if site.tracks(watch)} == expected
    assert all(len(found) > 3 for found in expected.values()), "or it proves nothing"


def _half(one: PartEmbeddings) -> PartEmbeddings:
    """As the store keeps it."""
    arrays = (getattr(one, name) for name in ("parts", "global_parts", "quality"))
    return PartEmbeddings(*(a.astype("<f2").astype(np.float32) for a in arrays), one.fingerprint)


def test_a_long_past_is_capped_and_says_so(site: Site) -> None:
    for track, apart in enumerate((0.3, 0.05, 0.2, 0.1), 1):
        site.see(track, like(1, apart, track))
    targets = (NotifyTarget("json://localhost", "json://localhost"),)
    watch = site.watch(embedding(1), targets=targets)
    report = site.watcher(past_alerts=3, past_sent=2).check()
    assert report.past == {watch: {"found": 4, "raised": 3}}
    assert one_watch(site.reader, watch).past == {"found": 4, "raised": 3}
    assert site.tracks() == [2, 3, 4], "the nearest"
    waiting = {a.track for a in alerts(site.reader) if a.sent["pending"]}
    assert waiting == {2, 4}
    site.see(5, like(1, 0.3, 5))
    site.watcher(past_alerts=3, past_sent=2).check()
    assert alerts(site.reader)[0].sent["pending"], "what is new is always sent"


def test_a_store_of_an_older_version_is_covered(site: Site) -> None:
    """Its tracklets all have revision 1."""
    for track in (1, 2, 3):
        site.see(track, like(1, 0.1, track))
    site.store.write(lambda c: c.execute(text("UPDATE tracklets SET revision = 1")))
    watch = site.watch(embedding(1))
    site.watcher().check()
    assert site.tracks(watch) == [1, 2, 3]


def test_reruns_and_what_people_ruled_out_raise_nothing(site: Site) -> None:
    again = site.store.begin_run({}, CAMERAS)
    site.store.write(lambda c: c.execute(text(f"UPDATE runs SET rerun_of = 1 WHERE id = {again}")))
    site.see(1, like(1, 0.1, 1))
    site.see(2, like(1, 0.1, 2))
    site.see(3, like(1, 0.1, 3))
    person = site.store.identity_allocator().next_id()
    for track in (1, 2):
        site.store.link(site.run, decision(track, person, "create" if track == 1 else "link"))
    site.store.flush()
    Decisions(site.store).reject(2, person, "bob", "another coat")
    watch = site.watch(embedding(1), tracks=(1,), identity=person)
    site.see(4, like(1, 0.1, 4), run=again)
    site.watcher().check()
    site.see(5, like(1, 0.1, 5), run=again)
    site.watcher().check()
    assert site.tracks(watch) == [3]


def linked(site: Site, *tracks: int) -> None:
    """Each track an identity of its own number."""
    for track in tracks:
        assert site.store.identity_allocator().next_id() == track
        site.store.link(site.run, decision(track, track))
    site.store.flush()


def test_a_rejection_for_the_identity_that_the_watched_one_went_into_counts(site: Site) -> None:
    """A watch kept to the name of its identity: after a merge, what was rejected raised alerts."""
    site.see(1, embedding(1))
    site.see(2, embedding(5))
    site.see(3, like(1, 3.0, 3))
    linked(site, 1, 2, 3)
    watch = site.watch(embedding(1), tracks=(1,), identity=1, level="possible")
    site.watcher().check()
    assert site.tracks(watch) == []
    decisions = Decisions(site.store)
    decisions.merge(2, 1, "bob", "the same coat")
    decisions.reject(3, 2, "bob", "another coat")
    site.see(3, like(1, 0.1, 3))
    site.see(4, like(1, 0.1, 4))
    site.watcher().check()
    assert site.tracks(watch) == [4]


def test_what_the_watched_track_was_rejected_for_raises_nothing(site: Site) -> None:
    """The other way round: the watch's own track is not identity 3, so its tracks are not ours."""
    site.see(1, embedding(1))
    site.see(2, like(1, 3.0, 2))
    linked(site, 1, 2)
    watch = site.watch(embedding(1), tracks=(1,), identity=1, level="possible")
    site.watcher().check()
    Decisions(site.store).reject(1, 2, "bob", "another coat")
    site.see(2, like(1, 0.1, 2))
    site.see(3, like(1, 0.1, 3))
    site.watcher().check()
    assert site.tracks(watch) == [3]


def test_a_track_that_was_split_off_does_not_silence_the_watch(site: Site) -> None:
    """Of the query's two tracks one was somebody else's: the person's own go on to alert."""
    for track in (1, 2, 3):
        site.see(track, like(1, 0.1, track))
    person = site.store.identity_allocator().next_id()
    for track in (1, 2):
        site.store.link(site.run, decision(track, person, "create" if track == 1 else "link"))
    site.store.flush()
    watch = site.watch(embedding(1), tracks=(1, 2), identity=person)
    Decisions(site.store).split(person, [2], "bob", "another coat")
    site.store.link(site.run, decision(3, person, "link"))
    site.store.flush()
    site.watcher().check()
    assert site.tracks(watch) == [3]


def test_too_little_in_common_raises_nothing(site: Site) -> None:
    upper = np.array([[1, 1, 1, 0, 0, 0]], np.float32)
    site.see(1, replace(embedding(1), quality=1 - upper))
    site.watch(replace(embedding(1), quality=upper + np.float32(0.01)), level="possible")
    site.watcher().check()
    assert site.tracks() == []


def test_another_models_tracklets_are_never_compared(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    watch = site.watch(embedding(1))
    watcher = site.watcher()
    watcher.check()
    site.see(1, like(1, 0, 1, "model-b"))
    report = watcher.check()
    watcher.check()
    assert (report.raised, report.other_model) == ({}, [watch])
    assert one_watch(site.reader, watch).state == "other model"
    assert caplog.text.count("make the query again") == 1
    site.see(2, like(1, 0, 2))
    assert watcher.check().other_model == []
    assert site.tracks() == [2]


def test_weights_that_are_not_the_queries_leave_it_for_later(
    site: Site, caplog: pytest.LogCaptureFixture
) -> None:
    watch = site.watch(embedding(1))
    site.see(1, like(1, 0.1, 1))
    report = Watcher(site.store, replace(YARDSTICK, fingerprint="model-b")).check()
    assert (report.compared, report.other_model) == (0, [watch])
    assert "the weights at hand are model-b" in caplog.text
    assert site.covered(watch) == 0
    site.watcher().check()
    assert site.tracks() == [1]


def test_an_ended_watch_compares_nothing(site: Site) -> None:
    watch, other = site.watch(embedding(1)), site.watch(embedding(1))
    watcher = site.watcher()
    watcher.check()
    end_watch(site.store, watch, "ada", "found")
    site.see(1, like(1, 0.1, 1))
    watcher.check()
    assert (site.tracks(watch), site.tracks(other)) == ([], [1])


@pytest.mark.parametrize("past", [True, False], ids=["in the past", "in what is new"])
def test_a_crash_loses_no_alert_and_doubles_none(
    site: Site, past: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    watch = site.watch(embedding(1))
    if not past:
        site.watcher().check()
    before = site.covered(watch)
    site.see(1, like(1, 0.1, 1))

    def crash(*arguments: object) -> None:
        raise StoreError("the disk is full")

    monkeypatch.setattr("investigation.watching.watcher.save_hits", crash)
    with pytest.raises(StoreError, match="disk is full"):
        site.watcher().check()
    assert (site.tracks(), site.covered(watch)) == ([], before)
    monkeypatch.setattr("investigation.watching.watcher.save_hits", save_hits)
    assert len(site.watcher().check().raised[watch]) == 1
    assert site.watcher().check().raised == {}


def test_two_watchers_raise_one_alert(site: Site) -> None:
    """`crosscam serve` and `watch run` over one store."""
    first, second = site.watcher(), site.watcher()
    watch = site.watch(embedding(1), targets=(NotifyTarget("json://h", "json://h"),))
    first.check()
    second.check()
    site.see(1, like(1, 0.1, 1))
    raised = [*first.check().raised.get(watch, []), *second.check().raised.get(watch, [])]
    assert len(raised) == 1
    assert sending.waiting(site.reader) == 1


def test_the_other_watches_go_on_while_a_long_past_is_read(
    site: Site, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("investigation.watching.watcher.LIVE_SECONDS", 0.0)
    old = site.watch(embedding(1))
    site.watcher().check()
    site.see(1, like(1, 0.1, 1))
    new = site.watch(embedding(1))
    order: list[int] = []

    def note(store: Store, hits: dict[int, list[object]], *rest: object) -> object:
        order.extend(hits)
        return save_hits(store, hits, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr("investigation.watching.watcher.save_hits", note)
    site.see(2, like(1, 0.1, 2))
    site.watcher().check()
    assert order[0] == old
    assert order[-1] == new
    assert site.tracks(old) == site.tracks(new) == [1, 2]


def test_an_alert_says_why(site: Site) -> None:
    site.see(1, like(1, 0.1, 1), "yard")
    site.watch(embedding(1))
    site.watcher().check()
    [alert] = alerts(site.reader)
    assert isinstance(alert, AlertRow)
    shown = alert.as_json()
    assert shown["verdict"] == "strong"
    assert "looks alike" in shown["why"].lower()
    assert shown["time"] == "2023-11-14T22:13:20.550000Z", "of the picture shown: frame 3"
    assert shown["box"] == [1.5, 2.5, 29.0, 78.0]
    assert len(shown["parts"]) == 6
    assert sum(part["share"] for part in shown["parts"]) == pytest.approx(1, abs=1e-4)
