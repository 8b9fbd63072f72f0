from __future__ import annotations

import tarfile
from pathlib import Path

import cv2
import numpy as np
import pytest

from reid.datasets import (
    fingerprint,
    labelled_folder,
    load_images,
    load_training,
    open_dataset,
    read_image,
    split_queries,
)
from reid.datasets.base import Sample
from reid.datasets.folder import LabelledFolder
from reid.embedding import resize_crop
from reid.errors import DataError
from reid.network.config import ModelConfig


def touch(root: Path, *names: str) -> Path:
    """Empty files: a listing never decodes."""
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).touch()
    return root


def fill(root: Path, folder: str, count: int, name) -> None:
    touch(root, *(f"{folder}/{name(i)}" for i in range(count)))


LAYOUTS = [
    ("market1501", ["query/0002_c1s1_000451_03.jpg"]),
    ("market1501", ["bounding_box_test/-1_c1s1_000451_03.jpg.jpg"]),
    ("occluded-duke", ["bounding_box_train/0001_c2_f0046182.jpg"]),
    ("p-dukemtmc", ["train/whole_body_images/0001/0001_c2_f0046182.jpg"]),
    ("partial-reid", ["occluded_body_images/001_001.jpg"]),
    ("partial-ilids", ["Probe/001.jpg", "Gallery/001.jpg"]),
    ("partial-ilids", ["query/001.jpg", "gallery/001.jpg"]),
    ("cuhk01", ["0001001.jpg"]),
    ("cuhk03", ["labeled_train/1000_00.jpg"]),
    ("cuhk03", ["val/0000_00.jpg"]),
    ("folder", ["anna/door/1.png"]),
]


@pytest.mark.parametrize(("name", "files"), LAYOUTS)
def test_layouts_are_recognised_and_half_of_them_refused(tmp_path, name, files):
    dataset = open_dataset(touch(tmp_path, *files))
    assert dataset.name == name
    if name != "folder":
        for split in ("train", "query", "gallery"):
            with pytest.raises(DataError, match=rf"{dataset.title.split()[0]}.*") as caught:
                getattr(dataset, split)
            message = str(caught.value)
            assert str(tmp_path) in message
            assert "test only" in message or dataset.belongs in message


def test_unknown_folders_name_what_is_known(tmp_path):
    with pytest.raises(DataError, match="no such folder"):
        open_dataset(tmp_path / "nothing")
    with pytest.raises(DataError, match=r"Known: market1501: .*; occluded-duke: .*; folder: "):
        open_dataset(touch(tmp_path, "notes.txt"))
    with pytest.raises(DataError, match=r"no data set is called 'markt'.*market1501"):
        open_dataset(tmp_path, "markt")
    assert open_dataset(tmp_path, "market1501").name == "market1501"


def test_the_folder_above_a_set_does_not_pass_for_people(tmp_path):
    touch(tmp_path, "market/query/0002_c1s1_000451_03.jpg")
    with pytest.raises(DataError, match="Market-1501 lies in market/"):
        open_dataset(tmp_path)


def test_counts_found_and_expected_are_told(tmp_path):
    touch(tmp_path, "query/0002_c1s1_000451_03.jpg", "query/0003_c2s1_000451_03.jpg")
    with pytest.raises(DataError, match=r"query: 2 usable images, 3368 belong there"):
        _ = open_dataset(tmp_path).query
    touch(tmp_path, "query/holiday.jpg")
    with pytest.raises(DataError, match=r"holiday.jpg: not a Market-1501 file name"):
        _ = open_dataset(tmp_path, "market1501").query


@pytest.mark.parametrize("folder", ["partial_reid", "partial_ilids"])
def test_test_only_sets_have_nothing_to_train_on(tmp_path, folder):
    files = {"partial_reid": "occluded_body_images/001_001.jpg", "partial_ilids": "Probe/1.jpg"}
    touch(tmp_path, files[folder], "Gallery/1.jpg")
    with pytest.raises(DataError, match="test only"):
        _ = open_dataset(tmp_path).train
    with pytest.raises(DataError, match="test only"):
        load_training([tmp_path])


def test_p_dukemtmc_has_occluded_and_whole_cameras(tmp_path, monkeypatch):
    monkeypatch.setattr("reid.datasets.p_dukemtmc.TRAIN_IMAGES", 4)
    fill(
        tmp_path,
        "test/occluded_body_images",
        2163,
        lambda i: f"{i % 634:04d}/{i % 634:04d}_c{i % 8 + 1}_f{i:07d}.jpg",
    )
    touch(tmp_path, "test/whole_body_images/0001/0001_c1_f0000001.jpg")
    touch(tmp_path, *(f"train/{p}_body_images/0001/0001_c1_f1.jpg" for p in ("occluded", "whole")))
    dataset = open_dataset(tmp_path)
    assert (len(dataset.query), {s.camera for s in dataset.query}) == (2163, {0})
    assert len({s.identity for s in dataset.query}) == 634
    with pytest.raises(DataError, match="1 usable images, 9053 belong there"):
        _ = dataset.gallery
    with pytest.raises(DataError, match="2 usable images, 4 belong there"):
        _ = dataset.train
    touch(tmp_path, *(f"train/whole_body_images/0002/0002_c1_f{i}.jpg" for i in range(2)))
    train = open_dataset(tmp_path).train
    assert [(s.identity, s.camera) for s in train] == [(1, 0), (1, 1), (2, 1), (2, 1)]


def test_occluded_duke_reads_identity_and_camera(tmp_path):
    fill(tmp_path, "query", 2210, lambda i: f"{i % 519:04d}_c{i % 8 + 1}_f{i:07d}.jpg")
    found = open_dataset(tmp_path).query
    assert len({s.identity for s in found}) == 519
    assert {s.camera for s in found} == set(range(1, 9))


def test_partial_ilids_never_mixes_cropped_and_occluded_probes(tmp_path):
    fill(tmp_path, "Gallery", 119, lambda i: f"{i + 1:03d}.jpg")
    fill(tmp_path, "Probe", 119, lambda i: f"{i + 1:03d}.jpg")
    assert list(open_dataset(tmp_path).queries) == ["cropped"]
    fill(tmp_path, "Probe_nocrop", 119, lambda i: f"{i + 1:03d}.jpg")
    queries = open_dataset(tmp_path).queries
    assert {kind: {s.path.parent.name for s in found} for kind, found in queries.items()} == {
        "occluded": {"Probe_nocrop"},
        "cropped": {"Probe"},
    }
    (tmp_path / "Probe_nocrop" / "001.jpg").rename(tmp_path / "Probe_nocrop" / "002_b.jpg")
    with pytest.raises(DataError, match="118 identities, 119"):
        _ = open_dataset(tmp_path).query


@pytest.fixture(scope="module")
def unpacked(shared, tmp_path_factory) -> Path:
    """The small sets' names, without their pictures."""
    root = tmp_path_factory.mktemp("sets")
    for name in ("partial_reid", "cuhk01", "cuhk03_part_160x60"):
        archive = shared / "reid" / f"{name}.tar.gz"
        if not archive.exists():
            pytest.skip(f"{archive} is not here")
        with tarfile.open(archive) as tar:
            touch(root, *(m.name for m in tar if m.isfile()))
    return root


def test_small_sets_as_they_are_published(unpacked):
    partial = open_dataset(unpacked / "partial_reid")
    assert {k: (len(v), len({s.identity for s in v})) for k, v in partial.queries.items()} == {
        "occluded": (300, 60),
        "cropped": (300, 60),
    }
    assert {s.camera for s in partial.query} == {0}
    assert {s.camera for s in partial.gallery} == {1}

    cuhk01 = open_dataset(unpacked / "cuhk01")
    trained, tested = ({s.identity for s in x} for x in (cuhk01.train, cuhk01.query))
    assert (len(trained), len(tested), len(cuhk01.query), len(cuhk01.gallery)) == (
        485,
        486,
        972,
        972,
    )
    assert not trained & tested
    assert sum(trained) == 235074, "the split is fixed: another one breaks comparisons"
    assert {s.path.stem[4:] for s in cuhk01.query} == {"001", "002"}

    cuhk03 = open_dataset(unpacked / "cuhk03_part_160x60")
    assert (len(cuhk03.train), len(cuhk03.query), len(cuhk03.gallery)) == (7239, 451, 487)
    assert {s.path.stem[-2:] for s in cuhk03.gallery} == {"05", "06", "07", "08", "09"}


def test_joined_sets_never_collide(unpacked, tmp_path):
    touch(tmp_path, "a/anna/door/1.jpg", "a/bert/door/1.jpg", "b/anna/door/1.jpg")
    paths = [unpacked / "cuhk01", unpacked / "cuhk03_part_160x60", tmp_path / "a", tmp_path / "b"]
    joined = load_training(paths)
    assert len(joined) == 1940 + 7239 + 3
    assert len({s.identity for s in joined}) == 485 + 743 + 2 + 1
    assert len({s.camera for s in joined}) == 2 + 2 + 1 + 1
    assert set(load_training([paths[1], paths[0], *paths[2:]])) == set(joined), "order is free"
    everybody = load_training(paths[:2], everybody=True)
    assert len({s.identity for s in everybody}) == 971 + 843
    for twice in ([paths[0], paths[0]], [paths[2], paths[2]]):
        with pytest.raises(DataError, match="named already"):
            load_training(twice)
    with pytest.raises(DataError, match="no training data"):
        load_training([])


def test_queries_of_people_without_a_protocol():
    def sample(name: str, identity: int, camera: int) -> Sample:
        return Sample(Path(name), identity, camera)

    pictures = [sample("1.jpg", 1, 1), sample("3.jpg", 1, 1), sample("2.jpg", 1, 2)]
    query, gallery = split_queries(pictures)
    assert [s.path.name for s in query] == ["1.jpg", "2.jpg"]
    assert [s.path.name for s in gallery] == ["2.jpg", "3.jpg"], "camera 2's only image is both"
    assert split_queries(pictures[::-1]) == (query, gallery)


def test_images_keep_their_order_whoever_decodes_them(tmp_path):
    samples = []
    for i in range(40):
        path = tmp_path / f"{i}.png"
        cv2.imwrite(str(path), np.full((20, 10, 3), (i, 2 * i, 3 * i), np.uint8))
        samples.append(Sample(path, i, 0))
    images = load_images(samples, 8, 4)
    assert images.shape == (40, 8, 4, 3)
    assert all((images[i] == (3 * i, 2 * i, i)).all() for i in range(40)), "RGB, in order"
    np.testing.assert_array_equal(read_image(samples[7].path)[0, 0], (21, 14, 7))
    samples[5].path.write_bytes(b"no image")
    with pytest.raises(DataError, match=r"5.png: not an image"):
        load_images(samples, 8, 4)


def test_a_list_is_named_by_files_and_labels(tmp_path):
    touch(tmp_path, "anna/a/1.jpg", "bert/a/1.jpg")
    one = labelled_folder(tmp_path)
    assert fingerprint(one) != fingerprint(one[::-1])
    moved = [Sample(Path("elsewhere") / s.path.name, s.identity, s.camera) for s in one]
    assert fingerprint(moved) == fingerprint(one)
    assert fingerprint(moved, folders=True) != fingerprint(one, folders=True)


def test_a_labelled_folder_takes_every_image_and_nothing_hidden(tmp_path, caplog):
    """`.bmp` and `.webp` vanished without a word, and `.cache/` was a person."""
    taken = ["anna/a/1.jpg", "anna/a/2.bmp", "bert/a/3.WEBP", "bert/b/4.tif"]
    left = [".cache/x/1.jpg", "anna/a/._1.jpg", "anna/.thumbs/1.jpg", "anna/a/5.heic", "anna/6.jpg"]
    samples = labelled_folder(touch(tmp_path, *taken, *left))
    assert [s.path.relative_to(tmp_path).as_posix() for s in samples] == taken
    assert {s.identity for s in samples} == {0, 1}
    assert "5 of 9 files left out: 3 hidden, 2 no image" in caplog.text
    assert not LabelledFolder.recognises(touch(tmp_path / "none", ".cache/x/1.jpg"))


@pytest.mark.parametrize("size", [(480, 200), (128, 64), (160, 60), (300, 40), (40, 300)])
def test_training_resizes_as_use_does(tmp_path, size):
    """Crops of large pictures were averaged in use and sampled in training: 0.108 in D apart."""
    image = np.random.default_rng(0).integers(0, 255, (*size, 3)).astype(np.uint8)
    cv2.imwrite(str(tmp_path / "1.png"), image)
    config = ModelConfig(height=192, width=64)
    used = resize_crop(image, config)
    (trained,) = load_images([Sample(tmp_path / "1.png", 0, 0)], config.height, config.width)
    np.testing.assert_array_equal(trained[..., ::-1], used)
    if size != (480, 200):  # as all of Market-1501 and CUHK: nothing changed there
        np.testing.assert_array_equal(used, cv2.resize(image, (64, 192)))
