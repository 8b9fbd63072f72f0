"""The people that a model was never trained on, found again by what its file says."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import permutations
from pathlib import Path

from reid.datasets import Sample, fingerprint, hold_out
from reid.datasets.registry import load_training
from reid.errors import DataError, ModelError
from reid.network.checkpoint import read_header


def kept_away(weights: Path, data: Sequence[Path], asked: int | None = None) -> list[Sample]:
    """Images of the people that were held out while a model was trained.

    The file's header names how many there were and the images that were left to train on. The
    same choice among `data` has to leave the same images, else somebody here was trained on.

    Args:
        weights: the model file.
        data: the sets that it was trained on, in any order.
        asked: how many people the caller believes were held out; None: as the file says.

    Raises:
        ModelError: if the file does not say, or says nobody was held out.
        DataError: if the file says another number than `asked`, or was trained on other images;
            or if names alone cannot tell two folders apart.
    """
    header = read_header(weights)
    try:
        count, trained = int(json.loads(header["train"])["held_out_ids"]), header["data"]
    except (KeyError, ValueError, TypeError) as error:
        raise ModelError(
            f"{weights}: its header does not say who was held out of its training: {error!r}"
        ) from error
    if asked is not None and asked != count:
        raise DataError(
            f"--held-out-ids is {asked}, but {weights} was trained with held_out_ids {count}"
        )
    if count == 0:
        raise ModelError(
            f"{weights}: trained with held_out_ids 0, on everybody: distances of people it knows "
            "say nothing of others. Train again with held_out_ids above 0"
        )
    found: dict[frozenset[Path], list[Sample]] = {}
    for order in permutations(data):
        for everybody in (False, True):
            left, away = hold_out(load_training(order, everybody=everybody), count)
            if fingerprint(left) == trained.split()[0]:
                found[frozenset(s.path for s in away)] = away
    if len(found) > 1:
        raise DataError(
            f"{weights}: {', '.join(map(str, data))} are alike: nobody can tell who is who"
        )
    if found:
        return found.popitem()[1]
    left, _ = hold_out(load_training(data), count)
    people = len({s.identity for s in left})
    raise DataError(
        f"{weights}: trained on {trained}, but without {count} people {', '.join(map(str, data))} "
        f"holds {fingerprint(left)} ({len(left)} images of {people} identities); name all the sets "
        "that it was trained on, as they were then"
    )
