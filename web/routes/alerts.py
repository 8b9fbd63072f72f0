"""Alerts: who looks like somebody on the watch list, with the evidence, until somebody looked."""

from __future__ import annotations

from typing import Annotated

from fastapi import APIRouter, Form, Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from investigation.search.yardstick import thin
from reid.errors import ModelError
from storage.watches.alerts import alerts, mark_seen
from web.access import Investigator
from web.deciding import just_decided
from web.ids import Id, InPath, InQuery
from web.pages import page
from web.room import SearchRoom, TheRoom
from web.watch import find_alert, find_watch, picture_of, scope, unseen

router = APIRouter(include_in_schema=False)

PAGE = 60
MOST_MARKED = 500


@router.get("/alerts")
def listed(
    request: Request,
    who: Investigator,
    watch: InQuery = None,
    all: bool = False,
    before: InQuery = None,
) -> Response:
    """Alerts, newest first; without `all` those that nobody marked as seen."""
    chosen = None if watch is None else find_watch(who, watch)
    found = alerts(
        who.desk.reader, watch=watch, unseen=not all, cameras=who.cameras, watches=scope(who),
        before=before, limit=PAGE + 1,
    )  # fmt: skip
    shown = found[:PAGE]
    who.note("view", "alerts" if watch is None else f"alerts of watch {watch}",
             details={"alerts": [row.id for row in shown]})  # fmt: skip
    return page(
        request, "alerts.html", alerts=[(row, picture_of(who, row)) for row in shown],
        watch=chosen, all=all, more=shown[-1].id if len(found) > PAGE else None,
    )  # fmt: skip


@router.get("/alerts/unseen")
def count(who: Investigator) -> Response:
    """How many wait, for the navigation; asked again and again, so it leaves no audit row."""
    waiting = unseen(who)
    if not waiting:
        return HTMLResponse("")
    return HTMLResponse(f'<b>{waiting}</b><span class="unseen"> not seen yet</span>')


@router.post("/alerts/seen")
def seen(
    who: Investigator,
    alert: Annotated[list[Id], Form(max_length=MOST_MARKED)] = [],  # noqa: B006 - FastAPI copies
    watch: Annotated[str, Form(max_length=20)] = "",
) -> Response:
    """Mark alerts as seen, by the visitor."""
    for number in alert:
        find_alert(who, number)
    mark_seen(who.desk.store, alert, who.name, address=who.address)
    return RedirectResponse(f"/alerts?watch={watch}" if watch.isdecimal() else "/alerts", 303)


@router.get("/alerts/{alert}")
def one(
    request: Request, who: Investigator, room: TheRoom, alert: InPath, decided: InQuery = None
) -> Response:
    """The evidence of an alert."""
    row, watch = find_alert(who, alert)
    who.note("view", f"alert {alert}", details={"watch": row.watch, "track": row.track})
    parts = row.evidence.get("parts", [])
    strongest = max((max(p["quality_query"], p["quality_hit"]) for p in parts), default=0.0)
    return page(
        request,
        "alert.html",
        alert=row,
        watch=watch,
        picture=picture_of(who, row),
        parts_of=parts,
        part_names=_names(room, len(parts)),
        strongest=strongest or 1.0,
        thresholds=row.evidence.get("thresholds"),
        few=thin(watch.weights),
        decided_now=just_decided(who, decided),
    )


@router.post("/alerts/{alert}/seen")
def mark(who: Investigator, alert: InPath) -> Response:
    """Mark one as seen."""
    find_alert(who, alert)
    mark_seen(who.desk.store, [alert], who.name, address=who.address)
    return RedirectResponse(f"/alerts/{alert}", 303)


def _names(room: SearchRoom, count: int) -> list[str]:
    """What the stripes show; plain numbers where another model than ours raised the alert."""
    try:
        names = room.parts
    except ModelError:
        names = ()
    plain = [f"Stripe {n} of {count} from the top" for n in range(1, count + 1)]
    return list(names) if len(names) == count else plain
