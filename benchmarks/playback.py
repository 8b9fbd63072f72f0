"""How soon playback of a ten-hour recording starts, wherever one goes in.

python -m benchmarks.playback [--rounds 7]

PETS, looped, as ten hours of one camera: once in segments of a minute (the usual), once of an hour
(the longest that may be configured), once as MPEG-4 Part 2, which no browser plays and which is
therefore encoded anew. The segments of a kind are one file under many names; its pages are dropped
from the cache before every round.
"""

from __future__ import annotations

import argparse
import os
import statistics
import tempfile
import time
from pathlib import Path

import av
from sqlalchemy import insert

from benchmarks.common import need, print_table
from investigation.replay.footage import Footage
from investigation.replay.remux import playback
from storage.desk_models import Recording
from storage.records import CameraRow
from storage.store import Store

HOURS = 10
START = 1_700_000_000.0
PLACES = (0.0, 0.37, 0.999)  # shares of the ten hours at which playback begins
MOVFLAGS = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}


def looped(source: Path, target: Path, seconds: float, codec: str | None = None) -> None:
    """A fragmented MP4 that repeats a video for `seconds`; copied, or encoded with `codec`."""
    with av.open(str(target), "w", options=MOVFLAGS) as out:
        written, pictures = 0.0, 0
        stream = None
        while written < seconds:
            with av.open(str(source)) as container:
                video = container.streams.video[0]
                if stream is None:
                    stream = (
                        out.add_stream_from_template(video)
                        if codec is None
                        else out.add_stream(codec, rate=10, width=344, height=576, bit_rate=10**6)
                    )
                length = float(video.frames / video.average_rate)
                ticks = round(written / video.time_base)
                for packet in container.demux(video):
                    if packet.dts is None or written + packet.dts * video.time_base >= seconds:
                        continue
                    if codec is None:
                        packet.pts, packet.dts = packet.pts + ticks, packet.dts + ticks
                        packet.stream = stream
                        out.mux_one(packet)
                    else:
                        for frame in packet.decode():
                            frame.pts, frame.time_base = pictures, 1 / video.average_rate
                            frame.pict_type = 0
                            pictures += 1
                            out.mux(stream.encode(frame))
                written += length
        if codec is not None:
            out.mux(stream.encode())


def add_camera(store: Store, camera: str, file: Path, seconds: float, codec: str) -> None:
    """Ten hours of a camera in segments that are all this file."""
    count = round(HOURS * 3600 / seconds)
    folder = store.media / "recordings" / camera
    folder.mkdir(parents=True)
    rows = []
    for index in range(count):
        path = folder / f"{index:04d}.mp4"
        path.hardlink_to(file)
        begin = START + index * seconds
        rows.append(
            {
                "camera": camera, "run": None, "path": f"recordings/{camera}/{path.name}",
                "start": begin, "end": begin + seconds, "bytes": file.stat().st_size,
                "codec": codec, "width": 344, "height": 576, "closed": True,
            }
        )  # fmt: skip
    store.write(lambda connection: connection.execute(insert(Recording), rows))


def drop(file: Path) -> None:
    """Take a file out of the page cache."""
    number = os.open(file, os.O_RDONLY)
    os.posix_fadvise(number, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(number)


def first_fragment(footage: Footage, camera: str, start: float, end: float) -> float:
    """Seconds from the question to the first pictures that a browser can show."""
    begun = time.perf_counter()
    got = b""
    for piece in playback(footage, camera, start, end).chunks:
        got += piece
        if b"moof" in got and b"mdat" in got:
            return time.perf_counter() - begun
    raise SystemExit(f"{camera}: no fragment came")


def first_picture(footage: Footage, camera: str, start: float, end: float) -> float:
    """Seconds from the question to the first decoded picture."""
    begun = time.perf_counter()
    next(footage.frames(camera, start, end))
    return time.perf_counter() - begun


def ten_minutes(footage: Footage, camera: str) -> tuple[float, float]:
    """Seconds that it takes to hand over ten minutes, and their megabytes."""
    begun = time.perf_counter()
    size = sum(map(len, playback(footage, camera, START + 7205, START + 7805).chunks))
    return time.perf_counter() - begun, size / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    rounds = parser.parse_args().rounds
    source = need("footage", "pets_left.mp4")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        kinds = {"minute": (60.0, "h264"), "hour": (3600.0, "h264"), "mpeg4": (60.0, "mpeg4")}
        with Store.open(f"sqlite:///{folder / 'site.db'}") as store:
            store.begin_run({}, [CameraRow(camera, f"{camera}.mp4") for camera in kinds])
            files = {}
            for camera, (seconds, codec) in kinds.items():
                files[camera] = folder / f"{camera}.mp4"
                looped(source, files[camera], seconds, None if codec == "h264" else codec)
                add_camera(store, camera, files[camera], seconds, codec)
            footage = Footage(store.reader())
            rows = []
            end = START + HOURS * 3600
            for camera in kinds:
                for share in PLACES:
                    start = START + share * HOURS * 3600 + 0.55
                    fragments, pictures = [], []
                    for _ in range(rounds):
                        drop(files[camera])
                        fragments.append(first_fragment(footage, camera, start, end))
                        drop(files[camera])
                        pictures.append(first_picture(footage, camera, start, end))
                    rows.append(
                        (
                            camera, f"{share * HOURS:.1f} h", statistics.median(fragments),
                            max(fragments), statistics.median(pictures), max(pictures),
                        )
                    )  # fmt: skip
            header = (
                "segments", "from", "first fragment, median s", "slowest s",
                "first picture, median s", "slowest s",
            )  # fmt: skip
            print_table(f"Playback of {HOURS} hours, {rounds} rounds; limit 1 s", header, rows)
            taken = [(camera, *ten_minutes(footage, camera)) for camera in kinds]
            print_table("Ten minutes handed over", ("segments", "seconds", "MB"), taken)


if __name__ == "__main__":
    main()
