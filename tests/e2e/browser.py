"""Headless Chromium, used by what a person sees: labels, the words on buttons, the keyboard."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException, TimeoutException
from selenium.webdriver.chrome.options import Options
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement
from selenium.webdriver.support.ui import WebDriverWait

PATIENCE = 150.0  # seconds; the first search loads the model, on a machine that may be busy


class Browser:
    """One window of Chromium."""

    def __init__(self, address: str, downloads: Path) -> None:
        """Open it.

        Args:
            address: of the server, without a slash at the end.
            downloads: where files go that are downloaded.
        """
        self.address = address
        self.driver = open_chromium(downloads)
        self._left = ""  # the page on which something was pressed last

    def close(self) -> None:
        """Close it."""
        self.driver.quit()

    def go(self, path: str) -> None:
        """Type an address."""
        self.driver.get(self.address + path if path.startswith("/") else path)

    @property
    def path(self) -> str:
        """The address, without the server's name."""
        return str(self.driver.current_url).removeprefix(self.address)

    @property
    def text(self) -> str:
        """What can be read on the page; asked of the page that is there, be it just replaced."""
        return str(self.js("return document.body?.innerText ?? ''"))

    def one(self, css: str) -> WebElement:
        """The first element."""
        return self.driver.find_element(By.CSS_SELECTOR, css)

    def all(self, css: str) -> list[WebElement]:
        """All elements."""
        return self.driver.find_elements(By.CSS_SELECTOR, css)

    def until(self, true: Callable[[], Any], what: str) -> Any:
        """Wait until it is so; fails with what the page says."""
        try:
            # What was there a moment ago may belong to the page before.
            wait = WebDriverWait(self.driver, PATIENCE, 0.1, [StaleElementReferenceException])
            return wait.until(lambda _: true())
        except TimeoutException:
            pytest.fail(f"{what}; at {self.path}: {self.text}\n{self.problems()}")

    def field(self, label: str) -> WebElement:
        """The field whose label begins with these words."""
        for found in self.driver.find_elements(By.TAG_NAME, "label"):
            if found.text.strip().startswith(label):
                name = found.get_attribute("for")
                if name:
                    return self.driver.find_element(By.ID, name)
                return found.find_element(By.TAG_NAME, "input")
        pytest.fail(f"no field {label!r} on {self.path}: {self.text}")

    def fill(self, label: str, text: str) -> None:
        """Type into a field."""
        field = self.field(label)
        field.clear()
        field.send_keys(text)

    def press(self, words: str) -> None:
        """Click the button or link that says this; `arrive` then waits for a page after this."""
        self._left = self.one("html").id
        for found in self.all("button, a"):
            if found.text.strip() == words and found.is_displayed():
                found.click()
                return
        pytest.fail(f"no button or link {words!r} on {self.path}: {self.text}")

    def arrive(self, start: str) -> None:
        """Wait for an address that begins so, and until its page is there.

        A form may lead to the address that it stands at: the page on which something was pressed
        is not taken for the one that answers.
        """

        def there() -> bool:
            if self.one("html").id == self._left or not self.path.startswith(start):
                return False
            return bool(self.js("return document.readyState") == "complete")

        self.until(there, f"does not arrive at {start}")

    def js(self, script: str, *values: Any) -> Any:
        """Run a function's body in the page."""
        return self.driver.execute_script(script, *values)

    def keys(self, *keys: str) -> None:
        """Press keys, whatever has the focus."""
        webdriver.ActionChains(self.driver).send_keys(*keys).perform()

    def tab_to(self, words: str) -> None:
        """Press Tab until what has the focus is named so; each stop must show its focus."""
        for _ in range(80):
            self.keys(Keys.TAB)
            stop = self.js(FOCUSED)
            assert stop["seen"], f"the focus cannot be seen on {self.path}: {stop}"
            if stop["name"].startswith(words):
                return
        pytest.fail(f"Tab does not lead to {words!r} on {self.path}")

    def dark(self, on: bool) -> None:
        """As if the system were set to dark, or light."""
        feature = {"name": "prefers-color-scheme", "value": "dark" if on else "light"}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def width(self, pixels: int, height: int = 900) -> None:
        """As if the window were this wide."""
        self.driver.execute_cdp_cmd(
            "Emulation.setDeviceMetricsOverride",
            {"width": pixels, "height": height, "deviceScaleFactor": 1, "mobile": False},
        )

    def unnamed(self) -> list[str]:
        """What can be used on the page but has no name that a screen reader could say."""
        tree = self.driver.execute_cdp_cmd("Accessibility.getFullAXTree", {})["nodes"]
        bad = []
        for node in tree:
            role = node.get("role", {}).get("value", "")
            if node.get("ignored") or role not in USED:
                continue
            if not str(node.get("name", {}).get("value", "")).strip():
                bad.append(f"{role} {json.dumps(node.get('properties', []))[:120]}")
        return bad

    def problems(self) -> list[str]:
        """What the browser complained about since it was last asked."""
        return [str(row["message"]) for row in self.driver.get_log("browser")]


USED = {
    "button", "link", "textbox", "checkbox", "radio", "combobox", "slider", "spinbutton", "image",
    "img", "meter", "progressbar", "searchbox", "listbox", "DateTime", "Date", "Video",
}  # fmt: skip

FOCUSED = (Path(__file__).parent / "focused.js").read_text()


def open_chromium(downloads: Path) -> webdriver.Chrome:
    """Debian's Chromium and its driver; skips where they are not."""
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if chromium is None or driver is None:
        pytest.skip("needs chromium and chromedriver (apt-get install chromium chromium-driver)")
    options = Options()
    options.binary_location = chromium
    for argument in (
        "--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu",
        "--window-size=1280,900", "--lang=en-GB", "--force-color-profile=srgb", "--mute-audio",
    ):  # fmt: skip
        options.add_argument(argument)
    options.add_experimental_option(
        "prefs",
        {"download.default_directory": str(downloads), "download.prompt_for_download": False},
    )
    options.set_capability("goog:loggingPrefs", {"browser": "WARNING"})
    return webdriver.Chrome(options, Service(driver))
