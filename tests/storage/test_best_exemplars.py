"""The best picture of many tracks, on each kind of database."""

from __future__ import annotations

from pathlib import Path

from storage.store import Store
from tests.storage.samples import CAMERAS, exemplar, points, tracklet


def test_each_track_gives_its_best_picture(url: str, media: Path) -> None:
    with Store.open(url, media) as store:
        run = store.begin_run({}, CAMERAS)
        for track, shown in (
            (1, ((3, 1.0), (5, 7.0), (9, 2.0))),
            (2, ((4, 3.0), (6, 3.0))),
            (3, ()),
        ):
            store.add_points(run, "door", track, points(10))
            pictures = tuple(exemplar(frame, score) for frame, score in shown)
            store.save_tracklet(run, tracklet(track, exemplars=pictures))
        store.flush()
        reader = store.reader()
        best = reader.best_exemplars([3, 2, 1, 2, 99])
        assert {track: row.frame for track, row in best.items()} == {1: 5, 2: 4}
        for track, row in best.items():
            assert row == reader.exemplars(track)[0]
        assert reader.best_exemplars([]) == {}
