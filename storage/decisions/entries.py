"""People's rows of the ledger, as they are written."""

from __future__ import annotations

import time
from typing import Any

from storage.models import to_microsecond

FOLLOWS = "crosscam"  # the actor of rows that only carry a person's decision on


def ledger_entry(track: int, identity: int, candidate: int | None, end: float) -> dict[str, Any]:
    """The columns of a person's ledger row that say who went where; nothing was measured."""
    return {
        "track": track,
        "identity": identity,
        "candidate": candidate,
        "time": end,
        "distance": None,
        "runner_up": None,
        "support": None,
        "threshold": None,
    }


def carried_on(
    track: int,
    identity: int,
    candidate: int | None,
    end: float,
    *,
    action: str,
    reason: str,
    decision: int,
) -> dict[str, Any]:
    """A further row of an earlier decision, for a track that follows it: both are undone at once.

    Args:
        track: whom.
        identity: where it goes.
        candidate: as the decision's own rows have it.
        end: of the track, UTC seconds.
        action: the decision's.
        reason: of the decision's own rows.
        decision: its id.
    """
    return ledger_entry(track, identity, candidate, end) | {
        "written": to_microsecond(time.time()),
        "action": action,
        "reason": f"follows decision {decision}: {reason}",
        "actor": FOLLOWS,
        "decision": decision,
    }
