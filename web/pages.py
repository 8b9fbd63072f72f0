"""From a template and what it shows to a page."""

from __future__ import annotations

import json
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from fastapi import Request
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.responses import HTMLResponse

from storage.accounts.accounts import Role
from web.access import desk_of, visitor_of
from web.static import static_url
from web.times import local, zone
from web.words import told

_PICTURES = re.compile(r'src="(/pictures/\d+|/watches/\d+/picture)["?]')


@dataclass(frozen=True, slots=True)
class Place:
    """An entry of the navigation, for those of a role and above."""

    label: str
    path: str
    role: Role


NAVIGATION = (
    Place("Live", "/live", Role.VIEWER),
    Place("Timeline", "/timeline", Role.VIEWER),
    Place("Search", "/search", Role.INVESTIGATOR),
    Place("Replay", "/replay", Role.INVESTIGATOR),
    Place("Watch list", "/watches", Role.INVESTIGATOR),
    Place("Alerts", "/alerts", Role.INVESTIGATOR),
    Place("Cases", "/cases", Role.INVESTIGATOR),
    Place("Decisions", "/decisions", Role.INVESTIGATOR),
    Place("Holds", "/holds", Role.ADMINISTRATOR),
    Place("Users", "/users", Role.ADMINISTRATOR),
    Place("Camera groups", "/groups", Role.ADMINISTRATOR),
    Place("Audit", "/audit", Role.ADMINISTRATOR),
)


def page(
    request: Request,
    template: str,
    *,
    status: int = 200,
    headers: Mapping[str, str] | None = None,
    noted: bool = False,
    **shown: Any,
) -> HTMLResponse:
    """Render a template; `who`, `csrf`, `now` and the navigation are always there.

    `problem`, an error of ours to be shown beside its form, loses where the store lies. Pictures
    on a page that was written down in this request (or before: `noted`) need no row of their own.
    """
    who = visitor_of(request)
    if shown.get("problem"):
        shown["problem"] = desk_of(request).plain(shown["problem"])
    places = [p for p in NAVIGATION if who is not None and who.role >= p.role]
    text = _TEMPLATES.get_template(template).render(
        who=who,
        csrf="" if who is None else who.signed.csrf,
        navigation=places,
        here=request.url.path,
        now=time.time(),
        **shown,
    )
    if who is not None and (noted or who.noted):
        who.shows(_PICTURES.findall(text))
    return HTMLResponse(text, status, dict(headers or {}))


def moment(seconds: float | None, *, subsecond: bool = False) -> str:
    """UTC seconds for people, by the request's zone: `2026-01-31 12:00:00`."""
    if seconds is None:
        return "–"
    when = local(seconds).replace(tzinfo=None)
    return when.isoformat(" ", "milliseconds" if subsecond else "seconds")


def zone_at(seconds: float) -> str:
    """The zone of `moment`, for people: `UTC`, `CEST`."""
    return local(seconds).tzname() or ""


def clock(seconds: float, now: float) -> str:
    """A moment close to now for people: `12:00:00`; with its date if it is another day's."""
    text, today = moment(seconds), moment(now)
    return text[11:] if text[:10] == today[:10] else text


def plain(value: object) -> str:
    """A detail of the audit trail for people: `yes`, `3, 4`, `none`, or as JSON."""
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, list) and not any(isinstance(item, list | dict) for item in value):
        return ", ".join(map(str, value)) or "none"
    return json.dumps(value, ensure_ascii=False) if isinstance(value, list | dict) else str(value)


def typed(seconds: float | None) -> str:
    """UTC seconds as the value of a `datetime-local` field."""
    return "" if seconds is None else moment(seconds).replace(" ", "T")


def iso(seconds: float) -> str:
    """UTC seconds for programs: ISO 8601 with Z, milliseconds."""
    when = datetime.fromtimestamp(seconds, UTC)
    return when.isoformat(timespec="milliseconds").removesuffix("+00:00") + "Z"


def span(seconds: float) -> str:
    """A length of time for people: `35 s`, `12 min`, `3 h`, `2 days`."""
    for limit, unit, size in ((120, "s", 1), (7200, "min", 60), (172800, "h", 3600)):
        if seconds < limit:
            return f"{max(0, seconds) / size:.0f} {unit}"
    return f"{seconds / 86400:.0f} days"


def _environment() -> Environment:
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(moment=moment, clock=clock, iso=iso, span=span, plain=plain)
    environment.filters.update(decision=told, typed=typed)
    environment.filters.update(zone=zone_at)
    environment.globals.update(static=static_url, Role=Role, zone=lambda: str(zone.get()))
    return environment


_TEMPLATES = _environment()
