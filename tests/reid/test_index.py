from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch

from reid.distances import part_distance, rescore, support, tensors
from reid.errors import FingerprintMismatch
from reid.index.gallery import GalleryIndex
from reid.index.proposals import Proposals, Recipe
from reid.index.rows import Rows, Units
from reid.records import PartEmbeddings

GAMMA = 0.6


@pytest.fixture(autouse=True, scope="module")
def one_thread():
    """On a busy machine FAISS's threads wait for one another, a thousand times a training."""
    import faiss

    before = faiss.omp_get_max_threads()
    faiss.omp_set_num_threads(1)
    yield
    faiss.omp_set_num_threads(before)


def embeddings(seed: int, n: int, k: int = 3, d: int = 8, model: str = "m") -> PartEmbeddings:
    rng = np.random.default_rng(seed)
    return PartEmbeddings(
        rng.normal(size=(n, k, d)).astype(np.float32) * 7,
        rng.normal(size=(n, k, d)).astype(np.float32) + 0.5,
        rng.uniform(0.01, 1, (n, k)).astype(np.float32),
        model,
    )


def people(seed: int, count: int, each: int = 8, k: int = 3, d: int = 16) -> PartEmbeddings:
    """Clustered tracklets, a third of them with parts of little or no quality."""
    rng = np.random.default_rng(seed)
    axes = np.random.default_rng(0).normal(size=(8, k * d))  # real features lie in few directions
    person = np.repeat(rng.normal(size=(count, 8)), each, 0)
    parts = ((person + 0.5 * rng.normal(size=person.shape)) @ axes).reshape(-1, k, d)
    quality = rng.uniform(0.3, 0.8, (count * each, k))
    hidden = (rng.random(quality.shape) < 0.3) & (rng.random((len(quality), 1)) < 0.3)
    quality = np.where(hidden, quality * rng.choice([0.0, 0.2], (len(quality), 1)), quality)
    arrays = (parts.astype(np.float32), (parts + 1).astype(np.float32), quality.astype(np.float32))
    return PartEmbeddings(*arrays, "m")


def eq2(probes: PartEmbeddings, gallery: PartEmbeddings) -> np.ndarray:
    """The oracle: Eq. 2 of all pairs in float64."""
    (fp, _, qp), (fg, _, qg) = (tuple(t.double() for t in tensors(e)) for e in (probes, gallery))
    return part_distance(fp, qp, fg, qg).numpy()


def index_of(gallery: PartEmbeddings, top_n: int = 0, precision="float32", **more) -> GalleryIndex:
    index = GalleryIndex(GAMMA, top_n, precision=precision, **more)
    index.add(gallery)
    return index


@pytest.mark.parametrize("probes", [1, 5])
def test_the_exact_search_is_equation_2_and_a_sort(probes):
    p, g = embeddings(1, probes), embeddings(2, 3000)
    truth = eq2(p, g)
    found = index_of(g).search(p, 40)
    order = truth.argsort(1, kind="stable")[:, :40]
    np.testing.assert_array_equal(found.rows, order)
    np.testing.assert_allclose(found.distance, np.take_along_axis(truth, order, 1), atol=2e-6)
    np.testing.assert_array_equal(found.distance, found.part_distance)
    shared = support(*(torch.from_numpy(e.quality) for e in (p, g))).numpy()
    np.testing.assert_allclose(found.support, np.take_along_axis(shared, order, 1), rtol=1e-5)


def test_rounding_in_the_scan_cannot_change_the_answer():
    """Distances closer together than half precision can tell: the scan alone would mix them up."""
    base = embeddings(3, 1, d=64)
    rng = np.random.default_rng(4)
    parts = base.parts + 0.02 * rng.normal(size=(2000, 3, 64)).astype(np.float32)
    near = PartEmbeddings(parts, parts, np.repeat(base.quality, 2000, 0), "m")
    truth = eq2(base, near)[0]
    found = index_of(near).search(base, 10)
    np.testing.assert_allclose(truth[found.rows[0]], np.sort(truth)[:10], atol=3e-7)
    rows = torch.mv(
        Units.of(near).unit.half(), Units.of(base).unit[0].half()
    )  # what the scan sees: ties
    assert len(torch.unique(rows)) < 100


def test_half_precision_costs_next_to_nothing():
    p, g = embeddings(5, 4, d=256), embeddings(6, 500, d=256)
    truth = eq2(p, g)
    found = index_of(g, precision="float16").search(p, 500)
    got = np.empty_like(truth)
    np.put_along_axis(got, found.rows, found.distance.astype(float), 1)
    np.testing.assert_allclose(got, truth, atol=1e-4)


@pytest.mark.parametrize(("n", "top_n"), [(20, 8), (5, 8), (8, 8)])
def test_the_first_n_are_reordered_by_equation_15(n, top_n):
    p, g = embeddings(7, 6), embeddings(8, 200)
    truth = eq2(p, g)
    found = index_of(g, top_n).search(p, n)
    (fp, gp, qp), (fg, gg, qg) = tensors(p), tensors(g)
    both = rescore(fp, gp, qp, fg, gg, qg, GAMMA).numpy()
    for i in range(len(p)):
        order = truth[i].argsort(kind="stable")
        head = sorted(order[:top_n], key=lambda j: both[i, j])
        np.testing.assert_array_equal(found.rows[i], [*head, *order[top_n:]][:n])
        first = found.rows[i, :top_n]
        np.testing.assert_allclose(found.distance[i, :top_n], both[i, first], atol=3e-6)
    np.testing.assert_allclose(
        found.part_distance, np.take_along_axis(truth, found.rows, 1), atol=2e-6
    )
    assert (np.diff(found.distance, axis=1) >= 0).all()


def test_it_ranks_as_the_evaluation_does():
    from reid.evaluation.scores import two_stage_order

    p, g = embeddings(9, 7), embeddings(10, 120)
    found = index_of(g, top_n=10).search(p, 120)
    np.testing.assert_array_equal(found.rows, two_stage_order(p, g, GAMMA, 10))


@pytest.mark.parametrize("size", [0.001, 1000.0])
def test_the_scale_of_features_and_qualities_carries_nothing(size):
    p, g = embeddings(11, 3), embeddings(12, 100)
    scaled = PartEmbeddings(g.parts * size, g.global_parts * size, g.quality / 1000, "m")
    a, b = (index_of(e, 10, "float16").search(p, 20) for e in (g, scaled))
    np.testing.assert_array_equal(a.rows, b.rows)
    np.testing.assert_allclose(a.distance, b.distance, atol=2e-4)
    np.testing.assert_allclose(a.support, b.support * 1000, rtol=1e-4)


def test_items_and_probes_without_quality_are_neutral():
    g = embeddings(13, 50)
    g.quality[10:20] = 0
    p = embeddings(14, 2)
    p.quality[1] = 0
    found = index_of(g, 5).search(p, 50)
    assert np.isfinite(found.distance).all()
    blind = np.isin(found.rows[0], np.arange(10, 20))
    np.testing.assert_array_equal(found.part_distance[0, blind], 1)
    np.testing.assert_array_equal(found.support[0, blind], 0)
    np.testing.assert_array_equal(found.part_distance[1], 1)
    assert sorted(found.rows[1]) == list(range(50))


def test_an_empty_gallery_and_a_small_one():
    index, p = GalleryIndex(GAMMA, 30), embeddings(15, 2)
    assert index.search(p, 5).rows.shape == (2, 0)
    assert index.add(embeddings(16, 0)).shape == (0,)
    index.add(embeddings(16, 3))
    assert index.search(p, 5).rows.shape == (2, 3)
    assert index.search(p[:0], 5).rows.shape == (0, 3)
    assert index.search(p, 0).rows.shape == (2, 0)


def test_another_model_or_shape_or_nan_is_refused():
    index = index_of(embeddings(17, 5))
    other = embeddings(18, 2, model="other")
    with pytest.raises(FingerprintMismatch, match="other"):
        index.add(other)
    with pytest.raises(FingerprintMismatch, match="other"):
        index.search(other, 3)
    with pytest.raises(ValueError, match=r"\(3, 8\).*\(3, 9\)"):
        index.search(embeddings(18, 2, d=9), 3)
    for place in ("parts", "global_parts", "quality"):
        broken = embeddings(19, 4)
        getattr(broken, place)[2] = np.nan
        with pytest.raises(ValueError, match="embedding 2 of 4"):
            index.add(broken)
    assert len(index) == 5


def test_rows_keep_their_numbers_as_the_gallery_grows_over_chunks():
    g = embeddings(20, 5000)
    index, numbers, first = GalleryIndex(GAMMA, 0, precision="float32"), [], 0
    for size in (1, 700, 1500, 299, 2500):
        numbers.append(index.add(g[slice(first, first + size)]))
        first += size
    np.testing.assert_array_equal(np.concatenate(numbers), np.arange(5000))
    p = embeddings(21, 3)
    np.testing.assert_array_equal(index.search(p, 30).rows, index_of(g).search(p, 30).rows)


@pytest.mark.parametrize("approximate", [False, True])
def test_removed_rows_are_gone(approximate):
    g = people(22, 250)
    index = index_of(g, 10)
    if approximate:
        index.build(Recipe(dims=16, sample=1000, candidates=400))
    gone = index.search(g[[0]], 5).rows[0]
    assert gone[0] == 0
    index.remove(gone)
    index.remove(gone)  # twice does no harm
    assert len(index) == len(g) - 5
    found = index.search(g[[0]], 5)
    assert not np.isin(found.rows, gone).any()
    rest = np.setdiff1d(np.arange(len(g)), gone)
    best = rest[eq2(g[[0]], g[rest])[0].argsort()[:10]]
    assert np.isin(found.rows, best).all()
    with pytest.raises(ValueError, match=f"row {len(g)} is not"):
        index.remove([len(g)])


def test_an_erased_vector_is_overwritten():
    index = index_of(embeddings(23, 4), 2)
    index.remove([1, 3])
    chunk, _ = index._rows.snapshot()[0]
    for values in (chunk.scan, chunk.unit, chunk.share, chunk.norm, chunk.overall, chunk.gram):
        assert not values[[1, 3]].any()
        assert values[[0, 2]].any()


def recall(found, truth: np.ndarray) -> float:
    return float(np.mean([np.isin(t, f).mean() for f, t in zip(found, truth, strict=True)]))


def test_proposals_find_what_the_exact_search_finds():
    g = people(24, 500)
    index = index_of(g, 30)
    index.build(Recipe(dims=16, sample=2000, candidates=200))
    probes = people(24, 500)[np.arange(0, 4000, 97)]
    hidden = probes.quality.copy()
    hidden[:, :1] = 0
    half = PartEmbeddings(probes.parts, probes.global_parts, hidden, "m")
    for p in (probes, half):
        exact, quick = index.search(p, 30, exact=True), index.search(p, 30)
        assert recall(quick.rows, exact.rows) > 0.99
        same = quick.rows == exact.rows
        np.testing.assert_array_equal(quick.distance[same], exact.distance[same])


def test_rows_added_after_the_build_are_proposed():
    g, late = people(25, 200), people(26, 30)
    index = index_of(g)
    index.build(Recipe(dims=16, sample=1000, candidates=200))
    rows = index.add(late)
    seen = late.quality.any(1)
    np.testing.assert_array_equal(index.search(late, 1).rows[seen, 0], rows[seen])


def test_rows_added_after_a_removal_are_proposed():
    """FAISS once mixed their codes with those that had stood in their place: one in eight lost."""
    g, late, rng = people(41, 200), people(42, 60), np.random.default_rng(43)
    index = index_of(g)
    index.build(Recipe(dims=16, sample=1500, candidates=50))
    alive, rows = np.arange(len(g)), []
    for first in range(0, len(late), 8):
        gone = rng.choice(alive, min(100, len(alive) - 100), replace=False)
        index.remove(gone)
        alive = np.setdiff1d(alive, gone)
        rows.append(index.add(late[first : first + 8]))
    for row, i in zip(np.concatenate(rows), range(len(late)), strict=True):
        if late.quality[i].all():
            assert row in index._proposals.propose(Units.of(late[[i]]), 5)[1]


def test_too_few_rows_to_learn_from():
    with pytest.raises(ValueError, match="999 rows are too few"):
        index_of(embeddings(27, 999)).build()


@pytest.mark.parametrize("key", ["dims", "sample", "candidates", "threads"])
def test_a_recipe_out_of_range_names_its_key(key):
    with pytest.raises(ValueError, match=f"{key} is 0"):
        Recipe(**{key: 0})


@pytest.mark.parametrize("approximate", [False, True])
def test_the_gallery_grows_and_shrinks_while_it_is_searched(approximate):
    g = people(28, 150)
    index = index_of(g, 5)
    if approximate:
        index.build(Recipe(dims=16, sample=1000, candidates=200))
    done = threading.Event()

    def look() -> int:
        searches = 0
        while not done.is_set():
            found = index.search(g[[3]], 5)
            assert found.rows[0, 0] == 3
            assert (np.diff(found.distance[0]) >= 0).all()
            searches += 1
        return searches

    with ThreadPoolExecutor(2) as pool:
        looking = [pool.submit(look) for _ in range(2)]
        for seed in range(40):
            rows = index.add(people(100 + seed, 10))
            index.remove(rows[:3])
        done.set()
        assert all(task.result() for task in looking)
    assert len(index) == 1200 + 40 * 77


def test_a_removal_in_the_middle_of_a_search_leaves_no_wrong_row():
    """The rows may die between the snapshot and the scan: fewer are found, none is made up."""
    from reid.index.search import nearest, shortlist

    store = Rows(exact=True, overall=False, capacity=0)
    store.append(Units.of(embeddings(29, 6)))
    parts, probes = store.snapshot(), Units.of(embeddings(30, 2))
    store.erase(np.array([0, 1, 2, 3]))
    found = nearest(store, parts, probes, shortlist(parts, probes, 6), 6)
    assert set(found.rows[0, :2]) == {4, 5}
    assert (found.rows[:, 2:] == -1).all()
    assert np.isinf(found.distance[:, 2:]).all()


@pytest.mark.parametrize("share", [0.0, 0.02, 0.5, 0.97])
@pytest.mark.parametrize("how", ["scan", "picked", "proposed"])
@pytest.mark.parametrize("probes", [1, 4])
def test_only_allowed_rows_are_found(monkeypatch, share, how, probes):
    """Whatever way is taken, it is Eq. 2 and a sort over the allowed rows that are not removed."""
    g, p = people(31, 250), people(32, 250)[np.arange(probes) * 9]
    index = index_of(g, precision="float32")
    monkeypatch.setattr("reid.index.gallery.FEW", -1)
    monkeypatch.setattr("reid.index.gallery.SELECTIVE", 1 if how == "picked" else -1)
    if how == "proposed":
        index.build(Recipe(dims=16, sample=1000, candidates=300))
    allowed = np.random.default_rng(33).random(len(g)) < share
    removed = np.arange(0, len(g), 7)
    index.remove(removed)
    left = allowed.copy()
    left[removed] = False
    rows = np.flatnonzero(left)
    found = index.search(p, 12, allowed=allowed)
    assert found.rows.shape == (probes, min(12, len(rows)))
    truth = eq2(p, g[rows])
    order = truth.argsort(1, kind="stable")[:, :12]
    np.testing.assert_array_equal(found.rows, rows[order])
    np.testing.assert_allclose(found.distance, np.take_along_axis(truth, order, 1), atol=2e-6)


@pytest.mark.parametrize("approximate", [False, True])
def test_rows_beyond_the_mask_are_not_allowed(approximate):
    """They came after the mask was made: nobody has said that they pass."""
    g = people(34, 150)
    index = index_of(g)
    if approximate:
        index.build(Recipe(dims=16, sample=1000, candidates=200))
    allowed = np.ones(len(g), bool)
    late = index.add(g[:50])
    for mask in (allowed, allowed[:40], np.ones(len(g) + 9999, bool)):
        found = index.search(g[:3], 2000, allowed=mask)
        assert (found.rows < len(mask)).all()
        assert np.isin(late, found.rows[0]).any() == (len(mask) > late[0])


def test_few_allowed_rows_are_reordered_by_equation_15_like_all():
    p, g = embeddings(35, 3), embeddings(36, 200)
    rows = np.arange(3, 200, 11)
    allowed = np.zeros(200, bool)
    allowed[rows] = True
    found = index_of(g, top_n=6).search(p, 10, allowed=allowed)  # fewer than SELECTIVE
    alone = index_of(g[rows], top_n=6).search(p, 10)
    np.testing.assert_array_equal(found.rows, rows[alone.rows])
    np.testing.assert_allclose(found.distance, alone.distance, atol=1e-6)


def test_a_build_keeps_up_with_what_happens_meanwhile(monkeypatch):
    """Rows added and removed while FAISS learns: the training does not hold the writers up."""
    g, late = people(37, 200), people(38, 10)
    index = index_of(g)
    add_all, removed = Proposals.add_all, np.array([5, 700])

    def meanwhile(self, store, parts, first=0, **more):
        add_all(self, store, parts, first, **more)
        if not first:
            writer = threading.Thread(target=lambda: (index.add(late), index.remove(removed)))
            writer.start()
            writer.join(20)
            assert not writer.is_alive()

    monkeypatch.setattr(Proposals, "add_all", meanwhile)
    index.build(Recipe(dims=16, sample=1000, candidates=200))
    seen = np.flatnonzero(late.quality.any(1))
    found = index.search(late[seen], 1).rows[:, 0]
    np.testing.assert_array_equal(found, len(g) + seen)
    proposed = index._proposals.propose(Units.of(g[[5, 700]]), 30)[1]
    assert not np.isin(removed, proposed).any()


def test_a_removed_row_leaves_the_sample_that_levels_are_guessed_from():
    index = index_of(people(39, 200))
    index.build(Recipe(dims=16, sample=1500, candidates=200))
    gone = index._proposals._sample.rows[:3]
    index.remove(gone)
    assert not np.isin(gone, index._proposals._sample.rows).any()


def test_a_build_that_is_stopped_changes_nothing():
    g = people(40, 200)
    index = index_of(g)
    index.build(Recipe(dims=16, sample=1000, candidates=200), stop=lambda: True)
    assert not index.approximate
    assert index.search(g[[9]], 1).rows[0, 0] == 9
