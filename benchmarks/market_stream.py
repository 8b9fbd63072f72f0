"""Market-1501's test people as tracklets in time order through the cross-camera matcher.

    python -m benchmarks.market_stream --data market1501/ [--identities 40] [--only default]

Images of one person before one camera without a pause make a tracklet
(`reid.evaluation.market_tracks`); all files lie on one clock (`benchmarks.market_clock`). The
tracklets go through `CrossCameraMatcher` as in the pipeline, no place known of any camera. Beside
it two plain baselines: a tracklet's mean vector, cosine, a threshold, each new tracklet to the
nearest one before; once with QPM's own features (f_k of all parts in one vector), once with OSNet
x0.25's (MSMT17). OSNet also goes through the matcher, as one part of quality 1: features and
matcher are told apart.

Every method gets its thresholds from the same tracklets of held-out *training* people: where one in
a thousand cross-camera pairs of different people would be linked ("FAR 1e-3", as
`reid.evaluation.calibrate`; the arms called P count the price of waiting into the distance, as the
matcher does), and where streaming them gives the best pairwise F1 ("best F1"; slow, `--no-tuning`
leaves it out). The row "shipped" has the threshold of the weights' own calibration file: what the
pipeline does.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import SHARED, print_table
from benchmarks.link_errors import abstentions, missed_links, wrong_links
from benchmarks.link_scores import identity_f1, pairwise_scores
from benchmarks.market_clock import PAUSE, File, market_clock
from benchmarks.market_features import cached, mean_quality, one_quality, osnet, qpm
from benchmarks.track_stream import (
    Ints,
    Matched,
    Stream,
    build_stream,
    pooled,
    run_greedy,
    run_matcher,
    vectors,
    with_threshold,
)
from reid.datasets import Sample, hold_out, market1501
from reid.embedding import Embedder
from reid.evaluation.calibrate import FALSE_ACCEPT, POSSIBLE, calibrate, pair_distances
from reid.evaluation.market_tracks import group_tracks
from reid.records import PartEmbeddings
from reid.settings import EmbeddingSettings
from trackers.settings import MatchingSettings

TRIED = (1e-4, 3e-4, 1e-3, 2e-3, 4e-3, 8e-3, 1.6e-2)  # false accept rates among which F1 chooses

Matrix = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class People:
    """A stream and its images' embeddings by model: `qpm`, `osnet`."""

    stream: Stream
    features: Mapping[str, PartEmbeddings]


@dataclass(frozen=True)
class Arm:
    """The matcher with one thing changed.

    Attributes:
        name: of the row.
        model: whose features.
        quality: `pooled` (as in the pipeline), `mean` (plain means over a tracklet's images,
            quality only in the distances), `one` (no quality anywhere).
        changes: settings that differ from the pipeline's.
        priced: choose the threshold for distance plus price of waiting, as the matcher compares
            them; False chooses it for the distance alone, as `reid.evaluation.calibrate`.
    """

    name: str
    model: str = "qpm"
    quality: str = "pooled"
    changes: Mapping[str, float | bool] = field(default_factory=dict)
    priced: bool = False


UNBOUNDED = {"recency_limit": 2.0}  # the price may eat the whole threshold

ARMS = {
    "default": Arm("matcher"),
    "mean": Arm("matcher, tracklets pooled by plain means", quality="mean"),
    "one": Arm("matcher, no quality at all", quality="one"),
    "eq2": Arm("matcher, Eq. 2 alone (no Eq. 15)", changes={"gamma": 1.0}),
    "now": Arm("matcher, no price of waiting", changes={"recency": 0.0}),
    "same": Arm("matcher, links within a camera", changes={"same_camera": True}),
    "free": Arm("matcher, both of these", changes={"recency": 0.0, "same_camera": True}),
    "priced": Arm("matcher P: threshold chosen with the price", changes=UNBOUNDED, priced=True),
    "priced_same": Arm(
        "matcher P, links within a camera", changes=UNBOUNDED | {"same_camera": True}, priced=True
    ),
    "priced_mean": Arm(
        "matcher P, tracklets pooled by plain means", "qpm", "mean", UNBOUNDED, priced=True
    ),
    "priced_one": Arm("matcher P, no quality at all", "qpm", "one", UNBOUNDED, priced=True),
    "priced_eq2": Arm(
        "matcher P, Eq. 2 alone (no Eq. 15)", changes=UNBOUNDED | {"gamma": 1.0}, priced=True
    ),
    "priced_osnet": Arm("matcher P, OSNet features", "osnet", "one", UNBOUNDED, priced=True),
    "sure": Arm("matcher, no margin to a rival", changes={"margin": 0.0}),
    "n": Arm("matcher, n = 1000", changes={"top_n": 1000}),
    "osnet": Arm("matcher, OSNet features", model="osnet", quality="one"),
    "osnet_free": Arm(
        "matcher, OSNet features, no price of waiting, links within a camera",
        model="osnet",
        quality="one",
        changes={"recency": 0.0, "same_camera": True},
    ),
}


def with_arm(people: People, arm: Arm) -> PartEmbeddings:
    """The embeddings of the images as this arm sees them."""
    embeddings = people.features[arm.model]
    if arm.quality == "one":
        return one_quality(embeddings)
    if arm.quality == "mean":
        return mean_quality(embeddings, people.stream.rows)
    return embeddings


def arm_settings(arm: Arm, gamma: float) -> MatchingSettings:
    """The pipeline's settings with the arm's changes; the threshold is still open."""
    return MatchingSettings.model_validate({"gamma": gamma, **arm.changes})


def different_pairs(stream: Stream, distance: Matrix) -> tuple[Matrix, NDArray[np.bool_]]:
    """Distances of all pairs of two cameras, and whether they are one person."""
    upper = np.triu(stream.camera[:, None] != stream.camera[None], 1)
    same = stream.identity[:, None] == stream.identity[None]
    return distance[upper], same[upper]


def thresholds(stream: Stream, distance: Matrix, rates: tuple[float, ...]) -> list[float]:
    """The threshold for each false accept rate."""
    pairs, same = different_pairs(stream, distance)
    return [calibrate(pairs.astype(np.float32), same, rate)[0] for rate in rates]


def best_f1(stream: Stream, tried: list[float], link: Callable[[float], Ints]) -> float:
    """The threshold whose links have the highest pairwise F1; the lowest of equals."""
    scores = [pairwise_scores(stream.identity, link(t)).f1 for t in tried]
    return tried[int(np.argmax(scores))]


@dataclass(frozen=True)
class Method:
    """How to link a stream at a threshold (and a band of abstention), and its distances."""

    name: str
    distance: Callable[[People], Matrix]
    link: Callable[[People, float, float], Ints]


def matcher_method(arm: Arm, gamma: float) -> Method:
    settings = arm_settings(arm, gamma)

    def distance(people: People) -> Matrix:
        items = pooled(people.stream, with_arm(people, arm))
        found = pair_distances(items, settings.gamma or 0.0).astype(float)
        return found + price(people.stream, settings) if arm.priced else found

    def link(people: People, threshold: float, possible: float) -> Ints:
        chosen = with_threshold(settings, threshold, possible)
        return run_matcher(people.stream, with_arm(people, arm), chosen).identity

    return Method(arm.name, distance, link)


def price(stream: Stream, settings: MatchingSettings) -> Matrix:
    """The price of waiting between every two tracklets (N, N), without limit."""
    return np.asarray(settings.recency * np.log1p(np.maximum(stream.gap(), 0.0)))


def greedy_method(name: str, model: str, *, exclusive: bool, priced: bool = False) -> Method:
    def distance(people: People) -> Matrix:
        flat = vectors(people.stream, people.features[model])
        found = np.asarray(1 - flat @ flat.T)
        return found + price(people.stream, MatchingSettings()) if priced else found

    def link(people: People, threshold: float, possible: float) -> Ints:
        return run_greedy(people.stream, distance(people), threshold, exclusive=exclusive)

    return Method(name, distance, link)


def methods(only: list[str], gamma: float) -> list[Method]:
    found = [matcher_method(ARMS[name], gamma) for name in only]
    for model, label in (("qpm", "QPM"), ("osnet", "OSNet x0.25")):
        found.append(greedy_method(f"{label} mean + cosine", model, exclusive=False))
        name = f"{label} mean + cosine, one place at a time"
        found.append(greedy_method(name, model, exclusive=True))
        name = f"{name}, price of waiting"
        found.append(greedy_method(name, model, exclusive=True, priced=True))
    return found


def row(
    people: People, name: str, chosen: str, threshold: float, found: Ints
) -> tuple[object, ...]:
    """One line of the table."""
    stream = people.stream
    every = pairwise_scores(stream.identity, found)
    across = pairwise_scores(stream.identity, found, stream.camera)
    idf1 = identity_f1(stream.identity, found, stream.images)["IDF1"]
    scores = (every.precision, every.recall, every.f1, across.f1, idf1)
    return (name, chosen, threshold, *scores, len(np.unique(found)))


HEADER = ("method", "threshold from", "threshold", "precision", "recall", "F1",
          "F1 across cameras", "IDF1", "identities")  # fmt: skip


def compare(
    held: People, test: People, listed: list[Method], *, tune: bool
) -> list[tuple[object, ...]]:
    """Both thresholds of each method from `held`, its scores on `test`."""
    rows = []
    for method in listed:
        distance = method.distance(held)
        safe, possible, *tried = thresholds(
            held.stream, distance, (FALSE_ACCEPT, POSSIBLE * FALSE_ACCEPT, *TRIED)
        )
        chosen = {"FAR 1e-3": safe}
        if tune:
            link = method.link
            chosen["best F1"] = best_f1(held.stream, tried, lambda t: link(held, t, t))  # noqa: B023
        for origin, threshold in chosen.items():
            found = method.link(test, threshold, possible)
            rows.append(row(test, method.name, origin, threshold, found))
            print(*rows[-1], sep=" | ", file=sys.stderr, flush=True)  # a full run takes hours
    return rows


def load(
    samples: list[Sample],
    clock: Mapping[File, float],
    pause: float,
    sources: Mapping[str, Callable],
) -> People:
    """Group, embed (or read the cache) and put on the clock."""
    tracks = group_tracks(samples, pause)
    paths = [p for t in tracks for p in t.paths]
    return People(build_stream(tracks, clock), {n: source(paths) for n, source in sources.items()})


def stream_samples(options: argparse.Namespace) -> list[Sample]:
    """The test split's people, or some of them; distractors and queries where asked for."""
    samples = market1501(options.data, "gallery")
    if options.query:
        samples = samples + market1501(options.data, "query")
    people = [s for s in samples if s.identity != 0]
    if options.identities:
        people = hold_out(people, options.identities)[1]
    return people + [s for s in samples if s.identity == 0 and options.distractors]


def report_errors(test: People, matched: Matched, settings: MatchingSettings) -> None:
    """Which rule missed or made links, and what abstentions were worth."""
    items = pooled(test.stream, test.features["qpm"])
    distance = pair_distances(items, settings.gamma or 0.0).astype(float)
    unit = items.quality / np.linalg.norm(items.quality, axis=1, keepdims=True)
    missed = missed_links(test.stream, matched, distance, unit @ unit.T, settings)
    wrong = wrong_links(test.stream, matched, distance, settings)
    rows = [("missed", *item) for item in missed.most_common()]
    rows += [("wrong", *item) for item in wrong.most_common()]
    for (reason, right), count in sorted(abstentions(test.stream, matched).items()):
        rows.append((f"abstained, candidate {'right' if right else 'wrong'}", reason, count))
    print_table("What the matcher did wrong (shipped threshold)", ("", "why", "pairs"), rows)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="unpacked Market-1501")
    parser.add_argument("--weights", default="default")
    parser.add_argument("--osnet", type=Path, default=SHARED / "models/osnet_x0_25_msmt17.onnx")
    parser.add_argument("--identities", type=int, help="only so many test people (by a hash)")
    parser.add_argument("--held-out-ids", type=int, default=100)
    parser.add_argument("--pause", type=float, default=PAUSE, help="seconds that end a tracklet")
    parser.add_argument("--query", action="store_true", help="the query images as well")
    parser.add_argument("--distractors", action="store_true", help="identity 0 as well")
    parser.add_argument("--one-session", action="store_true",
                        help="clock by sequence number, sessions one after another")  # fmt: skip
    parser.add_argument("--only", nargs="*", choices=list(ARMS), default=list(ARMS))
    parser.add_argument("--no-tuning", action="store_true", help="leave out the best-F1 rows")
    parser.add_argument("--cache", type=Path, default=Path("runs/market_stream"))
    return parser.parse_args()


def session_clock(clock: Mapping[File, float]) -> dict[File, float]:
    """Sequence n of every camera at once, sessions of two hours one after another."""
    return {file: 7200.0 * (file[1] - 1) for file in clock}


def main() -> None:
    options = parse()
    embedder = Embedder.from_settings(EmbeddingSettings(weights=options.weights))
    ours, peer, folder = qpm(embedder), osnet(options.osnet), options.cache
    sources = {
        "qpm": lambda p: cached(folder, f"qpm-{embedder.fingerprint}", p, ours),
        "osnet": lambda p: cached(folder, options.osnet.stem, p, peer),
    }
    clock = market_clock(options.data)
    if options.one_session:
        clock = session_clock(clock)
    held_samples = hold_out(market1501(options.data, "train"), options.held_out_ids)[1]
    held = load(held_samples, clock, options.pause, sources)
    test = load(stream_samples(options), clock, options.pause, sources)
    gamma = embedder.config.gamma
    rows = []
    if embedder.thresholds:
        threshold, possible = embedder.thresholds
        settings = with_threshold(arm_settings(ARMS["default"], gamma), threshold, possible)
        matched = run_matcher(test.stream, test.features["qpm"], settings)
        rows.append(row(test, "matcher", "shipped", threshold, matched.identity))
        report_errors(test, matched, settings)
    rows += compare(held, test, methods(options.only, gamma), tune=not options.no_tuning)
    people = len(np.unique(test.stream.identity[test.stream.identity != 0]))
    title = f"{len(test.stream.rows)} tracklets of {people} test people, {embedder.description}"
    print_table(title, HEADER, rows)


if __name__ == "__main__":
    main()
