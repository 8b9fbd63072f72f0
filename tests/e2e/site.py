"""A site for the browser: seconds of two real cameras through the real pipeline, then served."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import av

ROOT = Path(__file__).parent.parent.parent
# Somebody walks through both cameras between these frames of PETS; there are key frames at both.
FIRST, END = 20, 100
FPS = 10
PHOTO = 80  # a frame of the left camera that shows this person alone

CAMERAS = """cameras:
  - {id: left, url: left.mp4, start_time: 2024-05-01T08:00:00Z, place: {name: West path}}
  - {id: right, url: right.mp4, start_time: 2024-05-01T08:00:00Z, place: {name: East path}}
"""
PIPELINE = """detector: {{name: "{detector}"}}
recording: {{enabled: true, segment: 4}}
"""


@dataclass(frozen=True)
class Site:
    """What the browser test drives.

    Attributes:
        url: of the store.
        folder: everything of it lies here.
        photo: a frame of the left camera, as somebody would have it on their desk.
        crowd: a frame of the right camera with several people.
    """

    url: str
    folder: Path
    photo: Path
    crowd: Path


def make_site(folder: Path, shared: Path) -> Site:
    """Cut the footage, run the pipeline on it with recording, and keep two frames as photos."""
    footage = shared / "footage"
    for camera in ("left", "right"):
        cut(footage / f"pets_{camera}.mp4", folder / f"{camera}.mp4")
    (folder / "cams.yaml").write_text(CAMERAS)
    detector = shared / "models" / "rtmdet_nano_person_dyn.onnx"
    (folder / "pipeline.yaml").write_text(PIPELINE.format(detector=detector))
    url = f"sqlite:///{folder / 'store.db'}"
    crosscam("run", "--cameras", "cams.yaml", "--pipeline", "pipeline.yaml", "--store", url,
             folder=folder)  # fmt: skip
    return site_in(folder, url)


def site_in(folder: Path, url: str) -> Site:
    """The site whose pipeline ran already."""
    photo, crowd = folder / "photo.jpg", folder / "crowd.jpg"
    save_frame(folder / "left.mp4", PHOTO - FIRST, photo)
    save_frame(folder / "right.mp4", PHOTO - FIRST, crowd)
    return Site(url, folder, photo, crowd)


def cut(source: Path, target: Path) -> None:
    """Copy the packets between `FIRST` and `END` into a file of their own."""
    with av.open(str(source)) as whole, av.open(str(target), "w") as part:
        stream = whole.streams.video[0]
        out = part.add_stream_from_template(stream)
        start = None
        for number, packet in enumerate(whole.demux(stream)):
            if packet.dts is None or packet.pts is None or not FIRST <= number < END:
                continue
            start = packet.dts if start is None else start
            packet.pts -= start
            packet.dts -= start
            packet.stream = out
            part.mux(packet)


def save_frame(video: Path, number: int, target: Path) -> None:
    """One frame as a JPEG."""
    with av.open(str(video)) as opened:
        for n, frame in enumerate(opened.decode(video=0)):
            if n == number:
                frame.to_image().save(target, quality=92)
                return
    raise ValueError(f"{video} has no frame {number}")


def crosscam(*arguments: str, folder: Path) -> str:
    """Run the command in a folder; what it printed.

    Raises:
        RuntimeError: if it failed.
    """
    done = subprocess.run(
        [sys.executable, str(ROOT / "run_pipeline.py"), *arguments],
        cwd=folder, capture_output=True, text=True,
    )  # fmt: skip
    if done.returncode:
        raise RuntimeError(f"crosscam {arguments}: {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


@dataclass(frozen=True)
class Server:
    """`crosscam serve`, running.

    Attributes:
        address: where, without a slash at the end.
        link: the one-time link that it printed, if this was the first start.
    """

    address: str
    link: str | None


@contextmanager
def serving(site: Site) -> Iterator[Server]:
    """Serve the site on a free port, as a process of its own."""
    log = site.folder / "serve.log"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, str(ROOT / "run_pipeline.py"), "serve", "--store", site.url,
             "--port", "0", "--device", "cpu"],
            cwd=site.folder, stdout=subprocess.PIPE, stderr=errors, text=True,
        )  # fmt: skip
        try:
            assert process.stdout is not None
            link = None
            for line in process.stdout:
                if "/link/" in line:
                    link = line.strip()
                if found := re.search(r"crosscam serves .* on (http\S+)", line):
                    yield Server(found.group(1), link)
                    break
            else:
                raise RuntimeError(f"crosscam serve ended: {log.read_text()}")
        finally:
            process.terminate()
            process.wait(20)
