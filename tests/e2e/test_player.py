"""The player in a browser: at every moment it shows the picture that was filmed then."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from storage.models import iso_text
from tests.e2e.browser import Browser, open_chromium
from tests.e2e.conftest import become_administrator
from tests.e2e.site import Site, serving
from tests.investigation.recorded import FPS, START, make_store, numbered, record
from trackers.records import Box, TrackPoint

SECONDS = 30  # longer than a piece, so that pieces are joined
LOST = (15.0, 20.0)  # nothing is recorded on the door's camera
CAMERAS = ("door", "old")  # copied; MPEG-4 Part 2, which has to be encoded for browsers

WINDOW = f"from={iso_text(START)}&to={iso_text(START + SECONDS)}"
NUMBERS = (Path(__file__).parent / "numbers.js").read_text()


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    """The player, open on two cameras whose pictures carry their numbers."""
    folder = tmp_path_factory.mktemp("player")
    open_chromium(folder).quit()
    store, run = make_store(folder, *CAMERAS, "new", "grown")
    with store:
        source = numbered(folder, SECONDS * FPS)
        record(store, "door", source, START, groups_each=5, leave_out=(3,), run=run)
        source = numbered(folder, SECONDS * FPS, "mpeg4")
        record(store, "old", source, START, groups_each=5, codec="mpeg4", run=run)
        source = numbered(folder, SECONDS * FPS, "libx265")
        record(store, "new", source, START, groups_each=5, codec="hevc", run=run)
        for begin, size in ((0, (160, 120)), (10, (320, 240))):
            source = numbered(folder, 5 * FPS, size=size)
            record(store, "grown", source, START + begin, run=run, size=size)
        box = Box(240, 60, 280, 180)
        points = [TrackPoint(n, START + 10 + n / FPS, box, 0.9) for n in range(5 * FPS)]
        store.add_points(run, "grown", 1, points)
        url = store.url
    with serving(Site(url, folder, folder, folder)) as server:
        browser = Browser(server.address, folder)
        try:
            become_administrator(browser, server)
            browser.go(f"/replay?{WINDOW}&camera=door&camera=old")
            browser.js(NUMBERS)
            yield browser
        finally:
            browser.close()


def at(browser: Browser, second: float) -> None:
    """Drag the slider there."""
    browser.js(
        "at.value = arguments[0]; at.dispatchEvent(new Event('input', {bubbles: true}))", second
    )


def numbers(browser: Browser) -> list[int | None]:
    """What both videos show at rest; None for a video that is not there yet."""
    return list(browser.js("return numbersShown(false)"))


def wait_for(browser: Browser, second: float, door: bool = True, early: int = 1) -> None:
    """Until what was filmed then is seen: the picture before that moment, or beside it.

    `early`: how many pictures before it may be shown instead.
    """
    expected = int(second * FPS + 1e-6)

    def there() -> bool:
        shown = numbers(browser)
        wanted = shown if door else shown[1:]
        return all(n is not None and -early <= n - expected <= 1 for n in wanted)

    browser.until(there, f"{numbers(browser)} are shown instead of {expected}")


@pytest.mark.parametrize("second", [0.0, 2.35, 12.55, 27.05, 5.0, 28.85, 4.05])
def test_a_jump_leads_to_the_picture_of_that_moment(browser: Browser, second: float) -> None:
    at(browser, second)
    wait_for(browser, second)


def test_where_nothing_was_recorded_nothing_is_shown(browser: Browser) -> None:
    at(browser, 17.05)
    wait_for(browser, 17.05, door=False)
    said = browser.js("return [...document.querySelectorAll('.nothing')].map(e => !e.hidden)")
    assert said == [True, False]
    at(browser, 20.55)
    wait_for(browser, 20.55)


def test_playing_goes_over_pieces_and_gaps_without_a_stop(browser: Browser) -> None:
    at(browser, 1.0)
    wait_for(browser, 1.0)
    browser.js("seen = []; rate.value = '2'")
    browser.press("Play")
    browser.until(lambda: float(browser.js("return at.value")) > SECONDS - 0.1, "does not play")
    seen = browser.js("return seen")
    for camera, index in (("door", 0), ("old", 1)):
        # What is drawn may be a picture or two behind the clock, more where the machine is busy.
        pairs = [(clock, shown[index]) for clock, shown in seen if shown[index] is not None]
        there = [n for _, n in pairs]
        assert there == sorted(there), f"{camera} jumps back"
        assert len({n // FPS for n in there}) >= 20, f"{camera} hardly moves: {there}"
        late = [clock * FPS - n for clock, n in pairs]
        assert min(late) >= -4 and sorted(late)[len(late) // 2] <= 4, (camera, late)
    door = {shown[0] for _, shown in seen} - {None}
    assert not any(LOST[0] * FPS <= n < LOST[1] * FPS for n in door)
    assert not browser.problems()


def test_from_the_end_one_gets_back(browser: Browser) -> None:
    """The last pictures are shown, too; a browser holds them back until it knows them to be."""
    for second in (SECONDS - 0.05, 5.0, SECONDS, 22.05):
        at(browser, second)
        wait_for(browser, min(second, SECONDS - 0.1))
    assert not browser.problems()


def test_just_before_a_gap_there_is_a_picture(browser: Browser) -> None:
    at(browser, 5.0)
    wait_for(browser, 5.0)
    browser.driver.refresh()  # nothing of it is held
    browser.js(NUMBERS)
    # A decoder may keep the last ones to itself until more comes, which does not.
    at(browser, LOST[0] - 0.15)
    wait_for(browser, LOST[0] - 0.15, early=6)


def test_boxes_fit_the_picture_also_after_the_camera_changed_its_size(browser: Browser) -> None:
    browser.go(f"/replay?{WINDOW}&camera=grown")
    at(browser, 12.0)
    left, right = browser.until(lambda: browser.js(BOX), "no box is drawn")
    assert (left, right) == pytest.approx((240 / 320, 280 / 320), abs=0.02)
    assert not browser.problems()
    browser.go(f"/replay?{WINDOW}&camera=door&camera=old")
    browser.js(NUMBERS)


# Where a box is drawn, as shares of the picture's width: below its label, where two lines are left.
BOX = """
const canvas = document.querySelector(".screen canvas");
if (!canvas.width) return null;
const copy = new OffscreenCanvas(canvas.width, canvas.height);
const c = copy.getContext("2d", {willReadFrequently: true});
c.drawImage(canvas, 0, 0);
const row = c.getImageData(0, Math.round(canvas.height / 2), canvas.width, 1).data, seen = [];
const video = document.querySelector(".screen video"), ratio = video.videoWidth / video.videoHeight;
const width = Math.min(canvas.width, canvas.height * ratio), left = (canvas.width - width) / 2;
for (let x = 0; x < canvas.width; x++) if (row[4 * x + 3] > 128) seen.push((x - left) / width);
return seen.length ? [seen[0], seen[seen.length - 1]] : null;
"""


def test_a_browser_that_says_it_plays_hevc_and_does_not_gets_h264(browser: Browser) -> None:
    """Whether it does hangs on its machine's hardware; where it does, it is shown as it is."""
    claim = browser.driver.execute_cdp_cmd(
        "Page.addScriptToEvaluateOnNewDocument",
        {"source": "MediaSource.isTypeSupported = () => true"},
    )
    try:
        browser.go(f"/replay?{WINDOW}&camera=new")
        browser.js(NUMBERS)
        at(browser, 12.55)
        wait_for(browser, 12.55)
        asked = browser.js(
            "return performance.getEntriesByType('resource').map(e => e.name)"
            ".filter(name => name.includes('/replay/video'))"
        )
        assert "hevc=1" in asked[0]
    finally:
        browser.driver.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", claim)
    assert not browser.problems()
