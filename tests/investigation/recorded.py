"""A store whose cameras have recordings: made-up numbered footage cut into segments."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from sqlalchemy import insert

from storage.desk_models import Recording
from storage.records import CameraRow
from storage.store import Store
from tests.pipeline.numbered_videos import picture

START = 1_700_000_000.0
FPS = 10
MOVFLAGS = {"movflags": "empty_moov+default_base_moof+frag_keyframe"}


def packets(source: Path) -> Iterator[list]:
    """The packets of a video by group of pictures."""
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        group: list = []
        for packet in container.demux(stream):
            if packet.dts is None:
                continue
            if packet.is_keyframe and group:
                yield group
                group = []
            group.append(packet)
        yield group


def write_segment(source: Path, groups: list[list], target: Path) -> float:
    """Copy groups of pictures into a fragmented MP4; returns the capture offset of its first."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with av.open(str(source)) as container:
        stream = container.streams.video[0]
        with av.open(str(target), "w", options=MOVFLAGS) as out:
            copy = out.add_stream_from_template(stream)
            first = groups[0][0]
            zero = first.dts
            begin = float((first.pts - (stream.start_time or 0)) * stream.time_base)
            for packet in (p for group in groups for p in group):
                packet.pts, packet.dts, packet.stream = packet.pts - zero, packet.dts - zero, copy
                out.mux_one(packet)
    return begin


def add_recording(
    store: Store,
    camera: str,
    path: str,
    start: float,
    end: float,
    codec: str = "h264",
    run: int | None = None,
    size: tuple[int, int] = (160, 120),
) -> None:
    row = {
        "camera": camera, "run": run, "path": path, "start": start, "end": end,
        "bytes": (store.media / path).stat().st_size, "codec": codec,
        "width": size[0], "height": size[1], "closed": True,
    }  # fmt: skip
    store.write(lambda connection: connection.execute(insert(Recording).values(row)))


def record(
    store: Store,
    camera: str,
    source: Path,
    start: float,
    *,
    groups_each: int = 1,
    leave_out: tuple[int, ...] = (),
    codec: str = "h264",
    run: int | None = None,
    rate: float = FPS,
    size: tuple[int, int] = (160, 120),
) -> None:
    """Cut a video at its key frames into recordings; `leave_out` names segments to lose."""
    groups = list(packets(source))
    for index in range(0, len(groups), groups_each):
        some = groups[index : index + groups_each]
        if index // groups_each in leave_out:
            continue
        path = f"recordings/{camera}-{run}-{start:.0f}-{index}.mp4"
        begin = write_segment(source, some, store.media / path)
        seconds = sum(map(len, some)) / rate
        first, last = start + begin, start + begin + seconds
        add_recording(store, camera, path, first, last, codec, run, size)


def numbered(
    folder: Path, frames: int = 60, codec: str = "libx264", size: tuple[int, int] = (160, 120)
) -> Path:
    """Numbered pictures, a key frame every ten; H.264 with some that are made of later ones."""
    path = folder / "numbered.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS)
        (stream.width, stream.height), stream.pix_fmt = size, "yuv420p"
        stream.options = {"g": "10"}
        if codec == "libx264":
            stream.options |= {"bf": "2", "sc_threshold": "0"}
        if codec == "libx265":
            stream.options = {"x265-params": "keyint=10:min-keyint=10:scenecut=0:log-level=none"}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture(number), format="bgr24")
            container.mux(stream.encode(frame.reformat(*size)))
        container.mux(stream.encode())
    return path


def make_store(folder: Path, *cameras: str) -> tuple[Store, int]:
    """A store with these cameras and a run."""
    store = Store.open(f"sqlite:///{folder / 'site.db'}")
    run = store.begin_run({}, [CameraRow(camera, f"{camera}.mp4") for camera in cameras])
    return store, run


def plain(frame: np.ndarray) -> float:
    """How much detail a picture has: the mean variance of small blocks."""
    height, width = (length // 8 * 8 for length in frame.shape[:2])
    blocks = frame[:height, :width].astype(float).reshape(height // 8, 8, width // 8, 8, -1)
    return float(blocks.var(axis=(1, 3)).mean())
