"""What people's decisions leave out of a search and of a watch for a stored person."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection

from storage.decisions.standing import current_identities, standing
from storage.queries import StoreReader


def ruled_out(reader: StoreReader, tracks: Collection[int]) -> set[int]:
    """Tracks that, by what people said, do not show the person of these tracks.

    They are those that were rejected for the identity that `tracks` have now, whatever its name
    was when the query was made, and all of an identity for which one of `tracks` was rejected.
    Where `tracks` have become several identities, one of which is the person, only what is ruled
    out for each of them is: a person who is looked for must not be missed.

    Args:
        reader: the store.
        tracks: that a query was made of; none for a photo, which is nobody's.

    Raises:
        StoreError: if the store cannot be read.
    """
    if not tracks:
        return set()
    with reader.connection() as connection:
        pairs = standing(connection).rejected
        home = current_identities(connection, tracks)
    people: dict[int | None, set[int]] = defaultdict(set)
    for track in tracks:
        people[home.get(track)].add(track)
    return set.intersection(
        *(_not_them(reader, pairs, identity, own) for identity, own in people.items())
    )


def _not_them(
    reader: StoreReader,
    pairs: frozenset[tuple[int, int]],
    identity: int | None,
    own: Collection[int],
) -> set[int]:
    found = {track for track, other in pairs if other == identity}
    for other in {other for track, other in pairs if track in own}:
        found.update(row.id for row in reader.tracks(identity=other))
    return found
