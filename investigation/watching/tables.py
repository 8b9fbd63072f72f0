"""Watches and alerts as tables for a terminal."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from rich.console import Console
from rich.table import Table
from rich.text import Text

from storage.models import iso_text
from storage.watches.alerts import AlertRow
from storage.watches.rows import WatchRow


def print_watches(rows: Sequence[WatchRow]) -> None:
    """How each watch stands; addresses without their secrets."""
    table = _table("watch", "state", "level", "expires (UTC)", "alerts", "new", "name", "notify")
    for row in rows:
        table.add_row(
            str(row.id),
            row.state,
            row.level,
            _moment(row.expires),
            str(row.alerts),
            str(row.unseen),
            Text(row.name),
            Text("\n".join(target.shown for target in row.targets)),
        )
    Console(highlight=False).print(table)
    for row in rows:
        if row.state == "other model":
            sys.stdout.write(
                f"watch {row.id}: the newest tracklets come from model {row.newest_model}, its "
                f"query is of model {row.model}: nothing new is compared; add it again\n"
            )


def print_alerts(rows: Sequence[AlertRow]) -> None:
    """What looked alike, newest first, and whether it was sent."""
    table = _table("alert", "watch", "verdict", "distance", "camera", "seen (UTC)", "track", "sent")
    for row in rows:
        table.add_row(
            str(row.id) if row.seen is not None else f"{row.id} *",
            Text(f"{row.watch} {row.watch_name}"),
            row.verdict,
            f"{row.distance:.3f}",
            Text(row.camera),
            _moment(row.time),
            str(row.track),
            Text(_sent(row)),
        )
    Console(highlight=False).print(table)
    sys.stdout.write("* nobody marked it as seen. Looks alike; who it is, no alert says.\n")


def _sent(row: AlertRow) -> str:
    """How the sending of an alert stands: `1 of 2`, and what is wrong."""
    targets = row.sent.get("targets", {}).values()
    if not targets:
        return ""
    done = sum(entry["state"] == "sent" for entry in targets)
    errors = {entry["error"] for entry in targets if "error" in entry}
    return f"{done} of {len(targets)}" + "".join(f"; {error}" for error in sorted(errors))


def _table(*names: str) -> Table:
    table = Table()
    for name in names:
        table.add_column(name, no_wrap=name.endswith("(UTC)"))
    return table


def _moment(seconds: float) -> str:
    return iso_text(seconds)[:19].replace("T", " ")
