"""Whom a search is about: pooled pictures, stored tracks and identities, and trusted parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from investigation.search.photos import Person, whole_picture
from investigation.search.queries import (
    Query,
    check_weights,
    from_identity,
    from_people,
    from_track,
    parse_parts,
)
from reid.errors import ConfigError, DataError, FingerprintMismatch, StoreError
from reid.records import PartEmbeddings
from storage.decisions.decide import Decisions
from storage.queries import StoreReader
from storage.store import Store
from tests.storage.samples import K, embedding
from trackers.records import Box

PICTURE = np.full((60, 30, 3), 100, np.uint8)


class Model:
    """Embeds the first crop as seed 1, the second as seed 2, ..."""

    fingerprint = "model-a"

    def embed(self, crops: Sequence[NDArray[np.uint8]]) -> PartEmbeddings:
        return PartEmbeddings.concatenate([embedding(i + 1) for i in range(len(crops))])


def people(count: int) -> list[Person]:
    return [whole_picture(PICTURE, f"{n}.jpg") for n in range(count)]


def test_photos_are_pooled_part_by_part() -> None:
    """Oracle: sums over the photos, one number at a time."""
    query = from_people(people(3), Model())
    crops = [embedding(seed) for seed in (1, 2, 3)]
    for k in range(K):
        total = sum(float(c.quality[0, k]) for c in crops)
        expected = sum(float(c.quality[0, k]) * c.parts[0, k].astype(float) for c in crops) / total
        np.testing.assert_allclose(query.embedding.parts[0, k], expected, rtol=1e-5)
        mean = sum(float(c.quality[0, k]) ** 2 for c in crops) / total
        assert query.embedding.quality[0, k] == pytest.approx(mean, rel=1e-5)
    assert query.subject == "3 photos: 0.jpg, 1.jpg, 2.jpg"
    best = sorted(range(3), key=lambda i: -crops[i].quality.sum())
    assert [p.name for p in query.pictures] == [f"{i}.jpg" for i in best]


def test_what_the_photo_does_not_show_counts_for_nothing() -> None:
    body, seen = Box(0, 0, 30, 60), Box(0, 0, 30, 25)  # of 6 stripes of 10: two and a half
    query = from_people([Person(seen, body, PICTURE, 0.9, ("bottom",), "a.jpg")], Model())
    share = np.array([1, 1, 0.5, 0, 0, 0], np.float32)
    np.testing.assert_allclose(query.embedding.quality[0], embedding(1).quality[0] * share)
    np.testing.assert_allclose(query.embedding.parts[0, :3], embedding(1).parts[0, :3], rtol=1e-5)


def test_weights_multiply_the_probes_qualities_and_leave_the_rest() -> None:
    query = Query("a", embedding(1))
    masked = query.masked((1, 0.5, 0, 0, 0, 0))
    assert query.probe() is query.embedding or query.weights is None
    np.testing.assert_allclose(
        masked.probe().quality[0],
        embedding(1).quality[0] * np.array([1, 0.5, 0, 0, 0, 0], np.float32),
    )
    np.testing.assert_array_equal(masked.probe().parts, embedding(1).parts)
    np.testing.assert_array_equal(masked.masked(None).probe().quality, embedding(1).quality)


def test_trusting_only_what_is_hidden_is_an_error() -> None:
    hidden = embedding(1)
    hidden.quality[0, :3] = 0
    with pytest.raises(DataError, match=r"photo a\.jpg: the parts to be trusted show nothing"):
        Query("photo a.jpg", hidden).masked((1, 1, 1, 0, 0, 0)).probe()


@pytest.mark.parametrize(
    ("text", "parts", "weights"),
    [
        ("upper", 6, (1, 1, 1, 0, 0, 0)),
        (" Lower ", 6, (0, 0, 0, 1, 1, 1)),
        ("upper", 5, (1, 1, 1, 0, 0)),
        ("lower", 5, (0, 0, 1, 1, 1)),
        ("1,2,3", 6, (1, 1, 1, 0, 0, 0)),
        ("6, 1=0.25", 6, (0.25, 0, 0, 0, 0, 1)),
    ],
)
def test_parts_as_people_write_them(text: str, parts: int, weights: tuple[float, ...]) -> None:
    assert parse_parts(text, parts) == weights


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("head", "'head' is no part; write upper, lower or numbers"),
        ("1,,2", "'' is no part"),
        ("0", "there is no part 0; the model has 6"),
        ("7", "there is no part 7"),
        ("1=2", r"the weight of part 1 is 2\.0; allowed: 0 to 1"),
        ("1=nan", "the weight of part 1 is nan"),
        ("1=0,2=0", "all part weights are 0: nothing is left"),
    ],
)
def test_parts_that_cannot_be(text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        parse_parts(text, 6)


def test_weights_must_fit_the_model() -> None:
    with pytest.raises(ConfigError, match="5 part weights; the model has 6 parts"):
        check_weights([1] * 5, 6)


def test_a_track_as_query(reader: StoreReader) -> None:
    query = from_track(reader, 2, "model-a")
    np.testing.assert_allclose(query.embedding.parts, embedding(2).parts, rtol=1e-3, atol=1e-3)
    assert (query.subject, query.tracks, query.identities) == ("track 2", {2}, {1})
    (picture,) = query.pictures  # the better of its two
    assert picture.image.shape == (120, 60, 3) and picture.image.mean() == pytest.approx(120, abs=2)


def test_an_identity_as_query_pools_its_tracks(reader: StoreReader) -> None:
    query = from_identity(reader, 1, "model-a")
    first, second = embedding(1), embedding(2)
    total = first.quality + second.quality
    expected = first.quality[..., None] * first.parts + second.quality[..., None] * second.parts
    np.testing.assert_allclose(
        query.embedding.parts, expected / total[..., None], rtol=4e-3, atol=4e-3
    )
    assert (query.tracks, query.identities) == ({1, 2}, {1})
    assert [p.name for p in query.pictures] == ["track 1", "track 2"]


def test_what_the_store_does_not_have(reader: StoreReader) -> None:
    with pytest.raises(StoreError, match="has no track 77"):
        from_track(reader, 77, "model-a")
    with pytest.raises(StoreError, match="has no identity 77"):
        from_identity(reader, 77, "model-a")
    with pytest.raises(DataError, match="track 4: no picture of it was good enough"):
        from_track(reader, 4, "model-a")
    with pytest.raises(FingerprintMismatch, match=r"track 1 .* model model-a, .* model-b"):
        from_track(reader, 1, "model-b")


def test_an_identity_that_went_into_another_is_named(store_url: str, reader: StoreReader) -> None:
    """`search --identity 2` after a merge said that there was no such identity."""
    with Store.open(store_url) as store:
        Decisions(store).merge(1, 2, "ann", "the same coat")
    with pytest.raises(StoreError, match=r"no identity 2 any more: its tracks are identity 1 now"):
        from_identity(reader, 2, "model-a")
    with pytest.raises(StoreError, match=r"has no identity 2$"):
        from_identity(reader, 2, "model-a", {"cellar"})


def test_a_lost_picture_does_not_stop_a_query(reader: StoreReader) -> None:
    for row in reader.exemplars(1):
        Path(row.path).unlink()
    assert from_track(reader, 1, "model-a").pictures == ()
