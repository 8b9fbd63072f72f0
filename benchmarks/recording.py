"""What recording costs: CPU seconds a second of video, as a share of one core.

    python -m benchmarks.recording [--seconds 60]

One process reads the four `pose2sim` cameras (1080p, 60 pictures a second, about 3.7 Mbit/s each;
PETS beside it: 10 a second) in a loop, packet by packet as they become due, as live cameras send
them, once with the recorder and once without. The difference of the process's CPU seconds is the
cost of recording: copying packets, cutting segments, writing the index. Decoding is left out of
both: it is the same with and without, and would drown the difference.
"""

from __future__ import annotations

import argparse
import itertools
import tempfile
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import av

from benchmarks.common import need, print_table
from pipeline.config import CameraConfig
from pipeline.recorder import Recorder, Tape
from pipeline.redact import SourceUrl
from pipeline.settings import RecordingSettings
from storage.footage.recordings import recordings
from storage.records import CameraRow
from storage.store import Store

GOAL = 0.05


def looped(path: Path, tape: Tape | None) -> Iterator[tuple[object, float]]:
    """Packets of a file, again and again, and when each is due; time stamps go on rising."""
    offset = 0
    for _ in itertools.count():
        with av.open(str(path)) as container:
            stream = container.streams.video[0]
            base = float(stream.time_base or 1)
            if tape is not None:
                if offset == 0:
                    tape.connect(stream, True)
                else:
                    tape._stream = stream  # the loop is one long stream, not a reconnect
            end = 0
            for packet in container.demux(stream):
                if not packet.size or packet.pts is None or packet.dts is None:
                    continue
                end = max(end, packet.pts + (packet.duration or 1))
                packet.pts, packet.dts = packet.pts + offset, packet.dts + offset
                yield packet, packet.dts * base
            offset += end


def read(path: Path, tape: Tape | None, seconds: float, counted: list[int]) -> None:
    """One camera's thread: take each packet when it is due."""
    begin, start, count = time.monotonic(), time.time(), 0
    first = None
    for packet, due in looped(path, tape):
        first = due if first is None else first
        due -= first
        if due >= seconds:
            break
        left = begin + due - time.monotonic()
        if left > 0:
            time.sleep(left)
        count += 1
        if tape is not None:
            lag = float((packet.pts - packet.dts) * packet.time_base)  # type: ignore[attr-defined]
            tape.packet(packet, start + due + lag)
    counted.append(count)


def measure(paths: list[Path], seconds: float, enabled: bool) -> tuple[float, int, int]:
    """CPU seconds, packets, and bytes recorded."""
    with (
        tempfile.TemporaryDirectory() as name,
        Store.open(f"sqlite:///{name}/store.db") as store,
    ):
        cameras = [
            CameraConfig(id=f"c{i}", url=SourceUrl(str(path))) for i, path in enumerate(paths)
        ]
        run = store.begin_run({}, [CameraRow(c.id, str(c.url)) for c in cameras])
        settings = RecordingSettings(enabled=enabled, segment=20)
        recorder = Recorder(store, run, settings, cameras)
        counted: list[int] = []
        threads = [
            threading.Thread(target=read, args=(path, recorder.tape(camera.id), seconds, counted))
            for path, camera in zip(paths, cameras, strict=True)
        ]
        began = time.process_time()
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        recorder.close()
        store.flush()
        spent = time.process_time() - began
        if recorder.problems():
            raise SystemExit(f"recording failed: {recorder.problems()}")
        size = sum(row.bytes for row in recordings(store.reader()))
        store.finish_run(run)
    return spent, sum(counted), size


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each of four measurements")
    seconds = parser.parse_args().seconds
    sets = {
        "pose2sim, 1088x1920, 60 fps": [
            need("footage", "pose2sim", f"multiperson_cam0{i}.mp4") for i in range(1, 5)
        ],
        "PETS, 344x576, 10 fps": [
            need("footage", f"pets_{side}.mp4") for side in ("left", "right") * 2
        ],
    }
    rows = []
    for name, paths in sets.items():
        without, packets, _ = measure(paths, seconds, enabled=False)
        with_it, same, size = measure(paths, seconds, enabled=True)
        camera_seconds = len(paths) * seconds
        share = (with_it - without) / camera_seconds
        rows.append(
            (
                name,
                f"{len(paths)} x {seconds:g} s",
                f"{min(packets, same) / camera_seconds:.1f}",
                f"{8 * size / camera_seconds / 1e6:.2f}",
                f"{100 * without / camera_seconds:.2f} %",
                f"{100 * with_it / camera_seconds:.2f} %",
                f"{100 * share:.2f} %",
                f"{share / GOAL:.3f}",
            )
        )
    header = (
        "footage", "cameras", "packets/s", "Mbit/s", "reading alone", "reading and recording",
        "recording, of one core a camera", "ratio to the goal of 5 %",
    )  # fmt: skip
    print_table("Recording: CPU a camera, in real time", header, rows)


if __name__ == "__main__":
    main()
