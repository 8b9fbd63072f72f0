"""A person at the desk, in real Chromium: from a photo to a case that can be handed over."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from selenium.webdriver.common.keys import Keys

from storage import audit
from storage.queries import StoreReader
from tests.e2e.browser import Browser
from tests.e2e.conftest import ADMINISTRATOR, INVESTIGATOR, PASSWORD, Desk
from tests.e2e.contrast import weak_texts
from tests.e2e.site import crosscam

pytestmark = pytest.mark.timeout(900)  # on a busy machine the model alone takes minutes
REASON = "missing child, report 17/26"


def test_from_a_photo_to_a_case(desk: Desk, browser: Browser, tmp_path: Path) -> None:
    desk.sign_in(browser, INVESTIGATOR)
    hits = search_for_photo(browser, desk, "right")
    assert hits and all("right" in hit for hit in hits), "the filter keeps to the right camera"

    browser.all(".hits a")[0].click()
    browser.arrive("/search/")
    assert "/hit/" in browser.path
    evidence = browser.path
    browser.until(lambda: browser.js(PICTURES_THERE), "the crops side by side do not load")
    assert len(browser.all(".faces img")) == 2 and len(browser.all(".parts tbody tr")) >= 3
    assert "looks alike" in browser.one("h1").text.lower()

    browser.press("Looks alike: confirm")
    browser.arrive(evidence.partition("?")[0])
    assert "You said: looks alike" in browser.text
    identity = browser.one("a[href^='/identities/']")
    name = identity.text.removeprefix("Where did ").removesuffix(" go?")
    identity.click()
    browser.arrive("/identities/")
    browser.press("Play all cameras")
    browser.arrive("/replay")
    play_both(browser)

    browser.driver.back()
    browser.arrive("/identities/")
    archive = export_case(browser, tmp_path)
    said = crosscam("case", "verify", str(archive), "--store", desk.site.url, folder=tmp_path)
    assert archive.name in said

    browser.press("Sign out")
    browser.arrive("/sign-in")
    assert not browser.problems()
    trail(desk, name)
    for path in (evidence, "/live", "/replay?identity=1", "/cases/1"):
        browser.go(path)
        browser.arrive("/sign-in")
    for path in ("/pictures/1", "/live/picture?camera=left", "/api/v1/cameras"):
        script = "return fetch(arguments[0]).then(answer => answer.status)"
        assert browser.js(script, path) == 401, path


def search_for_photo(browser: Browser, desk: Desk, camera: str) -> list[str]:
    """Upload the photo, keep to one camera; what the cards of the hits say."""
    browser.press("Search")
    browser.arrive("/search")
    browser.field("Photos of the person").send_keys(str(desk.site.photo))
    browser.until(lambda: browser.js("return document.querySelector('#preview img')?.naturalWidth"),
                  "the photo is not shown before it is sent")  # fmt: skip
    browser.fill("Why do you search?", REASON)
    browser.field(camera).click()
    browser.one("form.ask button[type=submit]").click()
    browser.until(lambda: browser.path.count("/") == 2, "no hits")
    browser.arrive("/search/")
    return [card.text for card in browser.all(".hit")]


NOTE_MOMENTS = (Path(__file__).parent / "moments.js").read_text()
PICTURES_THERE = """
const all = [...document.querySelectorAll(".faces img")];
return all.length > 0 && all.every((picture) => picture.complete && picture.naturalWidth > 0);
"""


def play_both(browser: Browser) -> None:
    """Play, and watch both videos move by one clock."""
    assert len(browser.all(".screen video")) == 2
    assert "This is the first part" not in browser.text, "there is footage of all of it"
    browser.until(lambda: browser.js("return [...document.querySelectorAll('.screen video')]"
                                     ".every(v => v.readyState >= 2)"), "no video")  # fmt: skip
    browser.js(NOTE_MOMENTS)
    browser.press("Play")
    end = float(str(browser.one("#at").get_attribute("max")))
    browser.until(lambda: float(browser.js("return at.value")) > end - 0.1, "does not play")
    seen = browser.js("return window.moments")
    assert len(seen) >= 10, "the videos hardly ever moved together"
    for times in zip(*seen, strict=True):
        assert times[-1] - times[0] > 1.0, "one of them does not move"
    apart = [abs(one - other) for one, other in seen]
    assert max(apart) <= 0.2, apart
    for jump in ("[data-jump]", "[data-act=forward]", "[data-act=back]"):
        browser.all(jump)[-1].click()
        browser.until(lambda: at_the_clock(browser), f"{jump} leads nowhere")


def at_the_clock(browser: Browser) -> bool:
    """True if both videos, at rest, show the moment that the clock says."""
    clock, shown = browser.js("return [clockNow(), shown(false)]")
    return all(moment is not None and abs(moment - clock) <= 0.2 for moment in shown)


def export_case(browser: Browser, downloads: Path) -> Path:
    """Put the identity into a new case and take the case home."""
    browser.press("Add to a case")
    browser.arrive("/cases/add")
    browser.fill("Name", "Child at the west path")
    browser.fill("Why is it opened?", REASON)
    browser.press("Add")
    browser.arrive("/cases/")
    browser.fill("Why, and for whom?", "for the prosecutor")
    browser.press("Export")
    browser.arrive("/cases/")
    browser.until(lambda: "Download the ZIP" in browser.text, "no export")
    browser.press("Download the ZIP")
    browser.until(lambda: list(downloads.glob("*.zip")), "no ZIP arrives")
    return next(downloads.glob("*.zip"))


def trail(desk: Desk, name: str) -> None:
    """The audit trail names user, time and reason of each step."""
    with StoreReader.open(desk.site.url) as reader:
        rows = [row for row in audit.entries(reader) if row.actor == INVESTIGATOR][::-1]
    assert [row.time for row in rows] == sorted(row.time for row in rows)
    steps = [(row.action, row.reason) for row in rows]
    actions = [action for action, _ in steps]
    for first, then in pairwise(STEPS):
        assert first in actions and then in actions[actions.index(first) :], (first, then, actions)
    decided = f"search for photo {desk.site.photo.name}: {REASON}"
    for step in (("search", REASON), ("decide", decided), ("case", REASON),
                 ("export", "for the prosecutor")):  # fmt: skip
        assert step in steps, (step, steps)
    assert all(row.address == "127.0.0.1" for row in rows)
    assert any(row.action == "play" and row.subject == name for row in rows)


STEPS = ["sign-in", "search", "view", "decide", "play", "case", "export", "sign-out"]


def test_by_the_keyboard_alone(desk: Desk, browser: Browser) -> None:
    browser.go("/")
    browser.arrive("/sign-in")
    browser.keys(INVESTIGATOR)  # the name has the focus already
    browser.tab_to("Password")
    browser.keys(PASSWORD, Keys.ENTER)
    browser.arrive("/live")
    browser.tab_to("Skip to content")
    browser.tab_to("Search")
    browser.keys(Keys.ENTER)
    browser.arrive("/search")
    # The system's own dialog for a file is not the page's: the file is put into the field.
    browser.field("Photos of the person").send_keys(str(desk.site.crowd))
    browser.tab_to("Why do you search?")
    browser.keys(REASON)
    browser.tab_to("left")
    browser.keys(Keys.SPACE)
    browser.tab_to("Search")
    browser.keys(Keys.ENTER)
    browser.until(lambda: browser.path.endswith("/people"), "nobody asks who is meant")
    browser.arrive("/search/")
    browser.tab_to("Person 2")
    browser.keys(Keys.ENTER)
    browser.until(lambda: browser.all(".hits"), "no hits")
    browser.tab_to("Hit 1")
    browser.keys(Keys.ENTER)
    browser.until(lambda: browser.all(".faces"), "no evidence")
    browser.tab_to("Somebody else")
    browser.keys(Keys.ENTER)
    browser.until(lambda: "You said: somebody else" in browser.text, "nothing was decided")
    browser.tab_to("Play the clip")
    browser.keys(Keys.ENTER)
    browser.arrive("/replay")
    browser.tab_to("Play")
    browser.keys(Keys.SPACE)
    browser.until(lambda: float(browser.js("return at.value")) > 0.5, "nothing plays")
    browser.tab_to("Sign out")
    browser.keys(Keys.SPACE)
    browser.arrive("/sign-in")


def test_every_page_can_be_read(desk: Desk, browser: Browser) -> None:
    """Contrast in light and dark, room on a telephone's width, a name for whatever can be used."""
    bad: list[object] = []
    browser.go("/sign-in")
    read_page(browser, bad)
    desk.sign_in(browser, ADMINISTRATOR)
    for path in ADMINISTRATORS:
        browser.go(path)
        read_page(browser, bad)
    browser.go("/search?track=6")
    browser.fill("Why do you search?", REASON)
    browser.one("form.ask button[type=submit]").click()
    browser.until(lambda: browser.all(".hits"), "no hits")
    read_page(browser, bad)
    browser.all(".hits a")[0].click()
    browser.until(lambda: browser.all(".faces"), "no evidence")
    read_page(browser, bad)
    browser.go("/cases/add?identity=2")
    browser.fill("Name", "Somebody else's")
    browser.fill("Why is it opened?", REASON)
    browser.press("Add")
    browser.until(lambda: browser.all(".items .item"), "no case")
    read_page(browser, bad)
    browser.go("/watches/new?identity=2")
    browser.fill("What to call it", "Boy, dark coat")
    browser.fill("Why is this person watched for?", REASON)
    browser.press("Watch")
    browser.until(lambda: "/new" not in browser.path, "no watch")
    read_page(browser, bad)
    assert not bad, "\n".join(map(str, bad))
    assert not [said for said in browser.problems() if "status of 404" not in said]


ADMINISTRATORS = (
    "/live", "/timeline", "/search", "/identities/2", "/tracks/6", "/replay",
    "/replay?identity=2", "/watches", "/watches/new", "/watches/new?identity=2", "/alerts",
    "/cases", "/cases/add?identity=2", "/decisions", "/account", "/docs", "/users", "/users/2",
    "/groups", "/holds", "/audit", "/no/such/page",
)  # fmt: skip


def read_page(browser: Browser, bad: list[object]) -> None:
    """Add what is wrong with the page that is open."""
    browser.arrive("/")
    for dark in (False, True):
        browser.dark(dark)
        count, weak = weak_texts(browser)
        assert count > 5, f"{browser.path} shows hardly any text"
        bad += [(browser.path, "dark" if dark else "light", piece) for piece in weak]
    browser.dark(False)
    bad += [(browser.path, "has no name", what) for what in browser.unnamed()]
    browser.width(390)
    wide = browser.js("return document.scrollingElement.scrollWidth")
    if wide > 390:
        bad.append((browser.path, f"is {wide} px wide on a telephone of 390"))
    browser.width(1280)
