"""Who asks, and whether they may: every route names its role by one of the types below.

    def page(who: Viewer) -> ...            signed in, any role
    def page(who: Investigator) -> ...      investigators and administrators
    def page(who: Administrator) -> ...     administrators alone
    def page(_: Anybody) -> ...             no sign-in needed (a reason belongs beside it)

A route without one of them stops the server from starting (`check_routes`). Whatever changes
something (POST, PUT, PATCH, DELETE) is checked for its form token here too.
"""

from __future__ import annotations

import hmac
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any

from fastapi import Depends, HTTPException, Request
from fastapi.dependencies.models import Dependant
from fastapi.routing import APIRoute, APIRouter

from storage.accounts.accounts import By, Role
from storage.accounts.keys import SignedIn
from web.desk import Desk

SAFE = frozenset({"GET", "HEAD", "OPTIONS"})
API = "/api/"


@dataclass(frozen=True, slots=True)
class Visitor:
    """Somebody who is signed in, in one request.

    Attributes:
        signed: the account and how it was shown.
        address: where the request comes from.
        desk: the store and its services.
        noted: subjects of what was written down in this request.
    """

    signed: SignedIn
    address: str | None
    desk: Desk
    noted: list[str] = field(default_factory=list)

    @property
    def name(self) -> str:
        """The user's name: the actor of whatever is done."""
        return self.signed.user.name

    @property
    def role(self) -> Role:
        """What they may do."""
        return self.signed.user.role

    @property
    def cameras(self) -> frozenset[str] | None:
        """The cameras they may see; None for all. Filters hits, pictures, clips and alerts."""
        return self.signed.cameras

    @property
    def by(self) -> By:
        """Actor and address, for changes of accounts."""
        return By(self.name, self.address)

    def may_see(self, camera: str) -> bool:
        """True if a camera is among theirs."""
        return self.cameras is None or camera in self.cameras

    def check_camera(self, camera: str, what: str) -> None:
        """Answer 404 for a camera outside their groups, as if it were not there.

        Raises:
            HTTPException: 404, "there is no WHAT".
        """
        if not self.may_see(camera):
            raise HTTPException(404, f"there is no {what}")

    def note(
        self,
        action: str,
        subject: str,
        reason: str = "",
        details: Mapping[str, Any] | None = None,
    ) -> None:
        """Append to the audit trail what they do (actions: `storage.audit.ACTIONS`)."""
        self.desk.audit(self.name, action, subject, reason, details, self.address)
        self.noted.append(subject)
        if action == "view":
            self.shows([subject])

    def look(self, subject: str, *shown_by: str, details: Mapping[str, Any] | None = None) -> None:
        """Note a view that pages ask for by themselves, unless the audit trail has it already.

        That is so for an hour after a view of the subject was noted, or after what was noted
        showed it.

        Args:
            subject: of the row.
            shown_by: what else covers it: its path, for a picture (see `web.pages.page`).
            details: of the row.
        """
        if not self.desk.looked.covers(self._key, (subject, *shown_by)):
            self.note("view", subject, details=details)
            self.shows(shown_by)

    def shows(self, things: Iterable[str]) -> None:
        """What was noted in this request shows these: subjects, or paths of pictures."""
        self.desk.looked.add(self._key, things)

    @property
    def _key(self) -> str:
        """A program's views are not those of the same user's browser."""
        return f"{self.name} {self.signed.through}"


class Access:
    """The dependency behind the types: checks the role, and the form token of a change."""

    def __init__(self, role: Role | None) -> None:
        """Need a role; None: everybody."""
        self.role = role

    async def __call__(self, request: Request) -> Visitor | None:
        """The visitor.

        Raises:
            HTTPException: 401 if nobody is signed in, 403 if the role or the form token is wrong.
        """
        visitor = visitor_of(request)
        if self.role is None:
            return visitor
        if visitor is None:
            raise HTTPException(401, "sign in first")
        if visitor.role < self.role:
            raise HTTPException(
                403, f"this is for the role {self.role.word}; yours is {visitor.role.word}"
            )
        if request.method not in SAFE and not request.url.path.startswith(API):
            await _check_form_token(request, visitor.signed.csrf)
        return visitor


async def _check_form_token(request: Request, expected: str) -> None:
    sent: object = request.headers.get("x-csrf-token")
    if sent is None:
        # The form was read for the route's own fields already; this is the same object.
        sent = (await request.form()).get("csrf")
    given = sent if isinstance(sent, str) else ""
    if not expected or not hmac.compare_digest(given.encode(), expected.encode()):
        raise HTTPException(403, "this form is not of this session; reload the page and try again")


def visitor_of(request: Request) -> Visitor | None:
    """Who asks, as the gate found out; None for a stranger."""
    found: Visitor | None = getattr(request.state, "visitor", None)
    return found


def desk_of(request: Request) -> Desk:
    """The desk, where nobody is signed in; else `who.desk`."""
    desk: Desk = request.app.state.desk
    return desk


Anybody = Annotated[Visitor | None, Depends(Access(None))]
Viewer = Annotated[Visitor, Depends(Access(Role.VIEWER))]
Investigator = Annotated[Visitor, Depends(Access(Role.INVESTIGATOR))]
Administrator = Annotated[Visitor, Depends(Access(Role.ADMINISTRATOR))]
TheDesk = Annotated[Desk, Depends(desk_of)]


def declared(route: APIRoute) -> list[Access]:
    """The `Access` of a route; there has to be exactly one."""

    def walk(dependant: Dependant) -> Iterable[Access]:
        if isinstance(dependant.call, Access):
            yield dependant.call
        for below in dependant.dependencies:
            yield from walk(below)

    return list(walk(route.dependant))


def check_routes(routers: Iterable[APIRouter]) -> None:
    """Refuse to serve a route that does not say who may use it.

    Raises:
        RuntimeError: naming the route; a mistake of ours, not of a user.
    """
    for router in routers:
        for route in router.routes:
            if not isinstance(route, APIRoute) or len(declared(route)) != 1:
                raise RuntimeError(
                    f"route {getattr(route, 'path', route)} must name exactly one role; "
                    "see web/access.py"
                )
