"""Memory does not grow with the footage; four cameras at once against one.

    python -m benchmarks.memory

PETS2009 looped twice and ten times (packets copied, not re-encoded), then the
left half alone and four copies of it at once.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import av

from benchmarks.common import need, print_table, run_pipeline
from benchmarks.pets import pipeline_config


def loop(source: Path, target: Path, times: int) -> Path:
    """Write `source` `times` times in a row, packets copied."""
    with av.open(str(target), "w") as out:
        stream = None
        offset = 0
        for _ in range(times):
            with av.open(str(source)) as video:
                origin = video.streams.video[0]
                if stream is None:
                    stream = out.add_stream_from_template(origin)
                end = 0
                for packet in video.demux(origin):
                    if packet.dts is None or packet.pts is None:
                        continue
                    end = max(end, packet.pts + (packet.duration or 1))
                    packet.pts += offset
                    packet.dts += offset
                    packet.stream = stream
                    out.mux(packet)
                offset += end
    return target


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.parse_args()
    video = need("footage", "pets_left.mp4")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        rows = []
        base = None
        for times in (2, 10):
            looped = loop(video, folder / f"loop{times}.mp4", times)
            run = run_pipeline(folder, {"a": looped}, pipeline_config(), f"loop{times}")
            base = base or run.peak_mib
            rows.append((f"looped {times} times", f"{run.seconds:.0f}", f"{run.peak_mib:.0f}",
                         run.peak_mib / base))  # fmt: skip
        rows.append(("to stay within", "", "", 1.05))
        header = ("footage", "seconds", "peak MiB", "ratio")
        print_table("Memory over time (PETS2009, left half)", header, rows)
        rows = []
        first = None
        for count in (1, 4):
            cameras = {f"c{i}": video for i in range(count)}
            run = run_pipeline(folder, cameras, pipeline_config(), f"cameras{count}")
            first = first or run
            rows.append((f"{count}", f"{run.seconds:.0f}", run.seconds / first.seconds,
                         f"{run.peak_mib:.0f}", run.peak_mib / first.peak_mib))  # fmt: skip
        header = ("cameras at once", "seconds", "ratio", "peak MiB", "ratio")
        print_table("Four cameras against one (795 frames each)", header, rows)


if __name__ == "__main__":
    main()
