"""The audit trail: who did what, when and why."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator
from typing import Annotated
from urllib.parse import urlencode

from fastapi import APIRouter, Query, Request
from starlette.responses import Response, StreamingResponse

from reid.errors import DataError
from storage.audit import ACTIONS, AuditRow, entries
from storage.queries import StoreReader
from web.access import Administrator, Visitor
from web.ids import InQuery
from web.pages import iso, page
from web.times import check_order, utc_seconds

router = APIRouter(include_in_schema=False)

PAGE = 100
COLUMNS = ("id", "time", "actor", "action", "subject", "reason", "details", "address")
Text = Annotated[str, Query(max_length=200)]


@router.get("/audit")
def audit(
    request: Request,
    who: Administrator,
    actor: Text = "",
    action: Text = "",
    start: Text = "",
    end: Text = "",
    before: InQuery = None,
) -> Response:
    """The newest entries first, a page at a time; looking is an entry too."""
    chosen = Choice(actor, action, start, end)
    found = chosen.page(who.desk.reader, before, PAGE + 1)
    chosen.note(who, before)
    rest = len(found) > PAGE
    found = found[:PAGE]
    return page(
        request,
        "audit.html",
        entries=found,
        actions=ACTIONS,
        chosen=chosen,
        more=urlencode({**chosen.said, "before": found[-1].id}) if rest else None,
        query=urlencode(chosen.said),
    )


@router.get("/audit.csv")
def audit_csv(
    who: Administrator,
    actor: Text = "",
    action: Text = "",
    start: Text = "",
    end: Text = "",
) -> Response:
    """All entries that fit, as a table for other programs."""
    chosen = Choice(actor, action, start, end)
    who.note("export", "audit trail", details=chosen.said)
    headers = {"content-disposition": 'attachment; filename="crosscam-audit.csv"'}
    return StreamingResponse(
        _lines(who.desk.reader, chosen), media_type="text/csv; charset=utf-8", headers=headers
    )


class Choice:
    """Which entries are wanted."""

    def __init__(self, actor: str, action: str, start: str, end: str) -> None:
        """Read the filter of a request.

        Raises:
            DataError: if a time cannot be read, the range is backwards, or there is no such action.
        """
        fields = {"actor": actor.strip(), "action": action, "start": start, "end": end}
        self.said = {name: value for name, value in fields.items() if value}
        self.actor = fields["actor"] or None
        self.action = action or None
        self.start = utc_seconds(start, "from")
        self.end = utc_seconds(end, "to")
        check_order(self.start, self.end)
        if action and action not in ACTIONS:
            raise DataError(f"action {action!r} is none of {', '.join(ACTIONS)}")

    def note(self, who: Visitor, before: int | None) -> None:
        """Write down who looks at which entries."""
        where = {} if before is None else {"before": before}
        who.note("view", "audit trail", details={**self.said, **where})

    def page(self, reader: StoreReader, before: int | None, limit: int) -> list[AuditRow]:
        """The newest entries before an id."""
        return entries(
            reader, before=before, limit=limit, actor=self.actor, action=self.action,
            start=self.start, end=self.end,
        )  # fmt: skip


def _lines(reader: StoreReader, chosen: Choice) -> Iterator[str]:
    yield ",".join(COLUMNS) + "\r\n"
    before: int | None = None
    while found := chosen.page(reader, before, 1000):
        text = io.StringIO()
        writer = csv.writer(text)
        for row in found:
            details = json.dumps(row.details, ensure_ascii=False, sort_keys=True)
            cells = (
                row.id, iso(row.time), row.actor, row.action, row.subject, row.reason,
                details if row.details else "", row.address or "",
            )  # fmt: skip
            writer.writerow([_harmless(str(cell)) for cell in cells])
        yield text.getvalue()
        before = found[-1].id


def _harmless(cell: str) -> str:
    """A cell that a spreadsheet takes for text, not for a formula."""
    return f"'{cell}" if cell.startswith(("=", "+", "-", "@", "\t", "\r")) else cell
