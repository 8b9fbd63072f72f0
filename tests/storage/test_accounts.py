"""Users, roles and camera groups, on each kind of database."""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from sqlalchemy import select

from reid.errors import AccountError
from storage import audit
from storage.accounts import accounts
from storage.accounts.accounts import Accounts, By, Role
from storage.accounts.passwords import LONGEST, Passwords, check_password
from storage.accounts.tokens import Links
from storage.desk_models import User
from storage.store import Store

BY = By("anna", "10.0.0.7")


@pytest.fixture
def store(request: pytest.FixtureRequest, sqlite_url: str, media: Path) -> Iterator[Store]:
    """SQLite; PostgreSQL too where a test asks for `url` (a database of its own takes seconds)."""
    url = request.getfixturevalue("url") if "url" in request.fixturenames else sqlite_url
    with Store.open(url, media) as opened:
        yield opened


def cameras_of(store: Store, name: str) -> frozenset[str] | None:
    reader = store.reader()
    user = accounts.find_user(reader, name)
    with reader.connection() as connection:
        return accounts.visible_cameras(connection, user)


@pytest.mark.usefixtures("url")
def test_a_user_sees_the_cameras_of_all_their_groups_and_no_other(store: Store) -> None:
    changes = Accounts(store)
    east = changes.add_group("East", BY, ["door", "yard"])
    west = changes.add_group("West", BY, ["hall", "yard"])
    changes.add_group("Others", BY, ["vault"])
    changes.add_user("mia", Role.VIEWER, BY, groups=[east, west])
    changes.add_user("nobody", Role.VIEWER, BY)
    changes.add_user("all", Role.VIEWER, BY, all_cameras=True, groups=[east])

    assert cameras_of(store, "mia") == {"door", "yard", "hall"}
    assert cameras_of(store, "nobody") == frozenset()
    assert cameras_of(store, "all") is None

    changes.change_group(east, BY, cameras=["door"])
    changes.remove_group(west, BY)
    assert cameras_of(store, "mia") == {"door"}
    assert [(g.name, g.cameras) for g in accounts.groups(store.reader())] == [
        ("East", ("door",)),
        ("Others", ("vault",)),
    ]


def test_a_change_is_seen_at_once_and_written_down_with_who_and_from_where(store: Store) -> None:
    changes = Accounts(store)
    user = changes.add_user("mia", Role.VIEWER, BY, reason="night shift")
    changed = changes.change_user(user.id, BY, role=Role.INVESTIGATOR, disabled=False)

    assert (changed.role, changed.disabled, changed.has_password) == (
        Role.INVESTIGATOR,
        False,
        False,
    )
    rows = audit.entries(store.reader(), action="user")
    assert [(r.actor, r.subject, r.reason, r.address) for r in rows] == [
        ("anna", "user mia", "", "10.0.0.7"),
        ("anna", "user mia", "night shift", "10.0.0.7"),
    ]
    assert rows[0].details == {"role": "investigator"}  # what did not change is not said


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize("change", [{"disabled": True}, {"role": Role.INVESTIGATOR}])
def test_the_last_administrator_stays(store: Store, change: dict[str, object]) -> None:
    changes = Accounts(store)
    anna = changes.add_user("anna", Role.ADMINISTRATOR, BY)
    before = accounts.users(store.reader())
    with pytest.raises(AccountError, match="'anna' is the last administrator"):
        changes.change_user(anna.id, BY, **change)  # type: ignore[arg-type]
    assert accounts.users(store.reader()) == before  # nothing half done
    assert len(audit.entries(store.reader())) == 1

    changes.add_user("bert", Role.ADMINISTRATOR, BY)
    changes.change_user(anna.id, BY, **change)  # type: ignore[arg-type]


def test_who_never_used_their_link_is_no_administrator_to_fall_back_on(store: Store) -> None:
    """The last one with a password stepped down; nobody could sign in to the pages any more."""
    changes = Accounts(store)
    passwords = Passwords(1, 8, 1)
    anna = changes.add_user("anna", Role.ADMINISTRATOR, BY)
    bert = changes.add_user("bert", Role.ADMINISTRATOR, BY)
    links = Links(store, passwords)
    links.use(links.issue(anna.id, BY), "korrekt pferd batterie", None)
    changes.change_user(bert.id, BY, disabled=True)
    changes.change_user(bert.id, BY, disabled=False)
    for change in ({"disabled": True}, {"role": Role.VIEWER}):
        with pytest.raises(AccountError, match="'anna' is the last administrator"):
            changes.change_user(anna.id, BY, **change)  # type: ignore[arg-type]
    links.use(links.issue(bert.id, BY), "korrekt pferd batterie", None)
    changes.change_user(anna.id, BY, role=Role.VIEWER)


def test_who_is_disabled_or_no_investigator_is_told_of_nothing(store: Store) -> None:
    changes = Accounts(store)
    mia = changes.add_user("mia", Role.INVESTIGATOR, BY, all_cameras=True)
    names = {"mia", "cli:ann"}
    assert accounts.visible_now(store.reader(), names) == {"mia": None}
    changes.change_user(mia.id, BY, disabled=True)
    assert accounts.visible_now(store.reader(), names) == {"mia": frozenset()}
    changes.change_user(mia.id, BY, disabled=False, role=Role.VIEWER)
    assert accounts.visible_now(store.reader(), names) == {"mia": frozenset()}


@pytest.mark.parametrize(
    "name",
    ["", "a", "-mia", "mia!", "mia mia", "../mia", "cli:root", "crosscam", "CLI", "m" * 65, "mïa"],
)
def test_a_name_that_cannot_be_one_is_refused_with_the_rule(store: Store, name: str) -> None:
    with pytest.raises(AccountError, match=r"user name .* allowed are 2 to 64"):
        Accounts(store).add_user(name, Role.VIEWER, BY)


def test_names_are_one_whatever_their_case(store: Store) -> None:
    changes = Accounts(store)
    changes.add_user("Mia", Role.VIEWER, BY)
    with pytest.raises(AccountError, match="there is a user 'mia' already"):
        changes.add_user("MIA", Role.VIEWER, BY)
    changes.add_group("East  wing", BY)
    with pytest.raises(AccountError, match="there is a camera group 'east wing' already"):
        changes.add_group("east wing", BY)


def test_what_does_not_exist_is_named(store: Store) -> None:
    changes = Accounts(store)
    with pytest.raises(AccountError, match="there is no user 'mia'"):
        accounts.find_user(store.reader(), "mia")
    with pytest.raises(AccountError, match="there is no user 7"):
        changes.change_user(7, BY, disabled=True)
    with pytest.raises(AccountError, match="there is no camera group 7"):
        changes.add_user("mia", Role.VIEWER, BY, groups=[7])
    with pytest.raises(AccountError, match="there is no camera group 8"):
        changes.remove_group(8, BY)
    with pytest.raises(AccountError, match="role 'boss' is none of viewer, investigator, admin"):
        Role.named("boss")
    assert accounts.users(store.reader()) == []


def test_the_store_holds_an_argon2_hash_and_no_password(store: Store) -> None:
    passwords = Passwords(1, 8, 1)
    stored = passwords.hash("korrekt pferd batterie")
    assert stored.startswith("$argon2id$")
    assert passwords.matches(stored, "korrekt pferd batterie")
    assert not passwords.matches(stored, "korrekt pferd batterien")
    assert not passwords.matches(None, "nobody has this password")
    assert not passwords.matches("damaged", "korrekt pferd batterie")
    assert passwords.matches(passwords.hash("caf\u00e9 am See 12"), "cafe\u0301 am See 12")
    assert passwords.outdated(Passwords(2, 8, 1).hash("x")) and not passwords.outdated(stored)
    with store.reader().connection() as connection:
        assert connection.execute(select(User.password)).all() == []


@pytest.mark.parametrize(
    ("password", "why"),
    [
        ("short", "5 characters; allowed: 12 to 256"),
        ("x" * 257, "257 characters"),
        ("abababababababab", "fewer than 5 different"),
        ("mia-berger-99", "little more than the user's name"),
    ],
)
def test_passwords_that_are_guessed_first(password: str, why: str) -> None:
    with pytest.raises(AccountError, match=why) as found:
        check_password(password, "mia-berger")
    assert password not in str(found.value)
    check_password("korrekt pferd batterie", "mia-berger")


def test_a_long_field_full_of_accents_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Putting accents together took 9 s for 200 kB, in which no other thread ran."""
    asked: list[int] = []

    def normalize(form: str, text: str) -> str:
        asked.append(len(text))
        return unicodedata.normalize(form, text)

    monkeypatch.setattr(
        "storage.accounts.passwords.unicodedata", SimpleNamespace(normalize=normalize)
    )
    passwords = Passwords(1, 8, 1)
    flood = "a" + "\u0315\u0300" * 50_000
    assert not passwords.matches(passwords.hash("korrekt pferd batterie"), flood)
    passwords.hash(flood)
    with pytest.raises(AccountError, match="100001 characters; allowed: 12 to 256"):
        check_password(flood, "mia")
    assert max(asked) <= 4 * LONGEST


def test_the_longest_password_may_be_typed_with_its_accents_apart() -> None:
    passwords = Passwords(1, 8, 1)
    text = "\u1f82\u00e9abcdefgh".ljust(LONGEST, "\u1f82")
    apart = unicodedata.normalize("NFD", text)
    assert len(text) == LONGEST < len(apart)
    check_password(apart, "mia")
    assert passwords.matches(passwords.hash(text), apart)
