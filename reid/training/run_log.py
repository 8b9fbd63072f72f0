"""What a training run tells: a bar, a line a stage and epoch in CSV, and TensorBoard.

`log.csv` (`log_ide.csv` for stage 0) holds a header and one line per finished epoch; TensorBoard's
files lie in `tensorboard/`. Members of a team other than the first tell nothing.
"""

from __future__ import annotations

import csv
import io
import logging
import math
import time
from pathlib import Path
from types import TracebackType
from typing import Any

import torch
from rich.progress import (
    BarColumn,
    Progress,
    TaskID,
    TextColumn,
    TimeRemainingColumn,
)
from torch import Tensor

from reid.errors import DataError

log = logging.getLogger(__name__)


class Meter:
    """Sums of the loss terms of an epoch, kept on the device until somebody reads them."""

    def __init__(self, device: str) -> None:
        self._sum: Tensor = torch.zeros((), device=device)
        self.names: list[str] = []
        self.steps = self.images = 0
        self._begun = time.monotonic()

    def add(self, terms: dict[str, Tensor], images: int) -> None:
        """Count one step; asks the device for nothing."""
        self.names = list(terms)
        self._sum = self._sum + torch.stack([t.detach() for t in terms.values()])
        self.steps, self.images = self.steps + 1, self.images + images

    def means(self) -> Tensor:
        """Mean of each term, (terms,) float32 on the device."""
        return self._sum / max(self.steps, 1)

    def loss(self) -> float:
        """Mean of the summed loss so far; waits for the device.

        Raises:
            DataError: if it is not finite.
        """
        value = float(self.means().sum())
        if not math.isfinite(value):
            raise DataError(
                f"the loss became {value} within the first {self.steps} steps of the epoch; "
                "a lower learning rate or a longer warm-up may help"
            )
        return value

    def seconds(self) -> float:
        """Since the epoch began."""
        return time.monotonic() - self._begun

    def speed(self) -> float:
        """Images per second, over all members of the team."""
        return self.images / max(self.seconds(), 1e-9)


class RunLog:
    """Writes a run's log files and draws its bar; use it as a context manager."""

    def __init__(self, folder: Path, *, enabled: bool) -> None:
        self._folder, self._enabled = folder, enabled
        self._bar = Progress(
            TextColumn("{task.description} {task.completed:.1f}/{task.total:.0f} epochs"),
            BarColumn(),
            TextColumn("loss {task.fields[loss]:.3f}, {task.fields[speed]:.0f} images/s"),
            TimeRemainingColumn(elapsed_when_finished=True),
            disable=not enabled,
        )
        self._task: TaskID | None = None
        self._board: Any = None

    def __enter__(self) -> RunLog:
        self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._bar.stop()
        if self._board is not None:
            self._board.close()

    def begin(self, stage: str, finished: int, epochs: int) -> None:
        """Begin a stage or take it up; lines beyond the `finished` epochs are dropped.

        An epoch's line is written just before its checkpoint. So a kill leaves at most one line
        too many or half a line, never one too few, and here it goes.
        """
        if self._task is not None:
            self._bar.remove_task(self._task)
        self._task = self._bar.add_task(
            stage, total=epochs, completed=finished, loss=math.nan, speed=0
        )
        if not self._enabled:
            return
        self._folder.mkdir(parents=True, exist_ok=True)
        path = log_file(self._folder, stage)
        if path.exists():
            keep_lines(path, finished + 1 if finished else 0)
        if self._board is not None:
            self._board.close()
        self._board = open_tensorboard(self._folder / "tensorboard" / stage, finished + 1)

    def progress(self, epoch: int, share: float, loss: float, speed: float) -> None:
        """Move the bar to the share 0..1 of an epoch."""
        if self._task is not None:
            self._bar.update(self._task, completed=epoch + share, loss=loss, speed=speed)

    def epoch(self, stage: str, line: dict[str, float]) -> None:
        """Write a finished epoch: a line of CSV, TensorBoard's points, a line on the terminal."""
        if not self._enabled:
            return
        append_line(log_file(self._folder, stage), line)
        known = {name: value for name, value in line.items() if not math.isnan(value)}
        if self._board is not None:
            for name, value in known.items():
                self._board.add_scalar(name, value, int(line["epoch"]))
            self._board.flush()
        words = ", ".join(f"{name} {value:.4g}" for name, value in known.items())
        self._bar.console.print(f"{stage}: {words}")


def log_file(folder: Path, stage: str) -> Path:
    """Where a stage's lines go."""
    return folder / ("log.csv" if stage == "qpm" else f"log_{stage}.csv")


def keep_lines(path: Path, count: int) -> None:
    """Cut a file after its first `count` lines, atomically."""
    lines = path.read_text().splitlines(keepends=True)
    temporary = path.with_suffix(".tmp")
    temporary.write_text("".join(lines[:count]))
    temporary.replace(path)


def append_line(path: Path, row: dict[str, float]) -> None:
    """Append a line to a CSV file, after the header if it is the first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if not path.exists() or path.stat().st_size == 0:
        writer.writerow(row)
    writer.writerow(["" if math.isnan(value) else f"{value:.8g}" for value in row.values()])
    with path.open("a", newline="") as file:
        file.write(text.getvalue())


def open_tensorboard(folder: Path, first: int) -> Any:
    """TensorBoard's writer, points from `first` on dropped; None where it is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        log.warning("no TensorBoard files: `pip install crosscam[train]` brings tensorboard")
        return None
    return SummaryWriter(str(folder), purge_step=first)
