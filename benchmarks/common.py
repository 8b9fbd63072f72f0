"""What the benchmarks share: the machine's name, a table, one run of the pipeline."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import yaml

from reid.machine import machine

ROOT = Path(__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared"
START = "2009-06-25T13:57:00Z"  # any fixed moment: runs must repeat


@dataclass(frozen=True)
class RunResult:
    """One pipeline run as a process of its own."""

    seconds: float  # wall clock, start-up and loading included
    peak_mib: float  # resident memory
    output: str
    store: str


def need(*parts: str) -> Path:
    """A file of ../shared, or a clear end of the program."""
    path = SHARED.joinpath(*parts)
    if not path.exists():
        sys.exit(f"{path} is not there: this benchmark needs it")
    return path


def print_table(title: str, header: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print one table with the machine's name; Markdown, so that it can be pasted."""
    print(f"\n### {title}\n\n{machine()}\n")
    print("| " + " | ".join(header) + " |")
    print("|" + " --- |" * len(header))
    for row in rows:
        print("| " + " | ".join(f"{c:.3f}" if isinstance(c, float) else str(c) for c in row) + " |")
    print(flush=True)


def run_pipeline(
    folder: Path, cameras: Mapping[str, Path], pipeline: Mapping[str, object], name: str = "run"
) -> RunResult:
    """Run `run_pipeline.py` over files in a fresh store; peak memory from the kernel's account."""
    folder.mkdir(parents=True, exist_ok=True)
    cams = [{"id": n, "url": str(p), "start_time": START} for n, p in cameras.items()]
    (folder / f"{name}.cams.yaml").write_text(yaml.safe_dump({"cameras": cams}))
    (folder / f"{name}.pipeline.yaml").write_text(yaml.safe_dump(dict(pipeline)))
    store = folder / f"{name}.db"
    for old in folder.glob(f"{name}.db*"):
        old.unlink()
    command = [sys.executable, str(ROOT / "run_pipeline.py")]
    command += ["--cameras", str(folder / f"{name}.cams.yaml")]
    command += ["--pipeline", str(folder / f"{name}.pipeline.yaml")]
    command += ["--store", f"sqlite:///{store}"]
    begun = time.perf_counter()
    with (folder / f"{name}.log").open("w+") as log:
        process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT, cwd=folder)
        _, status, usage = os.wait4(process.pid, 0)
        seconds = time.perf_counter() - begun
        log.seek(0)
        output = log.read()
    if os.waitstatus_to_exitcode(status):
        sys.exit(f"the run failed:\n{output}")
    return RunResult(seconds, usage.ru_maxrss / 1024, output, f"sqlite:///{store}")


def export_mot(store: str, folder: Path) -> Path:
    """`crosscam export --format mot`; the folder with one file per camera."""
    command = [sys.executable, str(ROOT / "run_pipeline.py"), "export", "--store", store]
    subprocess.run(
        [*command, "--format", "mot", "--out", str(folder)], check=True, capture_output=True
    )
    return folder
