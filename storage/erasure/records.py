"""What the modules of an erasure hand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection, select

from storage.models import Track, iso_text
from storage.selects import chunks


@dataclass(frozen=True, slots=True)
class DoomedTrack:
    """A track of the identity; times are UTC seconds."""

    id: int
    run: int
    camera: str
    start: float
    end: float


@dataclass(frozen=True, slots=True)
class Remain:
    """Something that still shows the person, or holds their look.

    Attributes:
        kind: `recording`, `blurring`, `picture`, `other run`, `case clip`, `export`, `sent
            picture`, `watch`, `running`, `audit` or `database`.
        what: a file, or a sentence.
        camera: whose footage, where it is footage.
        start: from when, UTC seconds.
        end: until when, UTC seconds.
    """

    kind: str
    what: str
    camera: str | None = None
    start: float | None = None
    end: float | None = None

    def as_json(self) -> dict[str, Any]:
        """For programs: times ISO 8601 UTC."""
        return {
            "kind": self.kind,
            "what": self.what,
            "camera": self.camera,
            "from": None if self.start is None else iso_text(self.start),
            "to": None if self.end is None else iso_text(self.end),
        }


@dataclass(slots=True)
class Going:
    """What the transaction collects: rows by what they were, and files (in the media folder)."""

    counts: dict[str, int] = field(default_factory=dict)
    paths: list[str] = field(default_factory=list)

    def count(self, what: str, rows: int) -> None:
        """So many more rows are gone."""
        self.counts[what] = self.counts.get(what, 0) + max(rows, 0)


def doomed_tracks(connection: Connection, ids: Sequence[int]) -> list[DoomedTrack]:
    """Tracks by id."""
    found = []
    for some in chunks(ids):
        rows = select(Track.id, Track.run, Track.camera, Track.start, Track.end)
        found += [DoomedTrack(*row) for row in connection.execute(rows.where(Track.id.in_(some)))]
    return sorted(found, key=lambda track: track.id)
