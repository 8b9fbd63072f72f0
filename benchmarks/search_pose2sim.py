"""Search by example on four synchronised cameras: from any of them to the others.

    python -m benchmarks.search_pose2sim              run the pipeline, then search
    python -m benchmarks.search_pose2sim --store URL  search a store that it filled

The footage has no ground truth, but a calibration. Who a track is, is settled by geometry alone,
never by what it looks like: the middle of a box's lower edge is cast on the floor (z = 0), and
tracks of two cameras whose feet stand in the same place at the same moments are one person. The
program ends where the two kinds of distance do not lie far apart.

Three people are there; two of the cameras see only two of them.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Mapping
from itertools import combinations
from pathlib import Path
from xml.etree import ElementTree

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import need, print_table, run_pipeline
from benchmarks.search_pets import Score, first_right
from investigation.filters import Filters
from investigation.search.desk import SearchDesk
from investigation.search.photos import whole_picture
from investigation.search.queries import Query, read_picture
from storage.queries import StoreReader
from trackers.records import Box

Floats = NDArray[np.float64]
CAMERAS = ("01", "02", "03", "04")
SAME, APART = 0.6, 0.9  # metres between feet: one person below, two above; nothing may lie between
LEAST = 10  # boxes: shorter tracks are nobody's


class FloorCamera:
    """One calibrated camera, as Qualisys writes it: millimetres, z upwards, looking along -z.

    Args:
        camera: its element of the calibration file.
    """

    def __init__(self, camera: ElementTree.Element) -> None:
        pose, lens, field = (
            {k: float(v) for k, v in part.attrib.items() if k not in ("model",)}
            for part in (_child(camera, n) for n in ("transform", "intrinsic", "fov_video"))
        )
        self.place = np.array([pose[k] for k in "xyz"])
        rows = [[pose[f"r{a}{b}"] for b in (1, 2, 3)] for a in (1, 2, 3)]
        self.to_world = np.array(rows).T @ np.diag([1.0, -1.0, -1.0])
        u, v = (lens[f"centerPoint{k}"] / 64 - field[e] for k, e in (("U", "left"), ("V", "top")))
        self.lens = np.array(
            [[lens["focalLengthU"] / 64, 0, u], [0, lens["focalLengthV"] / 64, v], [0, 0, 1]]
        )
        names = (f"{kind}Distortion{i}" for kind in ("radial", "tangental") for i in (1, 2))
        self.distortion = np.array([lens[name] for name in names])

    def feet(self, box: Box) -> Floats:
        """Where the middle of the lower edge touches the floor, metres (x, y)."""
        seen = np.array([[box.foot]], np.float64)
        x, y = cv2.undistortPoints(seen, self.lens, self.distortion)[0, 0]
        ray = self.to_world @ np.array([x, y, 1.0])
        return np.asarray((self.place + ray * -self.place[2] / ray[2])[:2] / 1000)


def _child(element: ElementTree.Element, name: str) -> ElementTree.Element:
    found = element.find(name)
    if found is None:
        sys.exit(f"the calibration has no {name}")
    return found


def people(reader: StoreReader) -> dict[int, int]:
    """Track -> person, from 1, by where their feet stand at the same moments."""
    calibration = need("footage", "pose2sim", "multiperson_Calib.qca.txt")
    cameras = {
        f"cam{name}": FloorCamera(camera)
        for name, camera in zip(
            CAMERAS, ElementTree.parse(calibration).getroot().iter("camera"), strict=True
        )
    }
    tracks = [t for t in reader.tracks() if t.boxes >= LEAST]
    feet = {
        t.id: {p.frame: cameras[t.camera].feet(p.box) for p in reader.boxes(t.id)} for t in tracks
    }
    person = {t.id: t.id for t in tracks}
    doubtful = []
    for a, b in combinations(tracks, 2):
        common = feet[a.id].keys() & feet[b.id].keys()
        if a.camera == b.camera or len(common) < LEAST:
            continue
        apart = np.median([np.linalg.norm(feet[a.id][f] - feet[b.id][f]) for f in common])
        if SAME < apart < APART:
            doubtful.append(f"tracks {a.id} and {b.id}: {apart:.2f} m")
        if apart <= SAME:
            old, new = person[b.id], person[a.id]
            person = {t: new if p == old else p for t, p in person.items()}
    if doubtful:
        sys.exit("the floor does not tell who is who: " + "; ".join(doubtful))
    order = {p: n for n, p in enumerate(dict.fromkeys(person.values()), 1)}
    return {t: order[p] for t, p in person.items()}


def search(reader: StoreReader) -> None:
    desk = SearchDesk(reader)
    owner = people(reader)
    rows = {t.id: t for t in reader.tracks() if t.id in owner}
    cameras = sorted({t.camera for t in rows.values()})
    table, pairs, others = [], {"track": Score([]), "crop": Score([])}, Score([])
    for track, row in rows.items():
        person = owner[track]
        elsewhere = {rows[t].camera for t, p in owner.items() if p == person} - {row.camera}
        queries: Mapping[str, Query] = {
            "track": desk.from_track(track), "crop": best_crop(desk, track),
        }  # fmt: skip
        ranks = {}
        for camera in sorted(elsewhere):
            where = Filters(cameras=frozenset([camera]))
            for kind, query in queries.items():
                rank = first_right(desk.search(query, where, 50), owner, person)
                pairs[kind].ranks.append(rank)
                ranks[camera] = rank if kind == "track" else ranks[camera]
        if elsewhere:
            where = Filters(cameras=frozenset(cameras) - {row.camera})
            others.ranks.append(
                first_right(desk.search(queries["track"], where, 50), owner, person)
            )
        table.append((row.camera, track, person, *(ranks.get(c, "") for c in cameras)))
    print_table(
        "pose2sim: rank of the first right track, by camera searched",
        ("from", "track", "person", *cameras),
        table,
    )
    print_table(
        "pose2sim, from any camera to the others",
        ("query", "searched", "hits@1", "hits@5"),
        [
            ("track", "each other camera", pairs["track"].at(1), pairs["track"].at(5)),
            ("best crop", "each other camera", pairs["crop"].at(1), pairs["crop"].at(5)),
            ("track", "all others together", others.at(1), others.at(5)),
        ],
    )


def best_crop(desk: SearchDesk, track: int) -> Query:
    """The track's best stored crop, as if somebody had brought it."""
    image = read_picture(desk.reader.best_exemplars([track])[track])
    if image is None:
        sys.exit(f"track {track} has lost its picture")
    return desk.from_people([whole_picture(image, f"track {track}")])


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", help="URL of a store that this program filled earlier")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        store = options.store
        if store is None:
            folder = need("footage", "pose2sim")
            videos = {f"cam{n}": folder / f"multiperson_cam{n}.mp4" for n in CAMERAS}
            detector = str(need("models", "rtmdet_nano_person_dyn.onnx"))
            config = {"detector": {"name": detector}}
            store = run_pipeline(Path(name), videos, config, "pose2sim").store
        with StoreReader.open(store) as reader:
            search(reader)


if __name__ == "__main__":
    main()
