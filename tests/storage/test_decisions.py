"""People's decisions: the identity follows at once, nothing is lost, and an undo gives it back."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from sqlalchemy import select, text, update

from reid.errors import StoreError
from storage.audit import entries
from storage.decisions.decide import DecisionRow, Decisions, decisions, rejected
from storage.models import LedgerEntry, Run
from storage.store import Store
from tests.storage.samples import CAMERAS, decision, points

# track -> identity of the matcher; 6 is not decided yet; 7 is another run's; 8 a re-run's
LINKED = {1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: None, 7: 3, 8: 4}


@pytest.fixture
def store(sqlite_url: str, media: Path) -> Iterator[Store]:
    yield from filled(sqlite_url, media)


@pytest.fixture
def either(url: str, media: Path) -> Iterator[Store]:
    """On each kind of database, for what its SQL, locks or triggers decide."""
    yield from filled(url, media)


def filled(url: str, media: Path) -> Iterator[Store]:
    with Store.open(url, media) as opened:
        for tracks in ((1, 2, 3, 4, 5, 6), (7,), (8,)):
            run = opened.begin_run({}, CAMERAS)
            for track in tracks:
                opened.add_points(run, "door", opened.track_allocator().next_id(), points(3))
                identity = LINKED[track]
                if identity is not None:
                    known = identity in [LINKED[t] for t in range(1, track)]
                    if not known:
                        assert opened.identity_allocator().next_id() == identity
                    opened.link(run, decision(track, identity, "link" if known else "create"))
            opened.finish_run(run)
        opened.write(lambda c: c.execute(update(Run).where(Run.id == 3).values(rerun_of=1)))
        yield opened


def identities(store: Store) -> dict[int, int | None]:
    return {row.id: row.identity for row in store.reader().tracks()}


def person(store: Store) -> Decisions:
    return Decisions(store)


def test_confirm_where_it_is_and_elsewhere(store: Store) -> None:
    desk = person(store)
    same = desk.confirm(2, 1, "anna", "same jacket")
    assert identities(store) == LINKED
    assert (same.id, same.action, same.tracks, same.identity, same.other) == (
        1, "confirm", (2,), 1, None,
    )  # fmt: skip
    moved = desk.confirm(3, 2, "anna", "the other one")
    assert identities(store) == {**LINKED, 3: 2}
    assert (moved.identity, moved.other) == (2, 1)
    last = store.reader().ledger(3)[-1]
    assert (last.action, last.identity, last.candidate) == ("confirm", 2, 1)
    assert (last.actor, last.decision) == ("anna", moved.id)
    assert last.reason == "confirmed: the other one"
    assert [row.action for row in store.reader().ledger(3)] == ["link", "confirm"]
    desk.confirm(6, 1, "anna", "nobody had decided")
    assert identities(store)[6] == 1


def test_reject_gives_an_identity_of_its_own_or_leaves_it(store: Store) -> None:
    desk = person(store)
    out = desk.reject(2, 1, "anna", "taller")
    own = identities(store)[2]
    assert own is not None
    assert own not in LINKED.values()
    assert (out.identity, out.other) == (1, own)
    stays = desk.reject(4, 1, "anna", "not this one either")
    assert (stays.identity, stays.other) == (1, 2)
    assert identities(store) == {**LINKED, 2: own}
    nobody = desk.reject(6, 1, "anna", "nor this")
    assert identities(store)[6] == nobody.other
    assert rejected(store.reader()) == {(2, 1), (4, 1), (6, 1)}
    row = {i.id: i for i in store.reader().identities()}[own]
    assert (row.run, row.tracks) == (1, 1)


def test_merge_also_across_runs(store: Store) -> None:
    merged = person(store).merge(1, 3, "anna", "came back the next day")
    assert identities(store) == {**LINKED, 7: 1}
    assert (merged.identity, merged.other, merged.tracks) == (1, 3, (7,))
    with pytest.raises(StoreError, match=r"identity 3 has no tracks any more \(it was merged .* 1"):
        person(store).confirm(2, 3, "anna", "x")


def test_split(store: Store) -> None:
    split = person(store).split(1, [3, 2], "anna", "two people")
    new = identities(store)[2]
    assert new not in LINKED.values()
    assert identities(store) == {**LINKED, 2: new, 3: new}
    assert (split.tracks, split.identity, split.other) == ((2, 3), 1, new)
    assert rejected(store.reader()) == {(2, 1), (3, 1)}


ACTIONS: dict[str, Callable[[Decisions], DecisionRow]] = {
    "confirm": lambda d: d.confirm(3, 2, "anna", "x"),
    "reject": lambda d: d.reject(2, 1, "anna", "x"),
    "merge": lambda d: d.merge(2, 1, "anna", "x"),
    "split": lambda d: d.split(1, [2, 3], "anna", "x"),
}


@pytest.mark.parametrize("action", ACTIONS)
def test_undo_gives_it_back_once(store: Store, action: str) -> None:
    done = ACTIONS[action](person(store))
    assert identities(store) != LINKED
    undo = person(store).undo(done.id, "bert", "a mistake")
    assert identities(store) == LINKED
    assert rejected(store.reader()) == frozenset()
    assert (undo.action, undo.undoes, undo.tracks) == ("undo", done.id, done.tracks)
    newest, first = decisions(store.reader())
    assert (newest, first.undone_by) == (undo, undo.id)
    with pytest.raises(StoreError, match=rf"decision {undo.id} did so already"):
        person(store).undo(done.id, "bert", "again")
    with pytest.raises(StoreError, match=rf"itself the undo of decision {done.id}; decide again"):
        person(store).undo(undo.id, "bert", "back")
    ACTIONS[action](person(store))
    assert identities(store) != LINKED


def test_undo_is_refused_while_a_later_decision_stands(either: Store) -> None:
    desk = person(either)
    first = desk.confirm(2, 2, "anna", "x")
    second = desk.merge(1, 2, "bert", "x")
    desk.reject(7, 1, "carl", "another track: not in the way")
    with pytest.raises(
        StoreError, match=rf"decision {second.id} \(merge, by bert\) came later and .* track 2 "
    ):
        desk.undo(first.id, "anna", "x")
    desk.undo(second.id, "anna", "x")
    desk.undo(first.id, "anna", "x")
    assert {t: identities(either)[t] for t in (1, 2, 3, 4, 5)} == {1: 1, 2: 1, 3: 1, 4: 2, 5: 2}


def test_undo_follows_a_later_merge_of_the_old_identity(store: Store) -> None:
    """The rejected track returns to the person, whose identity is another by now."""
    desk = person(store)
    out = desk.reject(2, 1, "anna", "x")
    desk.merge(2, 1, "anna", "x")
    desk.undo(out.id, "anna", "x")
    assert identities(store)[2] == 2


def test_undoing_a_split_and_then_a_later_merge_leaves_no_track_behind(either: Store) -> None:
    """Track 2 stayed with strangers: the merge's undo did not know it."""
    desk = person(either)
    split = desk.split(1, [2], "anna", "x")
    first = desk.merge(2, 1, "bert", "x")
    second = desk.merge(3, 2, "carl", "both")
    undo = desk.undo(split.id, "anna", "x")
    assert {identities(either)[t] for t in (1, 2, 3, 4, 5, 7)} == {3}
    rows = either.reader().ledger(2)[-3:]
    assert [(row.identity, row.candidate, row.decision) for row in rows] == [
        (1, split.other, undo.id), (2, 1, first.id), (3, 2, second.id),
    ]  # fmt: skip
    assert (rows[1].actor, rows[1].action) == ("crosscam", "merge")
    assert rows[1].reason == f"follows decision {first.id}: identity 1 merged into 2: x"
    kept = {d.id: d for d in decisions(either.reader())}
    assert kept[first.id].tracks == (1, 2, 3), "the merge has it now"
    assert undo.tracks == (2,)
    desk.undo(second.id, "anna", "x")
    assert identities(either)[2] == 2
    desk.undo(first.id, "anna", "x")
    assert identities(either) == LINKED


def moved(store: Store, tracks: tuple[int, ...], identity: int) -> None:
    """The matcher takes tracks to an identity."""
    for track in tracks:
        store.link(1, decision(track, identity, "move"))
    store.flush()


def test_undo_leaves_a_track_that_the_decision_did_not_move(either: Store) -> None:
    """Undoing the note that 4 is not identity 1 tore it out of where it is with 5."""
    desk = person(either)
    note = desk.reject(4, 1, "anna", "x")
    same = desk.confirm(2, 1, "anna", "x")
    moved(either, (4, 5), 9)
    desk.undo(note.id, "anna", "x")
    desk.undo(same.id, "anna", "x")
    assert identities(either) == {**LINKED, 4: 9, 5: 9}
    assert rejected(either.reader()) == frozenset()


@pytest.mark.parametrize(
    ("decide", "undone", "rest"),
    [
        (lambda d: d.reject(2, 1, "anna", "x"), 2, (1, 3)),
        (lambda d: d.split(1, [2], "anna", "x"), 2, (1, 3)),
        (lambda d: d.confirm(5, 1, "anna", "x"), 5, (4,)),
    ],
)
def test_undo_follows_the_old_identity_that_the_matcher_moved(
    store: Store, decide: Callable[[Decisions], DecisionRow], undone: int, rest: tuple[int, ...]
) -> None:
    """The track came back to a number that nobody else has any more."""
    done = decide(person(store))
    moved(store, rest, 9)
    moved(store, rest, 11)
    person(store).undo(done.id, "anna", "x")
    assert {identities(store)[track] for track in (undone, *rest)} == {11}
    assert store.reader().ledger(undone)[-1].decision == 2, "one row: it is the undo's"


def test_undo_follows_merges_and_the_matcher_in_turn(store: Store) -> None:
    desk = person(store)
    out = desk.reject(2, 1, "anna", "x")
    moved(store, (1, 3), 9)
    merge = desk.merge(2, 9, "anna", "x")
    moved(store, (1, 3, 4, 5), 11)
    desk.undo(out.id, "anna", "x")
    assert {identities(store)[track] for track in (1, 2, 3, 4, 5)} == {11}
    desk.undo(merge.id, "anna", "x")
    assert identities(store) == {**LINKED, 1: 9, 2: 9, 3: 9, 4: 11, 5: 11}


def test_undo_does_not_follow_single_tracks_or_earlier_moves(store: Store) -> None:
    moved(store, (3,), 2)
    desk = person(store)
    out = desk.reject(5, 2, "anna", "x")
    moved(store, (3,), 9)
    desk.undo(out.id, "anna", "x")
    assert identities(store)[5] == 2, "4 is still there"
    merge = desk.merge(1, 2, "anna", "x")
    desk.undo(merge.id, "anna", "x")
    assert {identities(store)[track] for track in (4, 5)} == {2}, "3 left before the merge"


def test_undo_of_what_nobody_had_decided(store: Store) -> None:
    desk = person(store)
    done = desk.confirm(6, 1, "anna", "x")
    desk.undo(done.id, "anna", "x")
    assert identities(store)[6] not in (None, *LINKED.values())


def test_a_rejected_pair_follows_merges_and_ends_with_a_confirmation(either: Store) -> None:
    desk = person(either)
    desk.reject(4, 1, "anna", "x")
    desk.merge(3, 1, "anna", "x")
    assert rejected(either.reader()) == {(4, 1), (4, 3)}
    # the matcher moves identity 3 into 9: it takes the rejection along
    for track in (1, 2, 3, 7):
        either.link(1, decision(track, 9, "move"))
    either.flush()
    assert rejected(either.reader()) == {(4, 1), (4, 3), (4, 9)}
    undone = desk.confirm(4, 9, "anna", "after all")
    assert rejected(either.reader()) == frozenset()
    desk.undo(undone.id, "anna", "x")
    assert rejected(either.reader()) == {(4, 1), (4, 3), (4, 9)}


def test_a_merge_ends_the_rejections_between_the_two(store: Store) -> None:
    desk = person(store)
    desk.reject(4, 1, "anna", "x")
    desk.reject(1, 2, "anna", "x")
    desk.merge(1, 2, "anna", "one person after all")
    assert rejected(store.reader()) == frozenset()


WRONG: dict[str, tuple[Callable[[Decisions], object], str]] = {
    "track": (lambda d: d.confirm(99, 1, "a", "x"), "has no track 99"),
    "identity": (lambda d: d.reject(1, 99, "a", "x"), "has no identity 99"),
    "itself": (lambda d: d.merge(1, 1, "a", "x"), "identity 1 cannot be merged with itself"),
    "all": (lambda d: d.split(2, [4, 5], "a", "x"), "identity 2 has only the tracks 4, 5"),
    "alone": (lambda d: d.reject(7, 3, "a", "x"), "track 7 is all that identity 3 has"),
    "foreign": (lambda d: d.split(1, [4], "a", "x"), "track 4 is not of identity 1, .* identity 2"),
    "unlinked": (lambda d: d.split(1, [6], "a", "x"), "track 6 is not of identity 1, .* none"),
    "nothing": (lambda d: d.split(1, [], "a", "x"), "identity 1: no track was named"),
    "decision": (lambda d: d.undo(99, "a", "x"), "has no decision 99"),
    "re-run": (lambda d: d.merge(1, 4, "a", "x"), "run 3 is a re-run of run 1"),
    "re-run too": (lambda d: d.confirm(8, 1, "a", "x"), "run 3 is a re-run of run 1"),
    "no reason": (lambda d: d.merge(1, 2, "a", "  "), "merge: the reason is empty"),
    "nobody": (lambda d: d.merge(1, 2, "", "x"), "merge: the actor is empty"),
    "erased": (lambda d: d.confirm(50, 1, "a", "x"), "track 50 was erased"),
}


def test_what_cannot_be_decided_says_why_and_changes_nothing(either: Store) -> None:
    either.write(lambda c: c.execute(text("INSERT INTO tombstones VALUES (50, 7)")))
    counters = text("SELECT kind, next FROM counters ORDER BY kind")
    with either.reader().connection() as connection:
        before = connection.execute(counters).all()
    for function, message in WRONG.values():
        with pytest.raises(StoreError, match=message):
            function(person(either))
    assert identities(either) == LINKED
    assert decisions(either.reader()) == []
    assert entries(either.reader()) == []
    with either.reader().connection() as connection:
        assert connection.execute(counters).all() == before, "no id is lost by a refusal"


def test_each_decision_is_one_audit_entry(store: Store) -> None:
    desk = person(store)
    desk.reject(2, 1, "anna", "taller", address="10.0.0.7")
    desk.undo(1, "bert", "no")
    own = decisions(store.reader())[-1].other
    undo, reject = entries(store.reader())
    assert (reject.actor, reject.action, reject.subject) == ("anna", "decide", "track 2")
    assert (reject.reason, reject.address) == ("taller", "10.0.0.7")
    assert reject.details == {
        "decision": 1, "action": "reject", "tracks": [2], "identity": 1, "other": own,
    }  # fmt: skip
    assert (undo.actor, undo.subject, undo.details["undoes"]) == ("bert", "decision 1", 1)


def test_decisions_are_append_only_and_hold_no_ids(either: Store) -> None:
    person(either).merge(1, 2, "anna", "x")
    for change in ("UPDATE decisions SET actor = 'b'", "DELETE FROM decisions"):
        with pytest.raises(StoreError, match="append-only"), either.reader().connection() as c:
            c.execute(text(change))
    with either.reader().connection() as connection:
        assert connection.execute(text("SELECT undoes, details FROM decisions")).first() in [
            (None, "{}"), (None, {}),
        ]  # fmt: skip


def test_lists_are_narrowed_and_paged(either: Store) -> None:
    desk = person(either)
    desk.confirm(2, 1, "anna", "x")
    desk.reject(4, 1, "bert", "x")
    desk.merge(2, 3, "anna", "x")
    reader = either.reader()
    assert [d.id for d in decisions(reader)] == [3, 2, 1]
    assert [d.id for d in decisions(reader, limit=1)] == [3]
    assert [d.id for d in decisions(reader, before=3)] == [2, 1]
    assert [d.id for d in decisions(reader, track=2)] == [1]
    assert [d.id for d in decisions(reader, identity=1)] == [2, 1]
    assert [d.id for d in decisions(reader, identity=3)] == [3]
    assert [d.id for d in decisions(reader, actor="bert")] == [2]
    first = decisions(reader)[-1].as_json()
    assert first["time"].endswith("Z")
    assert {key: first[key] for key in ("decision", "action", "tracks")} == {
        "decision": 1, "action": "confirm", "tracks": [2],
    }  # fmt: skip


def test_two_people_decide_at_once(url: str, either: Store, media: Path) -> None:
    """Each in a process of their own: every decision sees what the one before it left."""
    errors: list[Exception] = []

    def split(own: Store, tracks: list[int]) -> None:
        for track in tracks:
            try:
                person(own).split(1, [track], "anna", "x")
            except StoreError as error:
                errors.append(error)

    with Store.open(url, media) as other:
        threads = [
            threading.Thread(target=split, args=(own, tracks))
            for own, tracks in ((either, [1, 2, 3]), (other, [3, 2, 1]))
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    done = decisions(either.reader())
    assert len(done) == 2, "the last track has nobody left to be split from"
    assert len(errors) == 4
    with either.reader().connection() as connection:
        rows = connection.execute(select(LedgerEntry.track).where(LedgerEntry.decision > 0))
        assert sorted(rows.scalars()) == sorted(d.tracks[0] for d in done)
