"""What a search found, and in plain words what may be said about it: looks alike, never more."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from investigation.search.strangers import Together
from investigation.search.yardstick import SELDOM, thin
from reid.chance import Chance
from reid.explain.explanation import MIN_SHARED, PairEvidence, PartEvidence
from storage.models import iso_text
from storage.records import ExemplarRow, TrackRow
from trackers.records import Box


class HitVerdict(StrEnum):
    """What a person at a desk may make of a hit."""

    STRONG = "strong"
    POSSIBLE = "possible"
    CANNOT_TELL = "not enough in common to tell"


@dataclass(frozen=True, slots=True)
class Crowd:
    """Among how many a hit was found.

    Attributes:
        searched: tracks that passed the filters; 1 where a watch asked about this one alone.
        share: of the pairs of different people, how many are as near as this one or nearer.
        at_most: whether that is no more than an upper bound.
        here: what people of the site itself say; None where too few were seen together.
    """

    searched: int
    share: float
    at_most: bool = False
    here: Together | None = None

    @classmethod
    def of(cls, searched: int, distance: float, chance: Chance, here: Together | None) -> Crowd:
        """What the model's strangers say, or the site's own where these are surely nearer."""
        share, bound = chance.share(distance), chance.is_bound(distance)
        if here is not None and here.at_least > share:
            return cls(searched, here.share, False, here)
        return cls(searched, share, bound, here)

    @property
    def strangers(self) -> float:
        """How many of the searched are as near by chance, if all of them are other people."""
        return self.searched * self.share

    def __str__(self) -> str:
        """In a sentence."""
        about = "At most" if self.at_most else "About"
        rate = f"{about} 1 in {_rounded(1 / self.share)} different people comes as near"
        here = "" if self.here is None else f" {self.here}"
        if self.searched == 1:
            return f"{rate}.{here}"
        if self.strangers < 0.95:
            less = f"among the {self.searched:,} tracks searched that is less than one."
            return f"{rate}; {less}{here}"
        return (
            f"{rate}: among the {self.searched:,} tracks searched {about.lower()} "
            f"{_rounded(self.strangers)} may be strangers.{here}"
        )


def _rounded(number: float) -> str:
    """With two digits that count: 3,600, 48, 1."""
    digits = max(0, len(f"{number:.0f}") - 2)
    return f"{round(number / 10**digits) * 10**digits:,}"


@dataclass(frozen=True, slots=True, eq=False)
class Hit:
    """One track that a search found.

    Attributes:
        rank: from 1, best first.
        track: id.
        identity: its current identity; None if nobody decided yet.
        run: that made the track.
        camera: id.
        place: of the camera; None if it has no name.
        start, end: of the track, UTC seconds.
        time: of the crop shown (the track's best one), UTC seconds.
        box: of that crop, pixels of the camera's frame; None if the track has no crop left.
        verdict: strong, possible or not enough in common to tell.
        why: the verdict's reason, in a sentence.
        pair: the distance taken apart; what `distance`, `support`, `shared` and `parts` show.
        exemplar: the crop shown, as stored; None if the track has no crop left.
        crowd: how many tracks were searched, and how many strangers among them may look as alike.
    """

    rank: int
    track: int
    identity: int | None
    run: int
    camera: str
    place: str | None
    start: float
    end: float
    time: float
    box: Box | None
    verdict: HitVerdict
    why: str
    pair: PairEvidence
    exemplar: ExemplarRow | None
    crowd: Crowd | None = None

    @property
    def distance(self) -> float:
        """D of Eq. 15, 0..2."""
        return self.pair.distance

    @property
    def support(self) -> float:
        """sum_k q_k^p q_k^g: means something only beside other hits of the same query."""
        return self.pair.support

    @property
    def shared(self) -> float:
        """Cosine of the two quality vectors over the trusted parts, 0..1: do both show the same?"""
        return self.pair.shared

    @property
    def parts(self) -> tuple[PartEvidence, ...]:
        """The K parts, from the top; the query's quality comes first."""
        return self.pair.parts

    def as_json(self) -> dict[str, Any]:
        """As programs read it: ISO 8601 UTC times, boxes as [left, top, width, height]."""
        box = self.box
        return {
            "rank": self.rank,
            "track": self.track,
            "identity": self.identity,
            "camera": self.camera,
            "place": self.place,
            "start": iso_text(self.start),
            "end": iso_text(self.end),
            "time": iso_text(self.time),
            "box": None
            if box is None
            else [round(v, 2) for v in (box.left, box.top, box.width, box.height)],
            "distance": round(self.distance, 6),
            "support": round(self.support, 6),
            "shared": round(self.shared, 6),
            "verdict": str(self.verdict),
            "searched": None if self.crowd is None else self.crowd.searched,
            "strangers": None if self.crowd is None else float(f"{self.crowd.strangers:.3g}"),
            "seen_together": None
            if self.crowd is None or self.crowd.here is None
            else {"pairs": self.crowd.here.pairs, "as_near": self.crowd.here.as_near},
            "why": self.why,
            "parts": [
                {
                    "part": number,
                    "quality_query": round(part.quality_p, 6),
                    "quality_hit": round(part.quality_g, 6),
                    "distance": round(part.distance, 6),
                    "weight": round(part.weight, 6),
                    "share": round(part.share, 6),
                }
                for number, part in enumerate(self.parts, 1)
            ],
            "picture": None if self.exemplar is None else str(self.exemplar.path.absolute()),
        }


def make_hit(
    rank: int,
    track: TrackRow,
    pair: PairEvidence,
    best: ExemplarRow | None,
    crowd: Crowd | None = None,
    weights: Sequence[float] | None = None,
) -> Hit:
    """Put together what a search knows about a track.

    Args:
        rank: from 1.
        track: as stored.
        pair: query and track compared.
        best: the track's best crop.
        crowd: among how many it was found; None where nothing is known of the model's strangers.
        weights: K, how far each part was trusted; None: each fully.
    """
    verdict, why = judge(pair, crowd, weights=weights)
    return Hit(
        rank=rank,
        track=track.id,
        identity=track.identity,
        run=track.run,
        camera=track.camera,
        place=track.place,
        start=track.start,
        end=track.end,
        time=track.start if best is None else best.time,
        box=None if best is None else best.box,
        verdict=verdict,
        why=why,
        pair=pair,
        exemplar=best,
        crowd=crowd,
    )


def judge(
    pair: PairEvidence,
    crowd: Crowd | None = None,
    min_shared: float = MIN_SHARED,
    weights: Sequence[float] | None = None,
) -> tuple[HitVerdict, str]:
    """The verdict about a pair, and why.

    Args:
        pair: query first.
        crowd: among how many it was found. Only what is seldom in every scene that was measured is
            `strong`, and only where no stranger is to be expected among the searched.
        min_shared: smallest `pair.shared` that allows a verdict.
        weights: K, how far each part was trusted; None: each fully. With less than half of them
            nothing is `strong`.
    """
    only = _compared(weights)
    if pair.shared < min_shared:
        of = "a body" if weights is None else "what was to be compared"
        return HitVerdict.CANNOT_TELL, (
            f"The two pictures show little of the same parts of {of} ({pair.shared:.0%} in "
            f"common), so that neither likeness nor difference can be seen.{only}"
        )
    if pair.thresholds is None:
        return HitVerdict.CANNOT_TELL, (
            "The model was never calibrated: its distances put hits in order, but say nothing "
            "about a single one."
        )
    sure, possible = pair.thresholds
    at = f"distance {pair.distance:.3f}"
    said = only if crowd is None else f"{only} {crowd}"
    if pair.distance < sure and thin(weights):
        return HitVerdict.POSSIBLE, (
            f"Looks alike in the little that was compared ({at}, below {sure:.3f}), which is never "
            f"strong: how near different people come was measured on whole bodies.{said}"
        )
    if pair.distance < sure and crowd is not None and crowd.share > SELDOM:
        return HitVerdict.POSSIBLE, (
            f"Looks alike in what both show ({at}, below {sure:.3f}), but {_place(crowd)} that is "
            f"not rare enough to be strong.{said}"
        )
    if pair.distance < sure and crowd is not None and crowd.strangers >= 1:
        return HitVerdict.POSSIBLE, (
            f"Looks alike in what both show ({at}, below {sure:.3f}), but too many were searched "
            f"for that to be strong.{said} Fewer cameras or a shorter time tell more."
        )
    if pair.distance < sure:
        return HitVerdict.STRONG, (
            f"Looks alike in what both show: {at}, below {sure:.3f}, where different people seldom "
            f"come.{said}"
        )
    if pair.distance < possible:
        return HitVerdict.POSSIBLE, (
            f"Looks alike in part: {at}, between {sure:.3f} and {possible:.3f}, where both "
            f"the same and different people are found.{_where(pair, weights)}{said}"
        )
    return HitVerdict.CANNOT_TELL, (
        f"Both show the same parts, and these differ: {at}, {possible:.3f} or more."
        f"{_where(pair, weights)}{only}"
    )


def _place(crowd: Crowd) -> str:
    here = crowd.here is not None and crowd.share == crowd.here.share
    return "on this site" if here else "there are scenes where"


def _compared(weights: Sequence[float] | None) -> str:
    """Which parts were compared, where a mask left some out."""
    if weights is None or all(weights):
        return ""
    there = [str(number) for number, weight in enumerate(weights, 1) if weight]
    parts, were = ("part", "was") if len(there) == 1 else ("parts", "were")
    return f" Only {parts} {', '.join(there)} of {len(weights)} from the top {were} compared."


def _where(pair: PairEvidence, weights: Sequence[float] | None) -> str:
    """Which part differs most, where one stands out among those that were compared."""
    number, part = max(enumerate(pair.parts, 1), key=lambda item: item[1].share)
    compared = len(pair.parts) if weights is None else sum(map(bool, weights))
    if part.share < 1.5 / compared:
        return ""
    return (
        f" Most of it lies in part {number} of {len(pair.parts)} from the top ({part.share:.0%})."
    )
