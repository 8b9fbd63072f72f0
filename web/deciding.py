"""A person's decision, checked against what that person may see."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields

from fastapi import HTTPException

from reid.errors import ConfigError
from storage.decisions.decide import DecisionRow, Decisions
from storage.decisions.rows import rows_of
from storage.sightings import tracks_by_id
from web.access import Visitor
from web.words import ShownDecision

ACTIONS = ("confirm", "reject", "merge", "split", "undo")
UNSEEN = "{what} was also seen by cameras that you may not see; somebody who may has to decide this"


def decide(
    who: Visitor,
    action: str,
    *,
    reason: str,
    track: int | None = None,
    identity: int | None = None,
    other: int | None = None,
    tracks: Sequence[int] = (),
    decision: int | None = None,
) -> DecisionRow:
    """Write a decision in the visitor's name.

    Args:
        who: investigators and above.
        action: one of `ACTIONS`.
        reason: why.
        track: of `confirm` and `reject`.
        identity: the one confirmed, rejected, kept (`merge`) or left (`split`).
        other: the one that goes into `identity` (`merge`).
        tracks: that leave (`split`).
        decision: to take back (`undo`).

    Raises:
        HTTPException: 404 for what is not there or not to be seen, 403 where a decision would
            move tracks that the visitor may not see.
        ConfigError: if a field is missing.
        StoreError: naming why it cannot be decided.
    """
    by = Decisions(who.desk.store)
    extra = {"address": who.by.address}
    if action in ("confirm", "reject"):
        one, whose = _need(track, "track"), _need(identity, "identity")
        _tracks(who, [one])
        _identity(who, whose)
        function = by.confirm if action == "confirm" else by.reject
        return function(one, whose, who.name, reason, **extra)
    if action == "merge":
        keep, gone = _need(identity, "identity"), _need(other, "other")
        for number in (keep, gone):
            _identity(who, number, whole=number == gone)
        return by.merge(keep, gone, who.name, reason, **extra)
    if action == "split":
        whose = _need(identity, "identity")
        _identity(who, whose)
        _tracks(who, tracks)
        return by.split(whose, tracks, who.name, reason, **extra)
    if action == "undo":
        number = _need(decision, "decision")
        _check_all(find(who, number))
        return by.undo(number, who.name, reason, **extra)
    raise ConfigError(f"action is {action[:40]!r}; allowed: {', '.join(ACTIONS)}")


def find(who: Visitor, number: int) -> ShownDecision:
    """A decision about tracks of which the visitor may see one at least.

    Raises:
        HTTPException: 404 if there is none.
    """
    with who.desk.reader.connection() as connection:
        found = visible(who, rows_of(connection, [number]))
    if not found:
        raise HTTPException(404, f"there is no decision {number}")
    return found[0]


def just_decided(who: Visitor, number: int | None) -> ShownDecision | None:
    """The decision that a page was opened with, to offer its undo; None if it is not there."""
    try:
        return None if number is None else find(who, number)
    except HTTPException:
        return None


def visible(who: Visitor, rows: Sequence[DecisionRow]) -> list[ShownDecision]:
    """Those of which the visitor may see a track; one whose tracks were erased is for everybody."""
    wanted = {track for row in rows for track in row.tracks}
    seen = wanted
    if who.cameras is not None:
        seen = {t.id for t in tracks_by_id(who.desk.reader, wanted) if who.may_see(t.camera)}
    return [_shown(row, seen) for row in rows if not row.tracks or not seen.isdisjoint(row.tracks)]


def _shown(row: DecisionRow, seen: set[int]) -> ShownDecision:
    values = {field.name: getattr(row, field.name) for field in fields(row)}
    values["tracks"] = tuple(track for track in row.tracks if track in seen)
    return ShownDecision(**values, hidden=len(row.tracks) - len(values["tracks"]))


def _check_all(row: ShownDecision) -> None:
    if row.hidden:
        raise HTTPException(403, UNSEEN.format(what=f"what decision {row.id} is about"))


def _need(value: int | None, name: str) -> int:
    if value is None:
        raise ConfigError(f"{name} is missing")
    return value


def _tracks(who: Visitor, tracks: Sequence[int]) -> None:
    rows = {t.id: t for t in tracks_by_id(who.desk.reader, tracks)}
    for track in tracks:
        if track not in rows or not who.may_see(rows[track].camera):
            raise HTTPException(404, f"there is no track {track}")


def _identity(who: Visitor, identity: int, *, whole: bool = False) -> None:
    """Refuse an identity of which nothing may be seen; with `whole`, one not seen wholly."""
    cameras = {t.camera for t in who.desk.reader.tracks(identity=identity)}
    may: Callable[[str], bool] = who.may_see
    if not any(map(may, cameras)):
        raise HTTPException(404, f"there is no identity {identity}")
    if whole and not all(map(may, cameras)):
        raise HTTPException(403, UNSEEN.format(what=f"identity {identity}"))
