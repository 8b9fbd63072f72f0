"""Ids are dense in one process and never given twice by several."""

from __future__ import annotations

import threading
from pathlib import Path

from storage.store import Store


def test_ids_are_dense_from_one_over_sessions(url: str, media: Path) -> None:
    expected = 1
    for count in (3, 0, 150, 1):  # within, beside and over a block
        with Store.open(url, media) as store:
            for _ in range(count):
                assert store.track_allocator().next_id() == expected
                expected += 1
    with Store.open(url, media) as store:
        assert store.identity_allocator().next_id() == 1


def test_two_stores_and_many_threads_never_share_an_id(url: str, media: Path) -> None:
    found: list[int] = []

    def take(store: Store) -> None:
        mine = [store.track_allocator().next_id() for _ in range(100)]
        assert mine == sorted(mine)
        found.extend(mine)

    with Store.open(url, media) as one, Store.open(url, media) as two:
        threads = [threading.Thread(target=take, args=(s,)) for s in (one, two, one, two)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert len(found) == len(set(found)) == 400
    with Store.open(url, media) as store:
        assert store.track_allocator().next_id() > max(found)


def test_a_block_is_not_given_back_below_another(sqlite_url: str) -> None:
    with Store.open(sqlite_url) as one:
        assert one.track_allocator().next_id() == 1
        with Store.open(sqlite_url) as two:
            later = two.track_allocator().next_id()
            assert later > 1
            one.close()
            assert two.track_allocator().next_id() == later + 1
    with Store.open(sqlite_url) as store:
        assert store.track_allocator().next_id() == later + 2
