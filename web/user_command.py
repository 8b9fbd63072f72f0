"""`crosscam user`: accounts from the terminal. Light to import."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from storage.arguments import add_media, add_store

if TYPE_CHECKING:
    from storage.accounts.accounts import UserRow
    from storage.store import Store

EPILOG = """examples:
  crosscam user list --store sqlite:///crosscam.db
  crosscam user add mia --role investigator --all-cameras
  crosscam user link mia                      a one-time link to set a password
  crosscam user disable mia                   signs her out everywhere; `enable` undoes it

Whoever may write to the store may do this: there is no password to ask for at the terminal.
"""


def add_user(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `user` to the front door's parser."""
    parser = commands.add_parser(
        "user",
        help="list, add, disable users of the pages; print a one-time link",
        description="Accounts from the terminal.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    does = parser.add_subparsers(dest="deed", metavar="DEED", required=True)
    listed = does.add_parser("list", help="all users")
    listed.add_argument("--json", action="store_true", help="as JSON")
    added = does.add_parser("add", help="make a user and print the one-time link")
    added.add_argument("name")
    added.add_argument(
        "--role", default="viewer", choices=("viewer", "investigator", "administrator")
    )
    added.add_argument("--all-cameras", action="store_true", help="sees every camera")
    added.add_argument(
        "--group", action="append", default=[], metavar="NAME", help="sees this camera group"
    )
    linked = does.add_parser("link", help="print a one-time link to set a password")
    linked.add_argument("name")
    for adding in (added, linked):
        adding.add_argument(
            "--base-url",
            default="http://127.0.0.1:8800",
            metavar="URL",
            help="where the pages are served (default: %(default)s)",
        )
    for deed, text in (("disable", "no longer let in, signed out at once"), ("enable", "let in")):
        does.add_parser(deed, help=text).add_argument("name")
    for deed_parser in does.choices.values():
        add_store(deed_parser)
        add_media(deed_parser)
        deed_parser.set_defaults(function=user)


def user(options: argparse.Namespace) -> int:
    """`crosscam user`."""
    from storage.store import Store

    with Store.open(options.store, options.media, create=False) as store:
        if options.deed == "list":
            _list(store, options.json)
        else:
            _change(store, options)
    return 0


def _list(store: Store, as_json: bool) -> None:
    import json
    import sys

    from rich.console import Console
    from rich.table import Table

    from storage.accounts.accounts import groups, users
    from storage.models import iso_text

    reader = store.reader()
    names = {group.id: group.name for group in groups(reader)}
    found = users(reader)
    if as_json:
        rows = [
            {
                "name": user.name,
                "role": user.role.word,
                "cameras": "all" if user.all_cameras else [names[g] for g in user.groups],
                "state": _state(user),
                "created": iso_text(user.created),
            }
            for user in found
        ]
        sys.stdout.write(json.dumps(rows, indent=2, ensure_ascii=False) + "\n")
        return
    table = Table("name", "role", "cameras", "state", "created")
    for user in found:
        cameras = "all" if user.all_cameras else ", ".join(names[g] for g in user.groups) or "none"
        table.add_row(user.name, user.role.word, cameras, _state(user), iso_text(user.created))
    Console(highlight=False).print(table)


def _change(store: Store, options: argparse.Namespace) -> None:
    from rich.console import Console

    from reid.errors import AccountError
    from storage.accounts.accounts import Accounts, By, Role, find_user, groups
    from storage.accounts.passwords import Passwords
    from storage.accounts.tokens import Links
    from storage.audit import person_at_terminal

    console = Console(highlight=False, soft_wrap=True)
    by = By(person_at_terminal())
    accounts = Accounts(store)
    if options.deed == "add":
        known = {group.name: group.id for group in groups(store.reader())}
        for name in options.group:
            if name not in known:
                there = ", ".join(sorted(known)) or "none"
                raise AccountError(f"--group {name!r}: there is no such camera group; has: {there}")
        found = accounts.add_user(
            options.name,
            Role.named(options.role),
            by,
            all_cameras=options.all_cameras,
            groups=[known[name] for name in options.group],
        )
    else:
        found = find_user(store.reader(), options.name)
    if options.deed in ("disable", "enable"):
        accounts.change_user(found.id, by, disabled=options.deed == "disable")
        console.print(f"user {found.name}: {options.deed}d", markup=False)
        return
    link = Links(store, Passwords()).issue(found.id, by)
    console.print(
        f"user {found.name}, {found.role.word}. Set the password here (works once, within 24 "
        f"hours):\n{options.base_url.rstrip('/')}/link/{link}",
        markup=False,
    )
    if not found.all_cameras and not found.groups:
        console.print("This user sees no camera yet: groups are given on the page Users.")


def _state(user: UserRow) -> str:
    return "disabled" if user.disabled else "active" if user.has_password else "no password yet"
