"""Signing in, sessions, one-time links and tokens; time is a clock of the test's own."""

from __future__ import annotations

import re
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import select

from reid.errors import AccountError
from storage import audit
from storage.accounts.accounts import Accounts, By, Role
from storage.accounts.keys import Keys, SignedIn
from storage.accounts.passwords import Passwords
from storage.accounts.tokens import MOST_TOKENS, Links, Tokens, tokens
from storage.desk_models import ApiToken, Session, User
from storage.store import Store

PASSWORD = "korrekt pferd batterie"
BY = By("anna", "10.0.0.7")
HOUR = 3600.0


class Clock:
    now = 1_700_000_000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def store(request: pytest.FixtureRequest, sqlite_url: str, media: Path) -> Iterator[Store]:
    """SQLite; PostgreSQL too where a test asks for `url` (a database of its own takes seconds)."""
    url = request.getfixturevalue("url") if "url" in request.fixturenames else sqlite_url
    with Store.open(url, media) as opened:
        yield opened


@pytest.fixture
def passwords() -> Passwords:
    return Passwords(1, 8, 1)


@pytest.fixture
def keys(store: Store, passwords: Passwords, clock: Clock) -> Keys:
    return Keys(store, passwords, idle=HOUR, longest=10 * HOUR, clock=clock)


@pytest.fixture
def links(store: Store, passwords: Passwords, clock: Clock) -> Links:
    return Links(store, passwords, clock)


@pytest.fixture
def mia(store: Store, links: Links) -> int:
    """A viewer with a password."""
    user = Accounts(store).add_user("mia", Role.VIEWER, BY, all_cameras=True)
    links.use(links.issue(user.id, BY), PASSWORD, None)
    return user.id


def signed_in(keys: Keys) -> tuple[str, SignedIn]:
    cookie = keys.sign_in(" Mia ", PASSWORD, "10.0.0.9")
    assert cookie is not None
    found = keys.session(cookie)
    assert found is not None
    return cookie, found


def test_signing_in_and_out(store: Store, keys: Keys, mia: int) -> None:
    cookie, who = signed_in(keys)
    assert (who.user.id, who.user.role, who.cameras) == (mia, Role.VIEWER, None)
    other, _ = signed_in(keys)

    keys.sign_out(who, By("mia", "10.0.0.9"))
    assert keys.session(cookie) is None
    assert keys.session(other) is not None
    rows = audit.entries(store.reader(), limit=3)
    assert [(r.actor, r.action, r.address) for r in rows] == [
        ("mia", "sign-out", "10.0.0.9"),
        ("mia", "sign-in", "10.0.0.9"),
        ("mia", "sign-in", "10.0.0.9"),
    ]


def test_wrong_unknown_and_disabled_are_one_answer_after_the_same_work(
    store: Store, keys: Keys, passwords: Passwords, mia: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    accounts = Accounts(store)
    accounts.add_user("new", Role.VIEWER, BY)  # no password yet
    gone = accounts.add_user("gone", Role.VIEWER, BY)
    links = Links(store, passwords)
    links.use(links.issue(gone.id, BY), PASSWORD, None)
    accounts.change_user(gone.id, BY, disabled=True)

    checked: list[bool] = []
    verify = passwords.matches

    def counting(stored: str | None, password: str) -> bool:
        checked.append(stored is not None)
        return verify(stored, password)

    monkeypatch.setattr(passwords, "matches", counting)
    tries = [("mia", "wrong"), ("zoe", PASSWORD), ("new", PASSWORD), ("gone", PASSWORD), ("", "")]
    assert [keys.sign_in(*attempt, "10.0.0.9") for attempt in tries] == [None] * 5
    assert len(checked) == 5  # a password was hashed each time

    failed = audit.entries(store.reader(), action="sign-in-failed")
    assert [r.subject for r in reversed(failed)] == [
        "user mia",
        "an unknown name",  # people type passwords into the wrong field
        "user new",
        "user gone",
        "an unknown name",
    ]


@pytest.mark.usefixtures("url")
def test_a_session_ends_unused_and_after_its_longest_time(
    keys: Keys, mia: int, clock: Clock
) -> None:
    cookie, _ = signed_in(keys)
    for _ in range(9):
        clock.now += HOUR - 60
        assert keys.session(cookie) is not None  # each use counts
    clock.now += HOUR + 60
    assert keys.session(cookie) is None  # unused for an hour

    cookie, _ = signed_in(keys)
    for _ in range(20):
        clock.now += HOUR / 2
        if keys.session(cookie) is None:
            break
    assert clock.now - Clock.now >= 10 * HOUR  # used all the time, and over all the same
    assert keys.session(cookie) is None


def test_neither_cookies_nor_tokens_nor_links_stand_in_the_store(
    store: Store, keys: Keys, links: Links, mia: int
) -> None:
    cookie, who = signed_in(keys)
    secrets = [cookie, links.issue(mia, BY), Tokens(store).issue(mia, "backup", BY, 30)]
    with store.reader().connection() as connection:
        rows = [
            str(tuple(row))
            for table in (User, Session, ApiToken)
            for row in connection.execute(select(*table.__table__.columns))
        ]
    written = "\n".join([*rows, *map(str, audit.entries(store.reader()))])
    assert all(secret not in written and len(secret) >= 43 for secret in secrets)
    assert PASSWORD not in written and who.csrf not in secrets


def test_who_is_disabled_is_out_at_once(store: Store, keys: Keys, mia: int) -> None:
    cookie, _ = signed_in(keys)
    token = Tokens(store).issue(mia, "backup", BY, None)
    Accounts(store).change_user(mia, BY, disabled=True)
    assert keys.session(cookie) is None and Tokens(store).find(token) is None
    Accounts(store).change_user(mia, BY, disabled=False)
    assert keys.session(cookie) is None  # the session is gone, the token works again
    assert Tokens(store).find(token) is not None


def test_a_role_that_changes_counts_in_the_running_session(
    store: Store, keys: Keys, mia: int
) -> None:
    cookie, _ = signed_in(keys)
    Accounts(store).change_user(mia, BY, role=Role.INVESTIGATOR, all_cameras=False)
    found = keys.session(cookie)
    assert found is not None
    assert (found.user.role, found.cameras) == (Role.INVESTIGATOR, frozenset())


def test_a_new_password_ends_the_other_sessions(keys: Keys, mia: int) -> None:
    here, who = signed_in(keys)
    there, _ = signed_in(keys)
    with pytest.raises(AccountError, match="the present password is not right"):
        keys.set_password(who, "wrong", "ganz neue worte hier", BY)
    assert keys.session(there) is not None
    keys.set_password(who, PASSWORD, "ganz neue worte hier", BY)
    assert keys.session(here) is not None and keys.session(there) is None
    assert keys.sign_in("mia", PASSWORD, None) is None
    assert keys.sign_in("mia", "ganz neue worte hier", None) is not None


def test_older_hash_parameters_are_renewed_at_sign_in(
    store: Store, mia: int, passwords: Passwords
) -> None:
    stronger = Keys(store, Passwords(2, 16, 1))
    assert stronger.sign_in("mia", PASSWORD, None) is not None
    with store.reader().connection() as connection:
        stored = connection.execute(select(User.password)).scalar_one()
    assert re.search(r"m=16,t=2,p=1", stored)


@pytest.mark.usefixtures("url")
def test_a_link_works_once_and_not_for_ever(
    store: Store, keys: Keys, links: Links, mia: int, clock: Clock
) -> None:
    first, second = links.issue(mia, BY), links.issue(mia, BY)
    assert links.find(first) is None  # a newer one ends it
    with pytest.raises(AccountError, match="allowed: 12 to 256"):
        links.use(second, "short", None)
    assert links.find(second) is not None  # a refused password does not use it up
    before, _ = signed_in(keys)
    links.use(second, "ganz neue worte hier", None)
    assert keys.session(before) is None
    with pytest.raises(AccountError, match="was used, has expired"):
        links.use(second, "noch einmal neue worte", None)
    third = links.issue(mia, BY, hours=1)
    clock.now += HOUR
    assert links.find(third) is None
    assert links.find("") is None and links.find("x" * 4000) is None


def test_a_new_password_by_a_link_ends_the_users_tokens(
    store: Store, links: Links, mia: int, clock: Clock
) -> None:
    """Whoever knew the old password may have made a token with it, which stayed valid."""
    other = Accounts(store).add_user("bo", Role.VIEWER, BY)
    made = Tokens(store, clock)
    hers, older = (made.issue(mia, name, BY, None) for name in ("backup", "older"))
    made.revoke(tokens(store.reader(), mia)[0].id, BY)
    others = made.issue(other.id, "backup", BY, None)
    links.use(links.issue(mia, BY), "ganz neue worte hier", None)
    assert (made.find(hers), made.find(older)) == (None, None)
    assert made.find(others) is not None
    changed = audit.entries(store.reader(), action="user")[0]
    assert changed.details["tokens revoked"] == 1  # the other was revoked before


@pytest.mark.usefixtures("url")
def test_of_many_who_use_one_link_at_once_one_succeeds(keys: Keys, links: Links, mia: int) -> None:
    link = links.issue(mia, BY)

    def use(number: int) -> bool:
        try:
            links.use(link, f"ganz neue worte hier {number}", None)
        except AccountError:
            return False
        return True

    with ThreadPoolExecutor(4) as pool:
        worked = list(pool.map(use, range(4)))
    assert sum(worked) == 1
    number = worked.index(True)
    assert keys.sign_in("mia", f"ganz neue worte hier {number}", None) is not None


def test_a_token_stands_for_its_user_until_it_ends(store: Store, mia: int, clock: Clock) -> None:
    programs = Tokens(store, clock)
    secret = programs.issue(mia, "  nightly   backup ", BY, 30)
    assert secret.startswith("crosscam_")
    found = programs.find(secret)
    assert found is not None
    assert (found.user.name, found.through, found.csrf) == ("mia", "token nightly backup", "")
    assert programs.find(secret[:-1]) is None
    (row,) = tokens(store.reader(), mia)
    assert (row.name, row.used, row.revoked) == ("nightly backup", clock.now, None)
    clock.now += 30 * 86400
    assert programs.find(secret) is None

    lasting = programs.issue(mia, "b", BY, None)
    number = tokens(store.reader(), mia)[0].id
    with pytest.raises(AccountError, match=f"there is no token {number}"):
        programs.revoke(number, BY, owner=mia + 1)  # somebody else's
    programs.revoke(number, BY)
    assert programs.find(lasting) is None


def test_links_are_no_tokens_and_tokens_no_links(store: Store, links: Links, mia: int) -> None:
    programs = Tokens(store)
    assert programs.find(links.issue(mia, BY)) is None
    assert links.find(programs.issue(mia, "a", BY, None)) is None


def test_tokens_that_cannot_be_made(store: Store, mia: int) -> None:
    programs = Tokens(store)
    for name, days in (("", 30), ("x" * 101, 30), ("a", 0), ("a", 4000), ("a", float("nan"))):
        with pytest.raises(AccountError, match="token"):
            programs.issue(mia, name, BY, days)
    for number in range(MOST_TOKENS):
        programs.issue(mia, f"t{number}", BY, None)
    with pytest.raises(AccountError, match=f"has {MOST_TOKENS} tokens"):
        programs.issue(mia, "one more", BY, None)
