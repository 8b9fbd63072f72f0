"""Identities that turn out to hold two tracks which cannot be one person.

A track that is still in view grows, and what was possible when it was linked may be impossible now:
its person is still here, the other was seen elsewhere meanwhile. Then the later one is taken out.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable

from trackers.gallery import Gallery
from trackers.people import People

log = logging.getLogger(__name__)


class Splits:
    """Takes tracks out of identities that they cannot be in, unless a person put them there."""

    def __init__(self) -> None:
        self._told: set[tuple[int, int]] = set()  # pairs of tracks that were warned of

    def apply(self, gallery: Gallery, changed: Iterable[int], people: People) -> dict[int, str]:
        """Free rows of their identity where time and place speak against it.

        Of two that exclude each other the one stays that people put there, else the one that has
        been held for longer.

        Args:
            gallery: whose entries' identities are changed.
            changed: rows that are to others what they were not before.
            people: what they said holds, even against time and place; then there is a warning.

        Returns:
            Why, by row, for those that were taken out.
        """
        entries = gallery.entries
        suspects = {
            entries[row].identity
            for row in changed
            if entries[row].identity is not None
            and any(entries[o].identity == entries[row].identity for o in gallery.against(row))
        }
        found: dict[int, str] = {}
        for identity in sorted(i for i in suspects if i is not None):
            rows = gallery.rows_of({identity})
            rows.sort(key=lambda row: (not people.placed(entries[row].tracklet.track), row))
            staying: list[int] = []
            for row in rows:
                reason = self._reason(gallery, row, staying, people)
                if reason is None:
                    staying.append(row)
                else:
                    found[row] = reason
                    entries[row].identity = None
        return found

    def _reason(
        self, gallery: Gallery, row: int, staying: Iterable[int], people: People
    ) -> str | None:
        track = gallery.entries[row].tracklet.track
        excluded = set(gallery.against(row))
        for other in (o for o in staying if o in excluded):
            why = gallery.why_not(row, other)
            beside = gallery.entries[other].tracklet.track
            if why is None:
                continue
            if not people.joined(track, beside):
                return f"cannot be the same person as track {beside}: {why}"
            if (track, beside) not in self._told:
                self._told.add((track, beside))
                log.warning(
                    "tracks %d and %d are one person because somebody said so, but: %s",
                    *(track, beside, why),
                )
        return None
