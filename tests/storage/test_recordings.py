"""The index of recordings: rows by camera and time, names that never collide."""

from __future__ import annotations

import pytest

from reid.errors import StoreError
from storage.footage.recordings import (
    begin_recording,
    cut_off,
    drop_recording,
    grow_recording,
    recordings,
    segment_path,
)
from storage.queries import StoreReader
from storage.store import Store
from tests.storage.footage import add_recording
from tests.storage.samples import CAMERAS, NOON


@pytest.fixture
def store(url, media):
    with Store.open(url, media) as opened:
        yield opened


def test_a_segment_grows_and_is_closed(store):
    run = store.begin_run({}, CAMERAS)
    row = begin_recording(
        store, camera="door", run=run, start=NOON, codec="hevc", width=640, height=480,
        suffix=".mkv",
    )  # fmt: skip
    assert (row.start, row.end, row.bytes, row.closed) == (NOON, NOON, 0, False)
    assert row.path.is_absolute() and row.path.is_relative_to(store.media.absolute())
    grow_recording(store, row.id, NOON - 0.5, NOON + 7.25, 4321)
    store.flush()
    (grown,) = recordings(store.reader())
    assert (grown.start, grown.end, grown.bytes, grown.closed) == (
        NOON - 0.5, NOON + 7.25, 4321, False,
    )  # fmt: skip
    assert (grown.id, grown.path, grown.codec, grown.width, grown.height, grown.run) == (
        row.id, row.path, "hevc", 640, 480, run,
    )  # fmt: skip
    grow_recording(store, row.id, NOON, NOON + 8, 5000, closed=True)
    store.flush()
    assert recordings(store.reader())[0].closed
    drop_recording(store, row.id)
    assert recordings(store.reader()) == []


def test_those_that_touch_the_window_by_camera_and_start(store):
    run = store.begin_run({}, CAMERAS)
    yard = add_recording(store, run, "yard", NOON)
    late = add_recording(store, run, "door", NOON + 60)
    early = add_recording(store, run, "door", NOON)
    reader = store.reader()
    assert [r.id for r in recordings(reader)] == [early.id, late.id, yard.id]
    for window, expected in (
        ((NOON - 10, NOON - 0.001), []),
        ((NOON - 10, NOON), [early.id]),
        ((NOON + 10, NOON + 20), [early.id]),
        ((NOON + 60, NOON + 60), [early.id, late.id]),
        ((NOON + 120, None), [late.id]),
        ((NOON + 120.001, None), []),
        ((None, NOON + 59), [early.id]),
    ):
        assert [r.id for r in recordings(reader, "door", *window)] == expected, window


def test_two_segments_never_share_a_file(store):
    """A clock that is set back, two runs over the same footage."""
    first, second = (store.begin_run({}, CAMERAS) for _ in range(2))
    rows = [add_recording(store, run, start=NOON) for run in (first, first, second)]
    assert len({row.path for row in rows}) == 3


def test_names_are_harmless_and_in_utc():
    path = segment_path("../../etc", 12, NOON, 2, ".mp4")
    assert path.startswith("recordings/_.._etc-")
    assert path.endswith("/2023-11-14/221320.250-run000012-2.mp4")


def test_only_segments_of_dead_runs_were_cut_off(store):
    dead, alive = (store.begin_run({}, CAMERAS) for _ in range(2))
    lost = add_recording(store, dead, closed=False)
    add_recording(store, dead)
    add_recording(store, alive, closed=False)
    assert cut_off(store.reader()) == []
    store.finish_run(dead, "interrupted")
    assert [r.id for r in cut_off(store.reader())] == [lost.id]


def test_without_a_media_folder_nobody_can_say_where_they_lie(new_postgresql, media):
    url = new_postgresql()
    with Store.open(url, media) as store:
        add_recording(store, store.begin_run({}, CAMERAS))
    with StoreReader.open(url) as reader, pytest.raises(StoreError, match="--media"):
        recordings(reader)
