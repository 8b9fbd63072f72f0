"""From chosen tracks to judged hits: the one way in which a search and a watch get verdicts."""

from __future__ import annotations

from collections.abc import Sequence

from investigation.search.hits import Crowd, Hit, make_hit
from investigation.search.strangers import SiteStrangers
from investigation.search.yardstick import Yardstick, thin
from reid.explain.explanation import PairEvidence, pair_evidence
from reid.records import PartEmbeddings
from storage.queries import StoreReader
from storage.sightings import tracks_by_id


def judged(
    reader: StoreReader,
    yardstick: Yardstick,
    query: PartEmbeddings,
    weights: Sequence[float] | None,
    tracks: Sequence[int],
    searched: int,
    here: SiteStrangers | None,
) -> list[Hit]:
    """Measure the chosen as they are stored now, in double precision, and judge them.

    Args:
        reader: the store.
        yardstick: of the model that made the query.
        query: whom to compare with (N = 1), before `weights`.
        weights: K, how far each part is trusted; None: each fully.
        tracks: the chosen; what was erased since is left out.
        searched: among how many they were chosen; 1 for a watch, which is asked about each alone.
        here: the site's own strangers, as far as they are known.

    Returns:
        The nearest first, by D of Eq. 15; ties by track.

    Raises:
        StoreError: if the store cannot be read.
    """
    stored = reader.embeddings(fingerprint=yardstick.fingerprint, tracks=tracks)
    if stored is None:
        return []
    rows = {row.id: row for row in tracks_by_id(reader, tracks)}
    best = reader.best_exemplars(tracks)
    pairs = {
        int(track): pair_evidence(
            query, stored.embeddings[i], yardstick.gamma, yardstick.limits, weights=weights
        )
        for i, track in enumerate(stored.tracks)
    }
    order = sorted((t for t in pairs if t in rows), key=lambda t: (pairs[t].distance, t))

    def crowd(pair: PairEvidence) -> Crowd | None:
        # How near strangers come was measured on whole bodies: of few parts it says nothing.
        if yardstick.chance is None or thin(weights):
            return None
        together = None if here is None else here.at(pair.distance, weights)
        return Crowd.of(searched, pair.distance, yardstick.chance, together)

    return [
        make_hit(rank, rows[t], pairs[t], best.get(t), crowd(pairs[t]), weights)
        for rank, t in enumerate(order, 1)
    ]
