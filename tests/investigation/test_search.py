"""The desk's answers: Eq. 2 then Eq. 15 over the store, filtered, judged, and shown."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest

from investigation.filters import Filters
from investigation.search.desk import MOST, SearchDesk, audit_of
from investigation.search.hit_pictures import hit_pictures, write_hit
from investigation.search.hits import Crowd, HitVerdict, judge
from investigation.search.queries import Query
from investigation.search.yardstick import Yardstick
from reid.chance import Chance
from reid.errors import ConfigError, DataError, FingerprintMismatch, StoreError
from reid.explain.explanation import Explainer, pair_evidence
from reid.records import PartEmbeddings
from storage.decisions.decide import Decisions
from storage.queries import StoreReader
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON, decision, exemplar, points, tracklet

K, D = 6, 256
TRACKS = 40
GAMMA = 0.6


@pytest.fixture(scope="module")
def model() -> Explainer:
    return Explainer.from_weights("default", "cpu")


def numbers(seed: int, fingerprint: str) -> PartEmbeddings:
    """Embeddings as a model makes them: people of one crowd, some parts hidden."""
    crowd, own = np.random.default_rng(0), np.random.default_rng(seed)
    quality = own.uniform(0, 1, (1, K)) * (own.uniform(size=(1, K)) > 0.2)
    quality[0, 0] += 0.1

    def near() -> np.ndarray:
        return (crowd.normal(size=(1, K, D)) + own.normal(size=(1, K, D))).astype(np.float32)

    return PartEmbeddings(near(), near(), quality.astype(np.float32), fingerprint)


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory, model: Explainer) -> Path:
    """Tracks 1 to 40: odd ones at the door, even ones in the yard, one identity for each two."""
    folder = tmp_path_factory.mktemp("filled")
    noise = np.random.default_rng(1).integers(80, 180, (120, 50, 3), np.uint8)
    picture = cv2.imencode(".jpg", noise)[1].tobytes()
    shown = (exemplar(0, 1.0, picture), exemplar(0, 2.0, picture))
    with Store.open(f"sqlite:///{folder / 'site.db'}") as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model(model.fingerprint, K, D, model.config.model_dump())
        for track in range(1, TRACKS + 1):
            camera = "door" if track % 2 else "yard"
            there = points(10, first=100 * track)
            store.add_points(run, camera, track, there)
            there = points(10, first=100 * track)
            made = tracklet(
                track, camera, embedded=numbers(track, model.fingerprint),
                exemplars=tuple(
                    replace(e, frame=t.frame, time=t.time)
                    for e, t in zip(shown, (there[3], there[0]), strict=True)
                ),
            )  # fmt: skip
            first, last = there[0], there[-1]
            made = replace(made, start=first.time, end=last.time, first=first, last=last)
            store.save_tracklet(run, made)
            store.close_track(track)
            store.link(run, decision(track, (track + 1) // 2))
        store.finish_run(run)
    return folder


@pytest.fixture
def desk(filled: Path, tmp_path: Path, model: Explainer) -> Iterator[SearchDesk]:
    """On a copy that the test may spoil."""
    shutil.copytree(filled, tmp_path, dirs_exist_ok=True)
    with StoreReader.open(f"sqlite:///{tmp_path / 'site.db'}") as reader:
        yield SearchDesk(reader, model=model)


def naive(probe: PartEmbeddings, track: int, fingerprint: str) -> tuple[float, float, float]:
    """Eq. 2, Eq. 15 and the support, one number at a time, from what the store keeps (fp16)."""
    stored = numbers(track, fingerprint)
    p, g = probe.parts[0].astype(float), stored.parts[0].astype(np.float16).astype(float)
    gp, gg = (
        probe.global_parts[0].astype(float),
        stored.global_parts[0].astype(np.float16).astype(float),
    )
    qp = probe.quality[0].astype(float)
    qg = stored.quality[0].astype(np.float16).astype(float)
    support = sum(qp[k] * qg[k] for k in range(K))
    apart = [1 - p[k] @ g[k] / np.sqrt((p[k] @ p[k]) * (g[k] @ g[k])) for k in range(K)]
    part = sum(qp[k] * qg[k] * apart[k] for k in range(K)) / support
    hp = sum(qp[k] * qg[k] * gp[k] for k in range(K))
    hg = sum(qp[k] * qg[k] * gg[k] for k in range(K))
    overall = 1 - hp @ hg / np.sqrt((hp @ hp) * (hg @ hg))
    return part, GAMMA * part + (1 - GAMMA) * overall, support


@pytest.mark.parametrize("weights", [None, (1, 1, 1, 0, 0, 0), (0.2, 1, 0, 0.5, 0, 0)])
def test_the_search_is_eq_2_then_eq_15(desk: SearchDesk, weights: tuple[float, ...] | None) -> None:
    query = Query("somebody", numbers(999, desk.fingerprint)).masked(weights)
    every = {t: naive(query.probe(), t, desk.fingerprint) for t in range(1, TRACKS + 1)}
    first = sorted(every, key=lambda t: every[t][0])[:30]  # the model's n
    expected = sorted(first, key=lambda t: every[t][1])[:12]
    hits = desk.search(query, top=12)
    assert [h.track for h in hits] == expected
    assert [h.rank for h in hits] == list(range(1, 13))
    for hit in hits:
        part, distance, support = every[hit.track]
        assert hit.distance == pytest.approx(distance, abs=1e-6)
        assert hit.pair.part_distance == pytest.approx(part, abs=1e-6)
        assert hit.support == pytest.approx(support, rel=1e-5)
        assert sum(p.share for p in hit.parts) == pytest.approx(1)


def test_more_hits_than_the_models_n_stay_in_order(desk: SearchDesk) -> None:
    query = Query("somebody", numbers(999, desk.fingerprint))
    hits = desk.search(query, top=MOST)
    assert len(hits) == TRACKS
    distances = [h.distance for h in hits]
    assert distances == sorted(distances)


def test_filters_come_before_the_first_n(desk: SearchDesk) -> None:
    query = Query("somebody", numbers(999, desk.fingerprint))
    yard = desk.search(query, Filters(cameras=frozenset(["yard"])), 100)
    assert {h.track for h in yard} == set(range(2, TRACKS + 1, 2))
    door = desk.search(query, Filters(places=frozenset(["Front door"])), 100)
    assert {h.track for h in door} == set(range(1, TRACKS + 1, 2))
    late = Filters(start=NOON + 380.5, end=NOON + 395)
    assert {h.track for h in desk.search(query, late)} == {38, 39}
    assert desk.search(query, Filters(start=NOON + 1e6)) == []


def test_a_hit_says_what_is_shown(desk: SearchDesk) -> None:
    (hit, *_) = desk.search(Query("somebody", numbers(7, desk.fingerprint)), top=1)
    assert (hit.track, hit.identity, hit.camera, hit.place) == (7, 4, "door", "Front door")
    assert hit.verdict == "strong" and hit.distance == pytest.approx(0, abs=1e-4)
    found = hit.as_json()
    assert list(found) == [
        "rank", "track", "identity", "camera", "place", "start", "end", "time", "box", "distance",
        "support", "shared", "verdict", "searched", "strangers", "seen_together", "why", "parts",
        "picture",
    ]  # fmt: skip
    assert found["start"] == "2023-11-14T22:14:30.250000Z"
    assert found["time"] == "2023-11-14T22:14:30.250000Z"  # of frame 700, the better picture
    assert found["box"] == [1.5, 2.5, 29.0, 78.0]
    assert Path(found["picture"]).is_file()
    assert [p["part"] for p in found["parts"]] == [1, 2, 3, 4, 5, 6]


def test_ones_own_tracks_are_no_hits(desk: SearchDesk) -> None:
    own = desk.search(desk.from_track(7), top=100)
    assert {h.track for h in own} == set(range(1, TRACKS + 1)) - {7}
    both = desk.search(desk.from_identity(4), top=100)
    assert {h.track for h in both} == set(range(1, TRACKS + 1)) - {7, 8}


def test_what_people_ruled_out_is_not_proposed_again(desk: SearchDesk, tmp_path: Path) -> None:
    with Store.open(f"sqlite:///{tmp_path / 'site.db'}") as store:
        Decisions(store).reject(20, 4, "ann", "another coat")
    gone = set(range(1, TRACKS + 1)) - {
        h.track for h in desk.search(desk.from_identity(4), top=100)
    }
    assert gone == {7, 8, 20}
    gone = set(range(1, TRACKS + 1)) - {h.track for h in desk.search(desk.from_track(7), top=100)}
    assert gone == {7, 20}
    gone = set(range(1, TRACKS + 1)) - {h.track for h in desk.search(desk.from_track(20), top=100)}
    assert gone == {20, 7, 8}
    photo = Query("somebody", numbers(20, desk.fingerprint))
    assert desk.search(photo)[0].track == 20  # a photo is nobody's: nothing was ruled out for it


def test_what_was_written_a_moment_ago_is_found(desk: SearchDesk, tmp_path: Path) -> None:
    query = Query("somebody", numbers(500, desk.fingerprint))
    assert desk.search(query)[0].distance > 0.01
    with Store.open(f"sqlite:///{tmp_path / 'site.db'}") as store:
        run = store.begin_run({}, CAMERAS)
        store.register_model(desk.fingerprint, K, D, {})
        store.save_tracklet(run, tracklet(500, embedded=numbers(500, desk.fingerprint)))
        store.finish_run(run)
    hit = desk.search(query)[0]
    assert (hit.track, hit.identity, hit.box, hit.exemplar) == (500, None, None, None)
    assert hit.time == hit.start and hit.as_json()["box"] is None


def test_an_empty_store_has_no_hits(tmp_path: Path, model: Explainer) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    Store.open(url).close()
    with StoreReader.open(url) as reader:
        assert SearchDesk(reader).search(Query("a", numbers(1, model.fingerprint))) == []


def test_another_models_store_is_refused_by_name(tmp_path: Path, model: Explainer) -> None:
    url = f"sqlite:///{tmp_path / 'other.db'}"
    with Store.open(url) as store:
        store.register_model("0123456789abcdef", K, D, {})
    with StoreReader.open(url) as reader:
        desk = SearchDesk(reader)
        with pytest.raises(
            FingerprintMismatch,
            match=f"model 0123456789abcdef; the weights 'default' are model {model.fingerprint}",
        ):
            desk.search(Query("a", numbers(1, model.fingerprint)))


@pytest.mark.parametrize("top", [0, -1, MOST + 1])
def test_top_out_of_bounds(desk: SearchDesk, top: int) -> None:
    with pytest.raises(ConfigError, match=f"top is {top}; allowed: 1 to {MOST} hits"):
        desk.search(Query("a", numbers(1, desk.fingerprint)), top=top)


def pair(
    distance: float, shared: bool = True, crowd: Crowd | None = None
) -> tuple[HitVerdict, str]:
    """The verdict about two embeddings `distance` apart that show the same parts, or not."""
    one = np.zeros((1, 2, 2), np.float32)
    one[..., 0] = 1
    other = one.copy()
    other[..., 0], other[..., 1] = 1 - distance, np.sqrt(1 - (1 - distance) ** 2)
    quality = np.array([[1, 0.1]], np.float32)
    others = quality if shared else quality[:, ::-1].copy()
    return judge(
        pair_evidence(
            PartEmbeddings(one, one, quality, "m"), PartEmbeddings(other, other, others, "m"),
            0.5, (0.2, 0.4),
        ),
        crowd,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("distance", "shared", "verdict", "why"),
    [
        (0.199, True, "strong", "Looks alike in what both show: distance 0.199, below 0.200"),
        (0.201, True, "possible", "Looks alike in part: distance 0.201, between 0.200 and 0.400"),
        (0.399, True, "possible", "Most of it lies in part 1 of 2"),
        (0.401, True, "not enough in common to tell", "Both show the same parts, and these differ"),
        (0.0, False, "not enough in common to tell", "little of the same parts of a body (20%"),
    ],
)
def test_verdicts(distance: float, shared: bool, verdict: str, why: str) -> None:
    said, reason = pair(distance, shared)
    assert said == verdict and why in reason
    assert " is " not in f" {reason.split(':')[0]} "


@pytest.mark.parametrize(
    ("searched", "share", "verdict", "why"),
    [
        (900, 0.001, "strong", "1 in 1,000 different people comes as near; among the 900 tracks "
         "searched that is less than one."),
        (250_000, 0.0003, "possible", "About 1 in 3,300 different people comes as near: among the "
         "250,000 tracks searched about 75 may be strangers. Fewer cameras or a shorter time"),
        (10, 0.004, "possible", "not rare enough to be strong. About 1 in 250 different people"),
    ],
)  # fmt: skip
def test_a_near_hit_is_strong_only_where_strangers_are_rarer(
    searched: int, share: float, verdict: str, why: str
) -> None:
    said, reason = pair(0.1, crowd=Crowd(searched, share))
    assert said == verdict and why in reason


def test_a_search_by_one_part_judges_it_and_is_never_strong(desk: SearchDesk) -> None:
    """`--parts 1` said of the very same picture that it showed little of the same parts."""
    query = Query("somebody", numbers(7, desk.fingerprint))
    hit = desk.search(query.masked((1, 0, 0, 0, 0, 0)), top=1)[0]
    assert (hit.track, hit.verdict, hit.crowd) == (7, "possible", None)
    assert hit.shared == pytest.approx(1, abs=1e-3) and hit.distance == pytest.approx(0, abs=1e-3)
    assert "Only part 1 of 6 from the top was compared." in hit.why
    stored = numbers(7, desk.fingerprint).quality[0].astype(np.float16)
    assert [p.quality_g for p in hit.parts] == pytest.approx(stored.astype(float)), "as it is"
    assert [p.quality_p for p in hit.parts[1:]] == [0] * 5
    support = float(numbers(7, desk.fingerprint).quality[0, 0]) * float(stored[0])
    assert hit.support == pytest.approx(support), "sum_k q_k^p q_k^g, as ever"


@pytest.mark.parametrize(
    ("weights", "verdict", "says"),
    [
        (None, "strong", ""),
        ((1, 1, 1, 1, 1, 0.5), "strong", ""),
        ((0, 1, 1, 1, 0, 0), "strong", "Only parts 2, 3, 4 of 6 from the top were compared."),
        ((1, 1, 0.5, 0, 0, 0), "possible", "Only parts 1, 2, 3 of 6 from the top were compared."),
        ((0, 0, 0, 0, 0, 1), "possible", "Only part 6 of 6 from the top was compared."),
    ],
)
def test_strong_takes_half_of_the_parts(
    weights: tuple[float, ...] | None, verdict: str, says: str
) -> None:
    one = replace(numbers(3, "m"), quality=np.full((1, K), 0.7, np.float32))
    said, why = judge(pair_evidence(one, one, GAMMA, (0.2, 0.4), weights=weights), weights=weights)
    assert (said, says in why) == (verdict, True)
    assert ("compared" in why) == bool(says)


def test_pages_and_verdicts_have_one_limit(model: Explainer) -> None:
    """Pages said `below 0.248 is strong`, where verdicts had said possible from 0.157 on."""
    strangers = Chance(((0.1, 0.0005), (0.2, 0.002), (0.4, 0.1)))
    calibrated = Yardstick("m", GAMMA, (0.25, 0.47), strangers)
    assert calibrated.limits == (pytest.approx(0.15), 0.47)  # halfway by the logarithm
    assert calibrated.limit("strong") == calibrated.limits[0]
    assert Yardstick("m", GAMMA, (0.12, 0.47), strangers).limits == (0.12, 0.47)
    assert Yardstick("m", GAMMA, (0.25, 0.47)).limits == (0.25, 0.47)
    assert Yardstick("m", GAMMA, None, strangers).limits is None
    shipped = Yardstick.from_weights()
    assert shipped.chance == model.chance is not None


def test_a_bound_is_told_as_one() -> None:
    said = str(Crowd(250_000, 0.001, at_most=True))
    assert said == (
        "At most 1 in 1,000 different people comes as near: among the 250,000 tracks searched at "
        "most 250 may be strangers."
    )


def test_hits_tell_how_many_strangers_look_as_alike(
    desk: SearchDesk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The share of the distance times the tracks that passed the filters, the query's own too."""
    monkeypatch.setattr(desk.model, "chance", Chance(((0.1, 0.001), (0.5, 0.01), (1.9, 0.5))))
    query = desk.from_track(7)
    everywhere = desk.search(query)
    tracks = list(desk.reader.tracks())
    for hit in everywhere:
        share = desk.model.chance.share(hit.distance)
        assert hit.crowd == Crowd(len(tracks), share, at_most=hit.distance <= 0.1)
    camera = everywhere[0].camera
    there = desk.search(query, Filters(cameras=frozenset([camera])))
    assert {h.crowd.searched for h in there} == {len(list(desk.reader.tracks(camera=camera)))}
    shown = everywhere[0].as_json()
    assert shown["strangers"] == pytest.approx(
        shown["searched"] * desk.model.chance.share(everywhere[0].distance), rel=0.01
    )
    monkeypatch.setattr(desk.model, "chance", None)
    shown = desk.search(query)[0].as_json()
    assert shown["strangers"] is None and shown["searched"] is None


def test_uncalibrated_weights_judge_nothing(model: Explainer) -> None:
    one = numbers(1, model.fingerprint)
    verdict, why = judge(pair_evidence(one, one, GAMMA, None))
    assert verdict == "not enough in common to tell" and "never calibrated" in why


def test_evidence_pictures(desk: SearchDesk, tmp_path: Path) -> None:
    query = desk.from_track(7)
    hit = desk.search(query)[0]
    pictures = hit_pictures(desk, query, hit)
    for data in (pictures.query, pictures.hit, pictures.query_heat, pictures.hit_heat):
        image = cv2.imdecode(np.frombuffer(data or b"", np.uint8), cv2.IMREAD_COLOR)
        assert image.shape[:2] == (120, 50)
    shown = cv2.imdecode(np.frombuffer(pictures.hit, np.uint8), cv2.IMREAD_COLOR)
    assert shown.mean() == pytest.approx(129.5, abs=2)
    assert pictures.note is None
    out = write_hit(desk, query, hit, tmp_path / "evidence")
    assert out.name == f"001-track{hit.track}.png"
    drawn = cv2.imread(str(out))
    assert drawn is not None and drawn.shape[1] > 1000


def test_changed_and_lost_pictures_are_told(desk: SearchDesk, tmp_path: Path) -> None:
    query = desk.from_track(7)
    hit = desk.search(query)[0]
    assert hit.exemplar is not None
    other = cv2.imencode(".jpg", np.full((90, 40, 3), 5, np.uint8))[1].tobytes()
    hit.exemplar.path.write_bytes(other)
    assert hit_pictures(desk, query, hit).note == "the file was changed after it was stored"
    hit.exemplar.path.unlink()
    with pytest.raises(StoreError, match=f"track {hit.track}: its picture is not there any more"):
        hit_pictures(desk, query, hit)
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match="file: cannot be made"):
        write_hit(desk, query, hit, tmp_path / "file")


def test_the_audit_row_says_what_was_asked(desk: SearchDesk) -> None:
    query = desk.from_track(7).masked((1, 1, 1, 0, 0, 0))
    where = Filters(cameras=frozenset(["yard"]), end=NOON)
    hits = desk.search(query, where, 3)
    entry = audit_of(query, where, 3, hits, actor="ann", reason="missing child")
    assert (entry.actor, entry.action, entry.subject) == ("ann", "search", "track 7")
    assert entry.reason == "missing child"
    assert entry.details == {
        "cameras": ["yard"], "to": "2023-11-14T22:13:20.250000Z", "weights": [1, 1, 1, 0, 0, 0],
        "top": 3, "hits": len(hits), "tracks": [h.track for h in hits],
    }  # fmt: skip
