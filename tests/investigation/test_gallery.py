"""The gallery beside the store: what is in, what has left, what a filter lets through."""

from __future__ import annotations

import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import delete, insert, text, update

from investigation.filters import Filters
from investigation.search.gallery import StoreGallery
from reid.errors import ConfigError, FingerprintMismatch, StoreError
from reid.records import PartEmbeddings
from storage.allocator import next_revision
from storage.desk_models import Tombstone
from storage.models import Run, TrackletEmbedding
from storage.queries import StoreReader
from storage.records import CameraRow
from storage.store import Store
from tests.reid.naive import global_distance, part_distance
from tests.storage.conftest import (  # noqa: F401 - fixtures
    media,
    new_postgresql,
    postgresql_server,
    url,
)
from tests.storage.samples import D, K, embedding, points, tracklet

CAMERAS = [
    CameraRow("door", "door.mp4", "hall"),
    CameraRow("desk", "desk.mp4", "hall"),
    CameraRow("yard", "yard.mp4", "outside"),
    CameraRow("road", "road.mp4"),
]
MODEL = "model-a"
NOON = points(1)[0].time


@pytest.fixture
def store(url: str, media: Path) -> Iterator[Store]:  # noqa: F811
    with Store.open(url, media) as opened:
        opened.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        yield opened


@pytest.fixture
def reader(store: Store) -> StoreReader:
    return store.reader()


def save(
    store: Store, run: int, track: int, camera: str = "door", start: float = 0.0, end: float = 1.0,
    seed: int | None = None, model: str = MODEL,
) -> PartEmbeddings:  # fmt: skip
    """A tracklet from NOON + start to NOON + end; its embedding as the store keeps it."""
    made = embedding(track if seed is None else seed, model)
    times = {"start": NOON + start, "end": NOON + end}
    store.save_tracklet(run, replace(tracklet(track, camera, embedded=made), **times))
    store.flush()
    return halved(made)


def halved(made: PartEmbeddings) -> PartEmbeddings:
    """As the store keeps it."""
    half = (a.astype(np.float16).astype(np.float32) for a in (
        made.parts, made.global_parts, made.quality))  # fmt: skip
    return PartEmbeddings(*half, made.fingerprint)


def many(store: Store, count: int = 40) -> dict[int, tuple[str, float, float, PartEmbeddings]]:
    """Tracks 1 to `count`, 10 s each, a new one every 5 s, over the four cameras in turn."""
    run = store.begin_run({}, CAMERAS)
    made = {}
    for track in range(1, count + 1):
        camera, start = CAMERAS[track % 4].id, 5.0 * track
        made[track] = (camera, start, start + 10,
                       save(store, run, track, camera, start, start + 10))  # fmt: skip
    store.finish_run(run)
    return made


def best(probe: PartEmbeddings, gallery: dict[int, PartEmbeddings], n: int, top_n: int = 5):
    """The oracle: Eq. 2 by loops in float64, the first `top_n` by Eq. 15."""

    def parts(e: PartEmbeddings):
        arrays = (e.parts, e.global_parts, e.quality)
        return tuple(np.asarray(a[0], np.float64) for a in arrays)

    f, g, q = parts(probe)
    eq2, eq15 = {}, {}
    for track, item in gallery.items():
        fg, gg, qg = parts(item)
        eq2[track] = part_distance(f, q, fg, qg)
        eq15[track] = 0.6 * eq2[track] + 0.4 * global_distance(g, q, gg, qg)
    order = sorted(eq2, key=eq2.__getitem__)
    return [*sorted(order[:top_n], key=eq15.__getitem__), *order[top_n:]][:n]


def found(gallery: StoreGallery, probe: PartEmbeddings, n: int, where=None) -> list[int]:
    return [match.track for match in gallery.search(probe, n, where)[0]]


def test_it_finds_what_equations_2_and_15_say(store: Store, reader: StoreReader) -> None:
    made = {track: values[3] for track, values in many(store).items()}
    gallery = StoreGallery(reader)
    assert gallery.refresh() == 40
    assert gallery.fingerprint == MODEL
    for seed in range(900, 910):
        assert found(gallery, embedding(seed), 12) == best(embedding(seed), made, 12)
    one = gallery.search(made[7], 1)[0][0]
    assert one.track == 7
    assert one.distance == pytest.approx(0, abs=1e-3)
    assert one.support == pytest.approx(float((made[7].quality ** 2).sum()), rel=1e-3)


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (Filters(), lambda c, s, e: True),
        (Filters(cameras=frozenset({"door", "road"})), lambda c, s, e: c in ("door", "road")),
        (Filters(places=frozenset({"hall"})), lambda c, s, e: c in ("door", "desk")),
        (  # both must hold
            Filters(cameras=frozenset({"door", "yard"}), places=frozenset({"outside"})),
            lambda c, s, e: c == "yard",
        ),
        (Filters(cameras=frozenset()), lambda c, s, e: False),
        (Filters(places=frozenset({"nowhere"})), lambda c, s, e: False),
        (Filters(start=NOON + 100), lambda c, s, e: e >= 100),  # its own end counts
        (Filters(end=NOON + 50), lambda c, s, e: s <= 50),
        (Filters(start=NOON + 62, end=NOON + 63), lambda c, s, e: s <= 63 and e >= 62),
        (Filters(runs=frozenset({99})), lambda c, s, e: False),
    ],
)
def test_filters_come_before_the_first_n(where, passes, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        made = many(store)
        gallery = StoreGallery(store.reader())
        gallery.refresh()
        left = {track: e for track, (c, s, end, e) in made.items() if passes(c, s, end)}
        for seed in range(900, 905):
            expected = best(embedding(seed), left, 8)
            assert found(gallery, embedding(seed), 8, where) == expected


@pytest.mark.parametrize("where", [None, Filters(cameras=frozenset({"door", "yard"}))])
def test_tracks_that_are_left_out_take_no_place_in_the_first_n(
    where: Filters | None, tmp_path: Path
) -> None:
    """A search by an identity of many tracks filled Eq. 15's block with them: the best was missed.

    Track 1 is erased from the store, track 2 was replaced, track 999 never was.
    """
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        made = many(store)
        gallery = StoreGallery(store.reader())
        gallery.refresh()
        save(store, store.begin_run({}, CAMERAS), 2, seed=777)
        erase(store, 1)
        gallery.refresh()
        left = {
            track: values[3]
            for track, values in made.items()
            if track > 2 and (where is None or values[0] in ("door", "yard"))
        }
        for seed in range(900, 905):
            own = best(embedding(seed), left, 9, top_n=0)
            others = {track: e for track, e in left.items() if track not in own}
            matches = gallery.search(embedding(seed), 3, where, left_out=[1, 2, 999, *own])[0]
            assert [match.track for match in matches] == best(embedding(seed), others, 3)


def test_it_follows_new_and_replaced_tracklets(store: Store, reader: StoreReader) -> None:
    run = store.begin_run({}, CAMERAS)
    save(store, run, 1)
    old = save(store, run, 2)
    gallery = StoreGallery(reader)
    gallery.refresh()
    assert gallery.refresh() == 0
    new = save(store, run, 2, "door", 0, 300, seed=77)  # the track went on
    third = save(store, run, 3)
    assert gallery.refresh() == 2
    assert len(gallery) == 3
    assert found(gallery, third, 1) == [3]
    assert gallery.search(new, 1)[0][0].distance == pytest.approx(0, abs=1e-3)
    assert gallery.search(old, 3)[0][0].distance > 0.01  # the embedding it had is gone
    assert sorted(found(gallery, new, 9)) == [1, 2, 3]
    late = Filters(start=NOON + 200)
    assert found(gallery, new, 9, late) == [2]


def test_a_track_that_grows_without_a_new_embedding_is_found_where_it_is(
    store: Store, reader: StoreReader
) -> None:
    """A person who stays for minutes has an early embedding; the last one comes when he leaves."""
    run = store.begin_run({}, CAMERAS)
    probe = save(store, run, 1, "door", 0, 1)
    gallery = StoreGallery(reader)
    gallery.refresh()
    late = Filters(start=NOON + 60)
    assert found(gallery, probe, 9, late) == []
    store.add_points(run, "door", 1, points(1, first=900))  # at NOON + 90
    store.flush()
    gallery.refresh()
    assert found(gallery, probe, 9, late) == [1]


def erase(store: Store, track: int) -> None:
    def work(connection) -> None:
        revision = next_revision(connection)
        connection.execute(delete(TrackletEmbedding).where(TrackletEmbedding.track == track))
        connection.execute(insert(Tombstone).values(track=track, revision=revision))

    store.write(work)


def test_an_erased_track_leaves(store: Store, reader: StoreReader) -> None:
    made = many(store, 10)
    gallery = StoreGallery(reader)
    gallery.refresh()
    erase(store, 4)
    assert gallery.refresh() == 1
    assert len(gallery) == 9
    assert sorted(found(gallery, made[4][3], 20)) == [1, 2, 3, 5, 6, 7, 8, 9, 10]
    fresh = StoreGallery(reader)
    fresh.refresh()
    assert 4 not in found(fresh, made[4][3], 20)


def test_reruns_stay_outside_unless_asked_for(store: Store, reader: StoreReader) -> None:
    first = store.begin_run({}, CAMERAS)
    probe = save(store, first, 1)
    again = store.begin_run({}, CAMERAS)
    store.write(lambda c: c.execute(update(Run).where(Run.id == again).values(rerun_of=first)))
    save(store, again, 2, seed=1)
    one, both = StoreGallery(reader), StoreGallery(reader, reruns=True)
    one.refresh(), both.refresh()
    assert found(one, probe, 9) == [1]
    assert sorted(found(both, probe, 9)) == [1, 2]
    assert found(both, probe, 9, Filters(runs=frozenset({again}))) == [2]


def test_the_newest_model_counts_unless_one_is_named(store: Store, reader: StoreReader) -> None:
    run = store.begin_run({}, CAMERAS)
    store.register_model("model-b", K, D, {})
    old = save(store, run, 1)
    new = save(store, run, 2, model="model-b")
    gallery = StoreGallery(reader)
    gallery.refresh()
    assert gallery.fingerprint == "model-b"
    assert found(gallery, new, 9) == [2]
    with pytest.raises(FingerprintMismatch, match=r"model-b.*model-a"):
        gallery.search(old, 1)
    named = StoreGallery(reader, MODEL)
    named.refresh()
    assert found(named, old, 9) == [1]
    with pytest.raises(StoreError, match=r"model-c.*model-a, model-b"):
        StoreGallery(reader, "model-c")


def test_an_empty_store_is_searched_and_filled(store: Store, reader: StoreReader) -> None:
    gallery = StoreGallery(reader)
    assert gallery.refresh() == 0
    assert gallery.fingerprint is None
    assert gallery.search(embedding(1), 5) == [[]]
    probe = save(store, store.begin_run({}, CAMERAS), 1)
    assert gallery.refresh() == 1
    assert found(gallery, probe, 5) == [1]
    assert found(gallery, probe, 0) == []


def test_damaged_bytes_are_named_and_do_not_spoil_the_rest(
    store: Store, reader: StoreReader
) -> None:
    run = store.begin_run({}, CAMERAS)
    probe = save(store, run, 1)
    gallery = StoreGallery(reader)
    gallery.refresh()
    save(store, run, 2)
    store.write(
        lambda c: c.execute(
            update(TrackletEmbedding).where(TrackletEmbedding.track == 2).values(parts=b"short")
        )
    )
    for _ in range(2):  # it is not forgotten at the second look
        with pytest.raises(StoreError, match=r"track 2, model model-a: 5 bytes of parts"):
            gallery.refresh()
    assert found(gallery, probe, 5) == [1]


def test_what_cannot_be_taken_does_not_shift_the_others(tmp_path: Path) -> None:
    """Rows and tracks once came apart behind a block that was refused."""
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        run = store.begin_run({}, CAMERAS)
        save(store, run, 1)
        good = save(store, run, 2)
        row = TrackletEmbedding.track == 2
        nan = np.full((K, D), np.nan, "<f2").tobytes()
        gallery = StoreGallery(store.reader())
        store.write(lambda c: c.execute(update(TrackletEmbedding).where(row).values(parts=nan)))
        with pytest.raises(StoreError, match=r"tracks 1 to 2.*NaN"):
            gallery.refresh()
        parts = good.parts.astype("<f2").tobytes()
        store.write(lambda c: c.execute(update(TrackletEmbedding).where(row).values(parts=parts)))
        third = save(store, run, 3)
        gallery.refresh()
        assert found(gallery, good, 1) == [2]
        assert found(gallery, third, 1) == [3]


def test_many_blocks_are_read_while_others_are_taken(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("storage.vectors.BLOCK", 8)
    monkeypatch.setattr("investigation.search.gallery.BLOCK", 8)
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        made = {track: values[3] for track, values in many(store, 101).items()}
        gallery = StoreGallery(store.reader())
        assert gallery.refresh() == 101
        assert [found(gallery, e, 1) for e in made.values()] == [[track] for track in made]


def test_faiss_takes_over_and_keeps_following(tmp_path: Path) -> None:
    """With the training in the background, filters, replacement and erasure hold as before."""
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        run = store.begin_run({}, CAMERAS)
        for track in range(1, 1201):
            embedded = embedding(track)
            camera = CAMERAS[track % 4].id
            store.save_tracklet(run, tracklet(track, camera, embedded=embedded))
        store.flush()
        gallery = StoreGallery(store.reader(), large=1000)
        gallery.refresh()
        assert found(gallery, embedding(500), 1) == [500]
        gallery.wait()
        assert not gallery.approximate  # who searches once is done before FAISS would be
        assert found(gallery, embedding(500), 1) == [500]
        gallery.wait()
        assert gallery.approximate
        assert found(gallery, embedding(500), 1) == [500]
        yard = Filters(cameras=frozenset({"yard"}))
        expected = gallery.search(embedding(2000), 10, yard, exact=True)
        assert gallery.search(embedding(2000), 10, yard) == expected
        own = [match.track for match in gallery.search(embedding(2000), 40)[0]]
        kept = {track: halved(embedding(track)) for track in range(1, 1201) if track not in own}
        matches = gallery.search(embedding(2000), 3, left_out=own)[0]
        assert [match.track for match in matches] == best(embedding(2000), kept, 3)
        save(store, run, 500, seed=5000)
        save(store, run, 1201)
        erase(store, 700)
        assert gallery.refresh() == 3
        assert found(gallery, embedding(5000), 1) == [500]
        assert found(gallery, embedding(1201), 1) == [1201]
        assert found(gallery, embedding(700), 1) != [700]


def test_threads_search_while_it_follows(tmp_path: Path) -> None:
    """A track that is replaced again and again is found in every single search, once."""
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {"gamma": 0.6, "top_n": 5})
        run = store.begin_run({}, CAMERAS)
        probe = save(store, run, 1)
        gallery = StoreGallery(store.reader())
        gallery.refresh()
        done, problems, searches = threading.Event(), [], [0, 0]

        def look(who: int) -> None:
            while not done.is_set():
                tracks = found(gallery, probe, 500)
                if tracks.count(1) != 1 or len(set(tracks)) != len(tracks):
                    problems.append(tracks)
                gallery.refresh()
                searches[who] += 1

        threads = [threading.Thread(target=look, args=(who,)) for who in range(2)]
        for thread in threads:
            thread.start()
        for track in range(2, 60):
            save(store, run, track)
            save(store, run, 1)
        done.set()
        for thread in threads:
            thread.join()
        assert not problems
        assert all(searches)
        gallery.refresh()
        assert len(gallery) == 59


def test_a_refresh_with_nothing_new_reads_no_embedding(tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as store:
        store.register_model(MODEL, K, D, {})
        save(store, store.begin_run({}, CAMERAS), 1)
        gallery = StoreGallery(store.reader())
        gallery.refresh()
        store.write(lambda c: c.execute(text("ALTER TABLE tracklets RENAME TO elsewhere")))
        assert gallery.refresh() == 0
        store.write(lambda c: c.execute(text("ALTER TABLE elsewhere RENAME TO tracklets")))


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"start": NOON, "end": NOON - 1}, r"backwards: from 2023-11-14T22:13:20.250000Z to 2023-"),
        ({"start": float("nan")}, "start is nan"),
        ({"end": float("inf")}, "end is inf"),
        ({"start": 1e30, "end": 0.0}, r"backwards: from 1e\+30"),
    ],
)
def test_times_that_make_no_sense_are_refused(values, message) -> None:
    with pytest.raises(ConfigError, match=message):
        Filters(**values)


def test_a_program_may_end_while_faiss_learns(tmp_path: Path) -> None:
    """It once was aborted in the middle of the training: exit code -6 behind a correct answer."""
    place = f"sqlite:///{tmp_path / 'store.db'}"
    with Store.open(place) as store:
        store.register_model(MODEL, K, D, {})
        save(store, store.begin_run({}, CAMERAS), 1)
    code = f"""
import time
from investigation.search.gallery import StoreGallery
from reid.index.gallery import GalleryIndex
from storage.queries import StoreReader

def build(index, stop):
    while not stop():
        time.sleep(0.01)
    print("gave up")

GalleryIndex.build = build
reader = StoreReader.open({place!r})
gallery = StoreGallery(reader, large=1)
gallery.refresh()
probe = reader.embeddings(tracks=[1]).embeddings
for _ in range(3):
    print(gallery.search(probe, 1)[0][0].track)
"""
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == ["1", "1", "1", "gave up"]
