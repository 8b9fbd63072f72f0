"""One clock for Market-1501's 25 files, found from when its training people come by.

    python -m benchmarks.market_clock --data market1501/

A sequence number names a file of one camera, not a session of all: cameras 1 and 4 wrote files of
50 minutes, the others of up to 110, so frame 0 of sequence 2 is another moment on every camera. But
people walk from camera to camera, and most take the same time for it: over the people that two
files share, the differences of their times pile up at one value, travel time plus the difference
of both files' beginnings. All these peaks together give each file's beginning by least squares.
Travel times come from sequence 1, whose files are taken to begin together: what they do not is
indistinguishable from a longer walk, and only seconds.

Only training people are used; a test's people are not looked at.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np

from benchmarks.common import print_table
from reid.datasets import training_samples
from reid.errors import DataError
from reid.evaluation.market_tracks import Track, group_tracks

File = tuple[int, int]  # camera, sequence
Peak = tuple[File, File, float, int]  # seconds from the first to the second, people who agree

PAUSE = 20.0  # seconds without a picture that end a track: after 20 s few come back before 200 s
WIDTH = 30.0  # seconds that a peak may be wide
FEWEST = 8  # walks that make a peak


def peaks(tracks: Sequence[Track]) -> list[Peak]:
    """Where the time differences between every two files of different cameras pile up."""
    seen: dict[File, dict[int, list[float]]] = {}
    for t in tracks:
        middle = (t.times[0] + t.times[-1]) / 2
        seen.setdefault((t.camera, t.sequence), {}).setdefault(t.identity, []).append(middle)
    found = []
    for a, b in combinations(sorted(seen), 2):
        both = seen[a].keys() & seen[b].keys()
        walks = np.array(sorted(y - x for i in both for x in seen[a][i] for y in seen[b][i]))
        if a[0] == b[0] or not len(walks):
            continue
        count = np.searchsorted(walks, walks + WIDTH, "right") - np.arange(len(walks))
        first = int(count.argmax())
        inside = walks[first : first + int(count[first])]
        if len(inside) >= FEWEST:
            found.append((a, b, float(np.median(inside)), len(inside)))
    return found


def find_clock(found: Sequence[Peak]) -> dict[File, float]:
    """Second at which each file begins, sequence 1 of every camera at 0, by least squares.

    A file that shares no peak with the others is left out.

    Raises:
        DataError: if the peaks do not tie all files to sequence 1.
    """
    files = sorted({f for a, b, _, _ in found for f in (a, b)})
    columns: dict[object, int] = {f: i for i, f in enumerate(f for f in files if f[1] != 1)}
    for a, b, _, _ in found:
        columns.setdefault(("walk", a[0], b[0]), len(columns))
    x, y = np.zeros((len(found), len(columns))), np.zeros(len(found))
    for row, (a, b, seconds, people) in enumerate(found):
        # moment = time in file + beginning, so times differ by walk + beginning(a) - beginning(b)
        for key, sign in ((("walk", a[0], b[0]), 1.0), (a, 1.0), (b, -1.0)):
            if key in columns:
                x[row, columns[key]] += sign * people**0.5
        y[row] = seconds * people**0.5
    solved, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    if rank < len(columns):
        raise DataError(f"too few people walk between the files to put all {len(files)} on a clock")
    return {f: float(solved[columns[f]]) if f in columns else 0.0 for f in files}


def market_clock(data: Path) -> dict[File, float]:
    """The beginning of each (camera, sequence) in seconds, from the training people."""
    return find_clock(peaks(group_tracks(training_samples(data), PAUSE)))


def begins(clock: Mapping[File, float], track: Track) -> float:
    """Second at which a track's file begins.

    Raises:
        KeyError: if the clock does not know the file.
    """
    key = (track.camera, track.sequence)
    if key not in clock:
        raise KeyError(f"no clock for camera {key[0]}, sequence {key[1]}")
    return clock[key]


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True)
    options = parser.parse_args()
    tracks = group_tracks(training_samples(options.data), PAUSE)
    found = peaks(tracks)
    clock = find_clock(found)
    rows = []
    for file, start in clock.items():
        own = [t for t in tracks if (t.camera, t.sequence) == file]
        ends = max(t.times[-1] for t in own)
        walks = sum(p for a, b, _, p in found if file in (a, b))
        rows.append((*file, f"{start:.0f}", f"{start + ends:.0f}", len(own), walks))
    header = ("camera", "sequence", "begins, s", "last picture, s", "tracks", "walks that agree")
    print_table("Market-1501's files on one clock", header, rows)


if __name__ == "__main__":
    main()
