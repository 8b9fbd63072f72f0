"""Lists of samples: held-out identities, queries among them, and a name for a list."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Sequence

from reid.datasets.base import Sample
from reid.errors import DataError


def hold_out(samples: Sequence[Sample], count: int) -> tuple[list[Sample], list[Sample]]:
    """Split off `count` identities, chosen by a hash so that the choice never depends on order."""
    identities = sorted(
        {s.identity for s in samples},
        key=lambda i: hashlib.sha256(f"crosscam held out {i}".encode()).digest(),
    )
    if count >= len(identities):
        raise DataError(f"held_out_ids is {count}, but there are {len(identities)} identities")
    away = set(identities[:count])
    return (
        [s for s in samples if s.identity not in away],
        [s for s in samples if s.identity in away],
    )


def split_queries(samples: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """Queries and gallery of people without a protocol of their own.

    The first image (by path) of each identity and camera is a query; the
    gallery is the rest. An identity's only image of a camera is both: its
    own ranking leaves it out (same identity, same camera), the other
    cameras' queries need it.

    Returns:
        queries and gallery, each sorted by path.
    """
    ordered = sorted(samples, key=lambda s: s.path)
    images = Counter((s.identity, s.camera) for s in ordered)
    queries, gallery, seen = [], [], set()
    for sample in ordered:
        key = (sample.identity, sample.camera)
        if key not in seen:
            seen.add(key)
            queries.append(sample)
            if images[key] > 1:
                continue
        gallery.append(sample)
    return queries, gallery


def fingerprint(samples: Sequence[Sample], *, folders: bool = False) -> str:
    """Name a list of samples by its file names and labels (not by pixels).

    Args:
        samples: the list; its order counts.
        folders: tell files of one name in two folders apart (Partial-REID's kinds of queries).
    """
    digest = hashlib.sha256()
    for s in samples:
        name = f"{s.path.parent.name}/{s.path.name}" if folders else s.path.name
        digest.update(f"{name} {s.identity} {s.camera}\n".encode())
    return digest.hexdigest()[:16]
