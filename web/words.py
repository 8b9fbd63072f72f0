"""Decisions in words, as the pages tell them, as far as a visitor may see them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from storage.decisions.rows import DecisionRow

MOST_NAMED = 12


@dataclass(frozen=True, slots=True)
class ShownDecision(DecisionRow):
    """A decision as a visitor sees it: `tracks` holds those of cameras that they may see.

    Attributes:
        hidden: how many others it is about.
    """

    hidden: int = 0


def told(row: ShownDecision) -> str:
    """A decision as a sentence without its reason."""
    which = _tracks(row.tracks, row.hidden)
    if row.action == "undo":
        return f"Decision {row.undoes} undone"
    if not row.tracks:
        return f"{row.action.capitalize()}; what it was about was erased"
    if row.action == "confirm":
        moved = f", before identity {row.other}" if row.other is not None else ""
        return f"{which} confirmed as identity {row.identity}{moved}"
    if row.action == "reject":
        return f"{which} rejected for identity {row.identity}, now identity {row.other}"
    if row.action == "merge":
        return f"Identity {row.other} merged into identity {row.identity} ({which.lower()})"
    if row.action == "split":
        return f"{which} split off from identity {row.identity}, now identity {row.other}"
    return f"{row.action}: {which}"


def one_line(text: str) -> str:
    """What somebody typed, on one line and without what is no letter (PostgreSQL refuses NUL)."""
    spaced = " ".join(text.split())
    return "".join(letter for letter in spaced if letter.isprintable())


def _tracks(tracks: Sequence[int], hidden: int) -> str:
    named = ", ".join(str(track) for track in tracks[:MOST_NAMED])
    more = f" and {len(tracks) - MOST_NAMED} more" if len(tracks) > MOST_NAMED else ""
    more += f" and {hidden} of cameras you may not see" if hidden else ""
    return f"{'Track' if len(tracks) + hidden == 1 else 'Tracks'} {named}{more}"
