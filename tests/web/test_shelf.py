"""What search pages keep in memory: for whom, how long, how much."""

from __future__ import annotations

import numpy as np
import pytest
from fastapi import HTTPException

from investigation.filters import Filters
from investigation.search.photos import whole_picture
from investigation.search.queries import Query, QueryPicture
from tests.storage.samples import embedding
from web import shelf
from web.shelf import Asked, Shelf, UploadedPhoto, Waiting, Wishes


class Clock:
    """Seconds that a test sets."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


def asked(tracks: tuple[int, ...] = (), pixels: int = 10) -> Asked:
    picture = QueryPicture("a", np.zeros((pixels, pixels, 3), np.uint8))
    query = Query("a", embedding(), pictures=(picture,), tracks=frozenset(tracks))
    return Asked(query, Wishes("why"), Filters(), ())


def is_there(kept: Shelf, key: str, owner: str = "ivan") -> bool:
    try:
        kept.find(key, owner, Asked)
    except HTTPException as error:
        assert error.status_code == 404
        return False
    return True


def test_ids_cannot_be_guessed_and_are_of_one_user() -> None:
    kept = Shelf()
    keys = {kept.put("ivan", asked()) for _ in range(50)}
    assert len(keys) == 50
    assert min(map(len, keys)) >= 24  # 18 random bytes
    key = keys.pop()
    assert is_there(kept, key)
    assert not is_there(kept, key, "eve")


def test_one_kind_is_not_taken_for_the_other() -> None:
    kept = Shelf()
    key = kept.put("ivan", asked())
    with pytest.raises(HTTPException):
        kept.find(key, "ivan", Waiting)


def test_what_is_used_stays_and_the_rest_ends() -> None:
    clock = Clock()
    kept = Shelf(clock)
    used, unused = kept.put("ivan", asked()), kept.put("ivan", asked())
    clock.now = 3600 * shelf.HOURS - 1
    assert is_there(kept, used)
    clock.now = 3600 * shelf.HOURS + 1
    assert is_there(kept, used)
    assert not is_there(kept, unused)
    assert len(kept) == 1


def test_one_user_pushes_out_only_their_own() -> None:
    kept = Shelf()
    mine = kept.put("eve", asked())
    keys = [kept.put("ivan", asked()) for _ in range(shelf.MOST_OF_ONE + 5)]
    assert is_there(kept, mine, "eve")
    assert [is_there(kept, key) for key in keys] == [False] * 5 + [True] * shelf.MOST_OF_ONE


def test_memory_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shelf, "MOST_BYTES", 1_000_000)
    kept = Shelf()
    keys = [kept.put("ivan", asked(pixels=400)) for _ in range(4)]  # 480 kB each
    assert [is_there(kept, key) for key in keys] == [False, False, True, True]


def test_erased_tracks_take_their_searches_along() -> None:
    kept = Shelf()
    erased, other = kept.put("ivan", asked((1, 2))), kept.put("ivan", asked((3,)))
    kept.forget_tracks({2})
    assert not is_there(kept, erased)
    assert is_there(kept, other)


def test_the_next_photo_without_a_choice() -> None:
    person = whole_picture(np.zeros((40, 20, 3), np.uint8), "a")
    photos = tuple(UploadedPhoto("a", b"x", 20, 40, (person, person)) for _ in range(3))
    waiting = Waiting(photos, Wishes("why"))
    assert waiting.open == 0
    photos[0].chosen = 1
    photos[1].chosen = -1
    assert waiting.open == 2
    photos[2].chosen = 0
    assert waiting.open is None
    assert waiting.size == 3 * (1 + 2 * 2400)
