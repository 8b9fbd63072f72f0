"""How soon a browser shows the first picture of a ten-hour recording, and of a jump in it.

    python -m benchmarks.player [--rounds 5]

`crosscam serve` and headless Chromium on the same machine. Footage of 1088x1920 at 25 pictures a
second and about 8 Mbit/s, ten hours of it in segments of a minute (one file under many names, out
of the page cache before every page): H.264 with a key frame every two and every ten seconds, which
is copied, and HEVC, which is encoded anew. Measured in the page: from the click on the link until
every camera has its first picture on screen; from a jump until each shows that moment.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
from fractions import Fraction
from pathlib import Path
from typing import Any

import av

from benchmarks.common import need, print_table
from benchmarks.playback import HOURS, MOVFLAGS, PLACES, START, add_camera, drop
from storage.models import iso_text
from storage.records import CameraRow
from storage.store import Store
from tests.e2e.browser import Browser
from tests.e2e.conftest import become_administrator
from tests.e2e.site import Site, serving

FPS, SEGMENT, WINDOW = 25, 60.0, 1200.0  # pictures a second; seconds
KINDS = {
    "H.264, key frame each 2 s": ("libx264", 2, {"preset": "ultrafast", "tune": "zerolatency"}),
    "H.264, key frame each 10 s": ("libx264", 10, {"preset": "ultrafast", "bf": "2"}),
    "HEVC, key frame each 4 s": ("libx265", 4, {"preset": "ultrafast"}),
}  # fmt: skip
JUMPS = (610.0, 122.3, 1101.7, 333.1, 870.4)  # seconds into the window

WATCH = """
window.firstPictures = new Map();
addEventListener("DOMContentLoaded", () => {
  for (const video of document.querySelectorAll(".screen video"))
    video.requestVideoFrameCallback((now) => window.firstPictures.set(video, now));
});
"""
JUMP = """
const [second, done] = arguments;
const begun = performance.now();
at.value = second;
at.dispatchEvent(new Event("input", { bubbles: true }));
const plan = JSON.parse(player.dataset.plan);
const wanted = plan.start + second - (Math.floor(plan.start) - 600);
const waits = new Set(document.querySelectorAll(".screen video"));
const look = (video) => (now, frame) => {
  if (frame.mediaTime < wanted - 0.3 || frame.mediaTime > wanted + 0.3)
    return video.requestVideoFrameCallback(look(video));
  waits.delete(video);
  if (!waits.size) done(performance.now() - begun);
};
for (const video of waits) video.requestVideoFrameCallback(look(video));
"""


def encode(target: Path, codec: str, gop: int, options: dict[str, str]) -> None:
    """A minute of a real scene, over and over, as a camera would send it."""
    source = need("footage", "pose2sim", "multiperson_cam01.mp4")
    with av.open(str(target), "w", options=MOVFLAGS) as out:
        stream: Any = out.add_stream(codec, rate=FPS)
        stream.time_base = stream.codec_context.time_base = Fraction(1, FPS)
        stream.bit_rate = 8_000_000
        stream.options = {**options, "g": str(gop * FPS), "keyint_min": str(gop * FPS),
                          "sc_threshold": "0"}  # fmt: skip
        written = 0
        while True:
            with av.open(str(source)) as container:
                for frame in container.decode(video=0):
                    if written == 0:
                        stream.width, stream.height = frame.width, frame.height
                        stream.pix_fmt = "yuv420p"
                    if written >= SEGMENT * FPS:
                        out.mux(stream.encode())
                        return
                    frame.pts, frame.time_base, frame.pict_type = written, Fraction(1, FPS), 0
                    out.mux(stream.encode(frame))
                    written += 1


def window(browser: Browser, cameras: list[str], start: float) -> float:
    """Open the player as a link would; seconds until each camera shows something."""
    query = "&".join(f"camera={camera}" for camera in cameras)
    browser.go(f"/replay?from={iso_text(start)}&to={iso_text(start + WINDOW)}&{query}")
    there = "return [...window.firstPictures.values()]"
    browser.until(lambda: len(browser.js(there)) == len(cameras), "no picture")
    return float(max(browser.js(there))) / 1000


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        scenes, files = {}, []
        with Store.open(f"sqlite:///{folder / 'site.db'}") as store:
            ids = [f"{place}{n}" for n in range(len(KINDS)) for place in ("gate", "yard")]
            store.begin_run({}, [CameraRow(camera, f"{camera}.mp4") for camera in ids])
            for number, (kind, (codec, gop, options)) in enumerate(KINDS.items()):
                file = folder / f"{number}.mp4"
                encode(file, codec, gop, options)
                files.append(file)
                rate = file.stat().st_size * 8 / SEGMENT / 1e6
                cameras = scenes[f"{kind}, {rate:.1f} Mbit/s"] = [f"gate{number}", f"yard{number}"]
                for camera in cameras:
                    add_camera(store, camera, file, SEGMENT, codec)
            url = store.url
        with serving(Site(url, folder, folder, folder)) as server:
            browser = Browser(server.address, folder)
            try:
                become_administrator(browser, server)
                browser.driver.set_script_timeout(120)
                browser.driver.execute_cdp_cmd(
                    "Page.addScriptToEvaluateOnNewDocument", {"source": WATCH}
                )
                measure(browser, scenes, files, rounds)
            finally:
                browser.close()


def measure(browser: Browser, scenes: dict[str, list[str]], files: list[Path], rounds: int) -> None:
    """All figures of one server."""
    rows = []
    for kind, both in scenes.items():
        for cameras in (both[:1], both):
            opened = []
            for share in PLACES * rounds:
                for file in files:
                    drop(file)
                start = START + min(share * HOURS * 3600, HOURS * 3600 - WINDOW) + 0.55
                opened.append(window(browser, cameras, start))
            jumped = [browser.driver.execute_async_script(JUMP, s) / 1000 for s in JUMPS]
            rows.append(
                (kind, len(cameras), statistics.median(opened), max(opened),
                 statistics.median(jumped), max(jumped))
            )  # fmt: skip
    header = (
        "footage", "cameras", "page opened to first picture, median s", "slowest s",
        "a jump, median s", "slowest s",
    )  # fmt: skip
    print_table(f"Player in Chromium, {HOURS} hours recorded; limit 1 s", header, rows)


if __name__ == "__main__":
    main()
