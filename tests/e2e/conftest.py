"""The site of the whole session, its two users, and a browser for each test."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.e2e.browser import Browser, open_chromium
from tests.e2e.site import Server, Site, make_site, serving

PASSWORD = "korrekt pferd batterie"
ADMINISTRATOR, INVESTIGATOR = "admin", "mia"


@dataclass(frozen=True)
class Desk:
    """A served site with people who may use it."""

    site: Site
    server: Server

    def sign_in(self, browser: Browser, name: str) -> None:
        """See `sign_in`."""
        sign_in(browser, name)


@pytest.fixture(scope="session")
def desk(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Desk]:
    """Pipeline, server, and the first start: the administrator makes herself and one more."""
    folder = tmp_path_factory.mktemp("site")
    open_chromium(folder).quit()  # skips before the work, where there is no browser
    site = make_site(folder, shared)
    with serving(site) as server:
        desk = Desk(site, server)
        browser = Browser(server.address, folder)
        try:
            first_start(desk, browser)
        finally:
            browser.close()
        yield desk


def first_start(desk: Desk, browser: Browser) -> None:
    """The printed link makes the administrator, who makes an investigator with a link."""
    become_administrator(browser, desk.server)
    browser.press("Users")
    browser.arrive("/users")
    browser.fill("Name", INVESTIGATOR)
    browser.field("Role").send_keys("Investigator")
    browser.field("All, those to come included").click()
    browser.press("Make the user and a one-time link")
    browser.arrive("/")
    found = re.search(r"http\S+/link/\S+", browser.text)
    assert found, browser.text
    browser.press("Sign out")
    browser.arrive("/sign-in")
    use_link(browser, found.group(0))


def sign_in(browser: Browser, name: str) -> None:
    """As a person does it."""
    browser.go("/")
    browser.arrive("/sign-in")
    browser.fill("Name", name)
    browser.fill("Password", PASSWORD)
    browser.press("Sign in")
    browser.arrive("/live")


def become_administrator(browser: Browser, server: Server) -> None:
    """The link of the first start makes the administrator, who signs in."""
    assert server.link is not None
    use_link(browser, server.link)
    sign_in(browser, ADMINISTRATOR)


def use_link(browser: Browser, link: str) -> None:
    """Set the password that a one-time link lets one set."""
    browser.go(link)
    browser.fill("Password", PASSWORD)
    browser.fill("The same again", PASSWORD)
    browser.press("Set the password")
    browser.arrive("/sign-in")


@pytest.fixture
def open_browser(desk: Desk, tmp_path: Path) -> Iterator[Callable[[], Browser]]:
    """Opens browsers, each without the others' cookies; what they download is in `tmp_path`."""
    opened: list[Browser] = []

    def make() -> Browser:
        opened.append(Browser(desk.server.address, tmp_path))
        return opened[-1]

    yield make
    for browser in opened:
        browser.close()


@pytest.fixture
def browser(open_browser: Callable[[], Browser]) -> Browser:
    """A browser that nobody signed in with."""
    return open_browser()
