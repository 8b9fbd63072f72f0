"""The ledger in plain words: why a track is where it is. It looks alike; it never is."""

from __future__ import annotations

from dataclasses import dataclass

from storage.records import LedgerRow

# Which word a reader meets first, and how the page marks it: neutral, sure, or in doubt.
HEADINGS = {
    "create": ("New", "plain"),
    "link": ("Linked", "linked"),
    "abstain": ("Abstained", "doubt"),
    "move": ("Moved here", "linked"),
    "confirm": ("Confirmed", "linked"),
    "reject": ("Rejected", "plain"),
    "merge": ("Merged", "linked"),
    "split": ("Split off", "plain"),
    "undo": ("Undone", "plain"),
}


@dataclass(frozen=True, slots=True)
class Evidence:
    """One entry of the ledger for a reader.

    Attributes:
        track: the track decided about.
        camera: the track's camera.
        heading: one word or two: what was decided.
        mark: `plain`, `linked` or `doubt`; how the page marks it.
        text: why, in a sentence or two.
        candidate: the identity that was considered but not linked to, if any.
        actor: the matcher and its version, or a person.
        time: capture time of the evidence, UTC seconds.
    """

    track: int
    camera: str
    heading: str
    mark: str
    text: str
    candidate: int | None
    actor: str
    time: float


def explain(row: LedgerRow, camera: str) -> Evidence:
    """Put one entry of the ledger into words.

    Args:
        row: the entry.
        camera: of the entry's track.
    """
    heading, mark = HEADINGS.get(row.action, (row.action.capitalize(), "plain"))
    text = {"create": _create, "link": _link, "abstain": _abstain, "move": _link}.get(row.action)
    return Evidence(
        track=row.track,
        camera=camera,
        heading=heading,
        mark=mark,
        text=text(row) if text else sentence(row.reason),
        candidate=row.candidate if row.candidate != row.identity else None,
        actor=row.actor,
        time=row.time,
    )


def _link(row: LedgerRow) -> str:
    text = f"Looks like identity {row.identity}: {_measured(row)}."
    if row.support is not None:
        text += f" Support {row.support:.2f}."
    if row.runner_up is not None:
        text += f" Next nearest: {row.runner_up:.3f}."
    return text


def _create(row: LedgerRow) -> str:
    if row.distance is None:
        return f"Begins this identity: {sentence(row.reason, capital=False)}"
    nearest = "The nearest" if row.candidate is None else f"Identity {row.candidate}, the nearest,"
    return f"Looks like nobody known so far. {nearest} is not near enough: {_measured(row)}."


def _abstain(row: LedgerRow) -> str:
    text = sentence(row.reason)
    if row.candidate is not None:
        text += f" It might be identity {row.candidate}; a person has to look."
    return text


def _measured(row: LedgerRow) -> str:
    if row.distance is None:
        return row.reason
    if row.threshold is None:
        return f"distance {row.distance:.3f}"
    relation = "below" if row.distance < row.threshold else "not below"
    return f"distance {row.distance:.3f}, {relation} the threshold {row.threshold:.3f}"


def sentence(text: str, *, capital: bool = True) -> str:
    """Text as a sentence: a capital at its beginning (unless unwanted), a stop at its end."""
    text = text.strip()
    if not text:
        return ""
    first = text[0].upper() if capital else text[0]
    return first + text[1:] + ("" if text.endswith((".", "!", "?")) else ".")
