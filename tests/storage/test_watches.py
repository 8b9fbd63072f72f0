"""Watches and alerts as rows, on both databases."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from reid.errors import ConfigError, StoreError
from storage.audit import entries
from storage.erasure.erase import erase
from storage.store import Store
from storage.watches import sending
from storage.watches.alerts import NewAlert, alerts, mark_seen, one_alert, save_hits
from storage.watches.edit import NewWatch, add_watch, end_expired, end_watch
from storage.watches.rows import (
    NotifyTarget,
    WatchRow,
    one_watch,
    watch_queries,
    watches,
)
from tests.storage.samples import CAMERAS, NOON, decision, embedding, points, tracklet

SECRET = "json://hook:hunter2@10.0.0.9/path"
NEW = NewWatch(
    name="Missing: blue coat",
    actor="ada",
    reason="child missing since noon",
    expires=time.time() + 3600,
    embedding=embedding(1),
    weights=(1, 1, 1, 0.5, 0, 0),
    level="possible",
    cameras=("yard", "door"),
    targets=(NotifyTarget(SECRET, "json://hook:****@10.0.0.9/path"),),
    attach_picture=True,
    base_url="https://desk.example",
    picture=b"\xff\xd8 who is looked for",
    tracks=(2,),
    identity=1,
    photos=("a.jpg",),
)


@pytest.fixture
def store(url: str, media: Path) -> Iterator[Store]:
    """One run; tracks 1 (door), 2 and 3 (yard) are embedded."""
    with Store.open(url, media) as opened:
        run = opened.begin_run({}, CAMERAS)
        opened.register_model("model-a", 6, 8, {})
        for track, camera in ((1, "door"), (2, "yard"), (3, "yard")):
            opened.add_points(run, camera, track, points(10))
            opened.save_tracklet(run, tracklet(track, camera, embedded=embedding(track)))
        opened.link(run, decision(1, 7))
        opened.flush()
        yield opened


def hit(track: int = 1, distance: float = 0.2, **changes: object) -> NewAlert:
    evidence = {"why": "looks alike", "box": [1, 2, 3, 4], "parts": []}
    one = NewAlert(track, NOON + 1, distance, 1.5, "strong", evidence)
    return replace(one, **changes)  # type: ignore[arg-type]


def raise_one(store: Store, watch: int, *hits: NewAlert, covered: int = 3) -> list[int]:
    return save_hits(store, {watch: hits}, {watch: covered}, time.time()).get(watch, [])


def row(store: Store, watch: int) -> WatchRow:
    return one_watch(store.reader(), watch)


def test_a_watch_comes_back_as_it_was_added(store: Store) -> None:
    watch = add_watch(store, NEW)
    found = row(store, watch)
    assert (found.name, found.actor, found.reason, found.level) == (
        NEW.name, NEW.actor, NEW.reason, NEW.level,
    )  # fmt: skip
    assert found.expires == pytest.approx(NEW.expires, abs=1e-6)
    assert found.weights == NEW.weights
    assert found.cameras == ("door", "yard")
    assert found.targets == NEW.targets
    assert (found.attach_picture, found.base_url) == (True, NEW.base_url)
    assert (found.tracks, found.identity, found.photos) == ((2,), 1, ("a.jpg",))
    assert (found.state, found.past, found.covered) == ("active", None, 0)
    assert found.picture is not None
    assert found.picture.read_bytes() == NEW.picture
    query = watch_queries(store.reader(), [watch])[watch]
    assert query.fingerprint == "model-a"
    for name in ("parts", "global_parts", "quality"):
        expected = getattr(NEW.embedding, name).astype("<f2")
        assert (getattr(query, name) == expected).all()


def test_no_listing_shows_a_secret(store: Store) -> None:
    watch = add_watch(store, NEW)
    end_watch(store, watch, "ada", "found")
    shown = [repr(row(store, watch)), str(row(store, watch).as_json()), repr(NEW)]
    shown += [str(entry) for entry in entries(store.reader())]
    assert not any("hunter2" in text for text in shown)
    assert "json://hook:****@10.0.0.9/path" in str(row(store, watch).as_json())


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"name": "  "}, "needs a name"),
        ({"reason": " "}, "needs a reason"),
        ({"level": "certain"}, "'certain' is none of strong, possible"),
        ({"expires": 1.0}, "would expire in"),
        ({"expires": time.time() + 400 * 86_400}, "at most 366"),
        ({"weights": (1.0, 1.0)}, "are not 6 numbers"),
        ({"weights": (0.0,) * 6}, "nothing is left to compare"),
        ({"weights": (float("nan"),) + (1.0,) * 5}, "0..1"),
    ],
)
def test_what_makes_no_sense_is_refused(
    tmp_path: Path, changes: dict[str, object], says: str
) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'x.db'}") as store:
        with pytest.raises(ConfigError, match=says):
            add_watch(store, replace(NEW, **changes))  # type: ignore[arg-type]
        assert watches(store.reader()) == []


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"cameras": ("cellar",)}, "has no camera cellar; it has: door, yard"),
        ({"cameras": ()}, "none was named"),
        ({"embedding": embedding(1, "model-b")}, "knows no model model-b; it has: model-a"),
        ({"embedding": embedding(1, d=4), "weights": None}, r"the query has \(6, 4\)"),
    ],
)
def test_what_the_store_does_not_know_is_refused_and_leaves_nothing(
    store: Store, changes: dict[str, object], says: str
) -> None:
    with pytest.raises(StoreError, match=says):
        add_watch(store, replace(NEW, **changes))  # type: ignore[arg-type]
    assert watches(store.reader()) == []
    assert not list(store.media.rglob("watches/*"))
    assert add_watch(store, NEW)  # the writer goes on


def test_a_watch_for_what_was_erased_meanwhile_is_refused(store: Store) -> None:
    """`crosscam erase` beside a server that held its query: it watched for the erased look."""
    store.finish_run(1)
    erase(store, 7, "root", "request")
    with pytest.raises(StoreError, match=r"has no track 1 any more, which watch 'Missing: blue"):
        add_watch(store, replace(NEW, tracks=(1, 2)))
    assert watches(store.reader()) == []
    assert not list(store.media.rglob("watches/*"))
    assert add_watch(store, NEW)


def test_unknown_and_ended_watches_are_named(store: Store) -> None:
    with pytest.raises(StoreError, match="has no watch 5; it has: no watch at all"):
        row(store, 5)
    with pytest.raises(StoreError, match="has no watch 5"):
        end_watch(store, 5, "ada", "")
    watch = add_watch(store, NEW)
    end_watch(store, watch, "ada", "found")
    assert row(store, watch).state == "ended"
    with pytest.raises(StoreError, match=f"watch {watch} ended already"):
        end_watch(store, watch, "ada", "found")


def test_every_change_leaves_an_audit_row(store: Store) -> None:
    watch = add_watch(store, NEW)
    [alert] = raise_one(store, watch, hit())
    mark_seen(store, [alert], "bob")
    end_watch(store, watch, "ada", "she was found")
    trail = [(e.actor, e.action, e.subject, e.reason) for e in entries(store.reader())]
    assert trail == [
        ("ada", "watch", f"watch {watch}", "she was found"),
        ("bob", "alert-seen", f"alert {alert}", ""),
        ("ada", "watch", f"watch {watch}", NEW.reason),
    ]


def test_a_watch_expires_by_itself_and_raises_nothing_more(store: Store) -> None:
    watch = add_watch(store, NEW)
    lasting = add_watch(store, replace(NEW, expires=NEW.expires + 3600))
    later = NEW.expires + 1
    assert save_hits(store, {watch: [hit()]}, {watch: 3}, later) == {}
    assert end_expired(store, later) == [watch]
    assert end_expired(store, later) == []
    assert row(store, watch).ended == pytest.approx(NEW.expires, abs=1e-6)
    assert row(store, lasting).state == "active"
    assert alerts(store.reader()) == []
    [entry] = entries(store.reader(), actor="crosscam")
    assert (entry.subject, entry.reason) == (f"watch {watch}", "it expired")


def test_one_alert_for_a_watch_and_a_track_and_better_evidence_replaces(store: Store) -> None:
    watch, other = add_watch(store, NEW), add_watch(store, NEW)
    [alert] = raise_one(store, watch, hit(distance=0.2), covered=4)
    assert raise_one(store, watch, hit(distance=0.3, verdict="possible"), covered=5) == []
    assert one_alert(store.reader(), alert).distance == 0.2
    better = hit(distance=0.1, time=NOON + 2, evidence={"why": "closer"})
    assert raise_one(store, watch, better, covered=6) == []
    found = one_alert(store.reader(), alert)
    assert (found.distance, found.time, found.evidence) == (0.1, NOON + 2, {"why": "closer"})
    assert len(raise_one(store, other, hit(), covered=6)) == 1
    assert row(store, watch).covered == 6
    raise_one(store, watch, covered=5)
    assert row(store, watch).covered == 6, "it never goes back"


def test_an_erased_track_and_an_ended_watch_raise_nothing(store: Store) -> None:
    watch = add_watch(store, NEW)
    assert raise_one(store, watch, hit(track=99)) == []
    end_watch(store, watch, "ada", "found")
    assert raise_one(store, watch, hit()) == []
    assert alerts(store.reader()) == []


def test_alerts_and_the_revision_stand_or_fall_together(store: Store) -> None:
    watch = add_watch(store, NEW)
    with pytest.raises(StoreError, match="cannot be stored"):
        raise_one(store, watch, hit(1), hit(2, evidence={"why": float("nan")}), covered=9)
    assert alerts(store.reader()) == []
    assert row(store, watch).covered == 0


def test_alerts_are_listed_newest_first_with_their_tracks_identity(store: Store) -> None:
    watch, other = add_watch(store, NEW), add_watch(store, NEW)
    first = raise_one(store, watch, hit(1))
    second = raise_one(store, other, hit(1), hit(3))
    reader = store.reader()
    assert [a.id for a in alerts(reader)] == sorted(first + second, reverse=True)
    assert [a.id for a in alerts(reader, watch=watch)] == first
    assert [a.track for a in alerts(reader, cameras=frozenset({"yard"}))] == [3]
    assert [a.id for a in alerts(reader, after=first[0])] == sorted(second, reverse=True)
    assert [a.id for a in alerts(reader, before=second[0])] == first
    shown = one_alert(reader, first[0]).as_json()
    assert (shown["identity"], shown["camera"], shown["place"]) == (7, "door", "Front door")
    assert shown["time"] == "2023-11-14T22:13:21.250000Z"
    assert (shown["box"], shown["why"]) == ([1, 2, 3, 4], "looks alike")
    assert row(store, other).alerts == 2


def test_who_saw_an_alert_first_stays(store: Store) -> None:
    watch = add_watch(store, NEW)
    ids = raise_one(store, watch, hit(1), hit(3))
    assert row(store, watch).unseen == 2
    assert mark_seen(store, ids[:1], "ada") == ids[:1]
    assert mark_seen(store, ids, "bob") == ids[1:]
    assert [a.seen_by for a in alerts(store.reader())] == ["bob", "ada"]
    assert alerts(store.reader(), unseen=True) == []
    assert row(store, watch).unseen == 0
    with pytest.raises(StoreError, match="has no alert 77"):
        mark_seen(store, [*ids, 77], "bob")


def test_the_state_says_when_the_model_changed(store: Store) -> None:
    watch = add_watch(store, NEW)
    store.register_model("model-b", 6, 8, {})
    run = store.begin_run({}, CAMERAS)
    store.add_points(run, "door", 4, points(3))
    store.save_tracklet(run, tracklet(4, embedded=embedding(4, "model-b")))
    store.flush()
    found = row(store, watch)
    assert (found.state, found.newest_model) == ("other model", "model-b")


# ---- sending -------------------------------------------------------------------------------------


def test_a_job_is_claimed_once_and_again_after_a_crash(store: Store) -> None:
    watch = add_watch(store, NEW)
    [alert] = raise_one(store, watch, hit())
    now = time.time() + 1
    job = sending.claim(store, now)
    assert job is not None
    assert (job.alert, job.url, job.attach_picture) == (alert, SECRET, True)
    assert "hunter2" not in repr(job)
    assert sending.claim(store, now + 1) is None, "another process sends it"
    again = sending.claim(store, now + sending.LEASE_SECONDS + 1)
    assert again is not None, "the process that had it is gone"
    sending.settle(store, again, now, None)
    assert sending.claim(store, now + 1e6) is None
    assert sending.waiting(store.reader()) == 0
    entry = one_alert(store.reader(), alert).sent["targets"]["0"]
    assert (entry["state"], entry["attempts"]) == ("sent", 1)


def test_a_failing_target_is_left_in_peace_and_gets_everything_in_the_end(store: Store) -> None:
    watch = add_watch(store, NEW)
    raise_one(store, watch, hit(1), hit(2), hit(3))
    now, attempts, sent = time.time() + 1, [], set()
    back = now + 600  # the target works again after ten minutes
    while now < back + 700:
        job = sending.claim(store, now)
        if job is None:
            now += 5
            continue
        attempts.append(now)
        ok = now >= back
        sending.settle(store, job, now, None if ok else "connection refused")
        if ok:
            assert job.alert not in sent, "sent once"
            sent.add(job.alert)
    assert len(sent) == 3
    assert sending.waiting(store.reader()) == 0
    # Three alerts, ten minutes: pauses of 5, 5, 5, 10, ... seconds up to a minute of silence.
    assert sum(a < back for a in attempts) < 30
    assert max(attempts) < back + sending.LONGEST_PAUSE + 10


def test_one_bad_alert_does_not_hold_up_the_others(store: Store) -> None:
    watch = add_watch(store, NEW)
    bad, *_ = raise_one(store, watch, hit(1), hit(2), hit(3))
    now, sent = time.time() + 1, []
    while len(sent) < 2:
        job = sending.claim(store, now)
        if job is None:
            now += 1
            continue
        sending.settle(store, job, now, "413 too large" if job.alert == bad else None)
        if job.alert != bad:
            sent.append(now)
    assert max(sent) - time.time() < 2 * sending.LONGEST_SILENCE


def test_targets_fail_apart_and_pauses_grow(store: Store) -> None:
    two = (NotifyTarget("json://good", "json://good"), NotifyTarget("json://bad", "json://bad"))
    watch = add_watch(store, replace(NEW, targets=two))
    [alert] = raise_one(store, watch, hit())
    now = time.time() + 1
    for _ in range(2):
        job = sending.claim(store, now)
        assert job is not None
        sending.settle(store, job, now, None if job.url == "json://good" else "no route")
    entries_ = one_alert(store.reader(), alert).sent["targets"]
    assert [entries_[p]["state"] for p in "01"] == ["sent", "waiting"]
    assert entries_["1"]["error"] == "no route"
    assert sending.claim(store, now + sending.FIRST_PAUSE - 1) is None
    job = sending.claim(store, now + sending.FIRST_PAUSE + 0.01)
    assert job is not None
    assert job.url == "json://bad"
    assert [sending.pause(n) for n in (1, 2, 3, 50)] == [5, 10, 20, sending.LONGEST_PAUSE]
    sending.settle(store, job, now + sending.GIVE_UP_SECONDS + 60, "no route")
    assert one_alert(store.reader(), alert).sent["targets"]["1"]["state"] == "given up"
    assert sending.waiting(store.reader()) == 0


def test_what_is_not_to_be_sent_waits_for_nobody(store: Store) -> None:
    watch = add_watch(store, NEW)
    raise_one(store, watch, hit(send=False))
    assert sending.waiting(store.reader()) == 0


def test_a_watch_that_somebody_ended_sends_nothing_more(store: Store) -> None:
    """She was found, and the desk's phones went on ringing."""
    watch = add_watch(store, replace(NEW, targets=NEW.targets * 2))
    first, second = raise_one(store, watch, hit(1), hit(3))
    now = time.time()
    job = sending.claim(store, now)
    assert job is not None
    assert (job.alert, job.place) == (first, "0")
    end_watch(store, watch, "ada", "she was found")
    assert sending.claim(store, now) is None
    for alert in (first, second):
        entry = one_alert(store.reader(), alert).sent["targets"]["1"]
        assert (entry["state"], entry["error"]) == ("given up", "the watch was ended")
    sending.settle(store, job, now, "nobody there")
    assert one_alert(store.reader(), first).sent["targets"]["0"]["state"] == "given up"
    assert sending.claim(store, now + 3600) is None
    assert sending.waiting(store.reader()) == 0


def test_what_was_raised_in_time_is_sent_after_the_watch_expired(store: Store) -> None:
    watch = add_watch(store, NEW)
    [alert] = raise_one(store, watch, hit())
    later = NEW.expires + 1
    end_expired(store, later)
    job = sending.claim(store, later)
    assert job is not None
    assert job.alert == alert
