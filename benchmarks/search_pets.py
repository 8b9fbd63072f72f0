"""Search by example: from a person's best crop on one camera to the same person on another.

    python -m benchmarks.search_pets              run the pipeline, then search
    python -m benchmarks.search_pets --store URL  search a store that it filled
    python -m benchmarks.search_pets --looks DIR  also draw each query beside its first hit

The two cameras of PETS run through the pipeline into a fresh store. For each id in both ground
truths the best left crop (the largest box in the left video that no other covers and that the
frame's edge does not cut) asks for the tracks of the right camera. A stored track is the id whose
ground-truth boxes it overlaps in most of its frames, if that is more than half of them. Which id
the crop of the first hit shows is printed too (none where the ground truth begins later).

An id of the ground truth is one visit: who leaves the scene and comes back gets a new one, and in
the same coat. A search by appearance cannot tell two visits apart and should not: so beside the
ids the figures are given by person (`PERSON`, from looking at the crops), and by id with a search
that is narrowed to the time around the photo.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.common import need, print_table, run_pipeline
from investigation.filters import Filters
from investigation.search.desk import SearchDesk
from investigation.search.hit_pictures import write_hit
from investigation.search.hits import Hit
from investigation.search.photos import Person
from investigation.search.queries import Query
from investigation.search.strangers import measure
from storage.queries import StoreReader
from trackers.bodies import crop
from trackers.records import Box
from trackers.tracklets import CROP_MARGIN, covered_share

# Visits of one person, by eye: coat, hair and build agree in every crop, and no two overlap in time
# (8, 14, 15 and 18 all carry a white sheet and a grey hood; 11 and 3 a red and blue jacket).
PERSON = {19: 1, 13: 2, 11: 3, 12: 4, 9: 5, 10: 6, 14: 8, 15: 8, 18: 8}
AROUND = 20.0  # seconds around the photo: somebody was there a moment ago
FPS = 10
CROPS = 3  # of a query of several
OVERLAP = 0.5  # intersection over union at which a stored box is a ground-truth one
Truth = dict[int, dict[int, Box]]  # frame, from 0 -> person -> box


def read_truth(path: Path) -> Truth:
    """MOTChallenge text."""
    truth: Truth = {}
    for line in path.read_text().splitlines():
        frame, person, left, top, width, height = (float(v) for v in line.split(",")[:6])
        box = Box(left, top, left + width, top + height)
        truth.setdefault(int(frame) - 1, {})[int(person)] = box
    return truth


def owners(reader: StoreReader, camera: str, truth: Truth) -> dict[int, int]:
    """Stored track -> person, by the majority of its frames; others are nobody's."""
    found = {}
    for track in reader.tracks(camera=camera):
        votes: Counter[int] = Counter()
        boxes = 0
        for point in reader.boxes(track.id):
            boxes += 1
            there = truth.get(point.frame, {})
            best = max(there, key=lambda p: there[p].iou(point.box), default=None)
            if best is not None and there[best].iou(point.box) >= OVERLAP:
                votes[best] += 1
        if votes and votes.most_common(1)[0][1] > boxes / 2:
            found[track.id] = votes.most_common(1)[0][0]
    return found


def best_moments(truth: Truth, width: int, height: int) -> dict[int, list[tuple[int, Box]]]:
    """Person -> frame and box of the largest whole, uncovered view, else the largest; then the
    next best ones that lie a second from those before.
    """
    views: dict[int, list[tuple[tuple[bool, float], int, Box]]] = {}
    for frame, boxes in truth.items():
        for person, box in boxes.items():
            others = [b for p, b in boxes.items() if p != person]
            whole = box.left > 2 and box.top > 2 and box.right < width - 2
            clear = whole and box.bottom < height - 2 and covered_share(box, others) < 0.05
            views.setdefault(person, []).append(((clear, box.area), frame, box))
    best: dict[int, list[tuple[int, Box]]] = {}
    for person, found in views.items():
        chosen = best.setdefault(person, [])
        for _, frame, box in sorted(found, key=lambda view: (view[0], -view[1]), reverse=True):
            if len(chosen) < CROPS and all(abs(frame - other) >= FPS for other, _ in chosen):
                chosen.append((frame, box))
    return best


def frames(video: Path) -> Iterator[NDArray[np.uint8]]:
    capture = cv2.VideoCapture(str(video))
    while True:
        there, image = capture.read()
        if not there:
            return
        yield np.asarray(image, np.uint8)


@dataclass
class Score:
    """Ranks of the first right hit per query; 0: not among the hits."""

    ranks: list[int]

    def at(self, n: int) -> str:
        """How many queries had a right hit among the first n."""
        right = sum(0 < rank <= n for rank in self.ranks)
        return f"{right}/{len(self.ranks)} = {right / max(len(self.ranks), 1):.3f}"


def first_right(hits: Sequence[Hit], owner: Mapping[int, int], person: int) -> int:
    """Rank of the first hit whose track is this person; 0 for none."""
    return next((h.rank for h in hits if owner.get(h.track) == person), 0)


def shown(hits: Sequence[Hit], truth: Truth) -> dict[int, int]:
    """Track -> the id that the hit's crop shows."""
    found = {}
    for hit in hits:
        if hit.exemplar is not None and hit.box is not None:
            there = truth.get(hit.exemplar.frame, {})
            best = max(there, key=lambda p: there[p].iou(hit.box), default=None)
            if best is not None and there[best].iou(hit.box) >= OVERLAP:
                found[hit.track] = best
    return found


def same(owner: Mapping[int, int]) -> dict[int, int]:
    """The same tracks by person instead of by visit."""
    return {track: PERSON.get(visit, visit) for track, visit in owner.items()}


def person_of(image: NDArray[np.uint8], box: Box, name: str) -> Person:
    """A person cut out where the ground truth says, as a photo's would be."""
    cut = crop(image, box, CROP_MARGIN)
    if cut is None:
        raise ValueError(name)
    return Person(box, box, cut, 1.0, (), name)


def search(reader: StoreReader, looks: Path | None) -> None:
    """All queries, and both tables."""
    truth = {n: read_truth(need("footage", f"pets_{n}_gt.txt")) for n in ("left", "right")}
    visits = [set().union(*(f.keys() for f in truth[n].values())) for n in truth]
    both = sorted(visits[0] & visits[1])
    video = need("footage", "pets_left.mp4")
    first = next(frames(video))
    moments = best_moments(truth["left"], first.shape[1], first.shape[0])
    wanted = {frame for p in both for frame, _ in moments[p]}
    pictures = {i: image for i, image in enumerate(frames(video)) if i in wanted}
    begins = min(t.start for t in reader.tracks())
    desk = SearchDesk(reader)
    owner = owners(reader, "right", truth["right"])
    left = owners(reader, "left", truth["left"])
    right = Filters(cameras=frozenset(["right"]))
    names = (
        "by id", f"by id, within {AROUND:.0f} s", "by person",
        "by person, query: longest left track",
    )  # fmt: skip
    scores = {name: Score([]) for name in names}
    tries: dict[str, tuple[Score, Score]] = {}
    rows = []
    for visit in both:
        person = PERSON.get(visit, visit)
        frame, box = moments[visit][0]
        looks_of = [person_of(pictures[f], b, f"visit {visit}") for f, b in moments[visit]]
        query = desk.from_people(looks_of[:1])
        hits = desk.search(query, right, 50)
        mirrored = replace(looks_of[0], crop=np.ascontiguousarray(looks_of[0].crop[:, ::-1]))
        others = {
            "the crop": hits,
            "the crop and its mirror image": desk.search(
                desk.from_people([looks_of[0], mirrored]), right, 50
            ),
            f"the {CROPS} best crops, a second apart": desk.search(
                desk.from_people(looks_of), right, 50
            ),
            "the crop, parts alone (gamma = 1)": again(hits, lambda h: h.pair.part_distance),
            "the crop, global features alone (gamma = 0)": again(
                hits, lambda h: h.pair.global_distance
            ),
        }
        for name, found_by in others.items():
            by_id, by_person = tries.setdefault(name, (Score([]), Score([])))
            by_id.ranks.append(first_right(found_by, owner, visit))
            by_person.ranks.append(first_right(found_by, same(owner), person))
        at = begins + frame / FPS
        close = desk.search(query, replace(right, start=at - AROUND, end=at + AROUND), 50)
        crops = shown(hits, truth["right"])
        longest = desk.search(longest_track(desk, left, visit), right, 50)
        ranks = (
            first_right(hits, owner, visit), first_right(close, owner, visit),
            first_right(hits, same(owner), person), first_right(longest, same(owner), person),
        )  # fmt: skip
        for name, rank in zip(names, ranks, strict=True):
            scores[name].ranks.append(rank)
        top = hits[0]
        found = (owner.get(top.track, "nobody"), crops.get(top.track, "not marked"))
        rows.append(
            (visit, person, frame, f"{box.width:.0f} x {box.height:.0f}", top.track, *found,
             top.distance, top.verdict, *ranks)
        )  # fmt: skip
        if looks is not None:
            write_hit(desk, query, top, looks / f"visit{visit:02d}")
    print_table(
        f"PETS, best left crop against {len(owner)} tracks on the right",
        ("id", "person", "frame", "crop", "first hit", "its track is", "its crop shows",
         "distance", "verdict", *(f"rank {name}" for name in names)),
        rows,
    )  # fmt: skip
    print_table(
        "PETS, from the left camera to the right one",
        ("a right track", "hits@1", "hits@5"),
        [(name, score.at(1), score.at(5)) for name, score in scores.items()],
    )
    print_table(
        "PETS, other queries",
        ("query", "by id: hits@1", "hits@5", "by person: hits@1", "hits@5"),
        [
            (name, *(score.at(n) for score in both_scores for n in (1, 5)))
            for name, both_scores in tries.items()
        ],
    )
    site = measure(reader, desk.fingerprint, desk.model.config.gamma, fewest=1)
    if site is not None:
        print_table(
            f"PETS, {len(site.distances())} pairs of people seen at the same moment",
            ("distance", "as near", "share", "at least", "the model's own"),
            [
                (at, there.as_near, there.share, there.at_least, chance.share(at))
                for chance in [desk.model.chance]
                if chance is not None
                for at, _ in chance.points
                for there in [site.at(at)]
            ],
        )


def again(hits: Sequence[Hit], distance: Callable[[Hit], float]) -> list[Hit]:
    """The same hits in another order."""
    ordered = sorted(hits, key=distance)
    return [replace(hit, rank=rank) for rank, hit in enumerate(ordered, 1)]


def longest_track(desk: SearchDesk, owner: Mapping[int, int], visit: int) -> Query:
    """A query from the visit's longest track of the left camera."""
    rows = [t for t in desk.reader.tracks() if owner.get(t.id) == visit]
    if not rows:
        sys.exit(f"no stored track on the left is id {visit}")
    return desk.from_track(max(rows, key=lambda t: t.boxes).id)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--store", help="URL of a store that this program filled earlier")
    parser.add_argument("--looks", type=Path, help="draw each query beside its first hit here")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        store = options.store
        if store is None:
            videos = {n: need("footage", f"pets_{n}.mp4") for n in ("left", "right")}
            detector = str(need("models", "rtmdet_nano_person_dyn.onnx"))
            config = {"detector": {"name": detector}}
            store = run_pipeline(Path(name), videos, config, "pets").store
        with StoreReader.open(store) as reader:
            search(reader, options.looks)


if __name__ == "__main__":
    main()
