"""What a person sees while a run goes on: a live line per camera, progress for files."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table

from pipeline.records import CameraState
from pipeline.runner import Status, Summary

PLAIN_INTERVAL = 10.0  # seconds between lines where there is no terminal

STYLES = {"running": "green", "ended": "dim", "failed": "bold red", "reconnecting": "yellow"}


class LiveDisplay:
    """Shows a run's status; on a terminal as a table that stays, else as a line now and then."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._live = Live(console=console, refresh_per_second=4, transient=True)
        self._shown = 0.0

    def __enter__(self) -> LiveDisplay:
        if self._console.is_terminal:
            self._live.start()
        self._shown = time.monotonic()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._live.stop()

    def update(self, status: Status) -> None:
        """Take the run's newest status."""
        if self._console.is_terminal:
            self._live.update(status_table(status))
            return
        now = time.monotonic()
        if now - self._shown >= PLAIN_INTERVAL:
            self._shown = now
            self._console.print(plain_line(status), highlight=False, soft_wrap=True)


def status_table(status: Status) -> Table:
    """A row per camera."""
    table = Table(box=None, pad_edge=False)
    for name in ("camera", "state", "fps", "people", "frames", "dropped", "progress"):
        table.add_column(name, justify="left" if name in ("camera", "state") else "right")
    for name, state in status.cameras.items():
        style = STYLES.get(state.state, "")
        table.add_row(
            name,
            f"[{style}]{state.state}[/]" if style else state.state,
            f"{state.fps:.1f}",
            str(status.people.get(name, 0)),
            str(state.frames),
            str(state.dropped) if state.is_live else "",
            _progress(state),
        )
    table.caption = f"{status.tracks} tracks ended, {status.identities} identities so far"
    table.caption_justify = "left"
    return table


def _progress(state: CameraState) -> ProgressBar | str:
    if state.is_live:
        return "live"
    if state.progress is None:
        return ""
    return ProgressBar(total=1.0, completed=state.progress, width=24)


def plain_line(status: Status) -> str:
    """One line for logs without a terminal."""
    cameras = ", ".join(
        f"{name} {state.state}"
        + (f" {100 * state.progress:.0f}%" if state.progress is not None else "")
        + f" {state.fps:.1f} fps"
        for name, state in status.cameras.items()
    )
    return (
        f"{status.frames} frames, {status.tracks} tracks ended, "
        f"{status.identities} identities: {cameras}"
    )


def print_summary(console: Console, summary: Summary, store: str, media: str) -> None:
    """What was found, how each camera fared, where it lies."""
    table = Table(title=f"run {summary.run}", title_justify="left")
    for name in ("camera", "state", "frames", "dropped", "why"):
        table.add_column(name)
    for name, state in summary.cameras.items():
        style = STYLES.get(state.state, "")
        table.add_row(
            name,
            f"[{style}]{state.state}[/]" if style else state.state,
            str(state.frames),
            str(state.dropped),
            state.error or state.recording or "",
        )
    console.print(table)
    told = ", ".join(f"{count} {_ACTIONS[a]}" for a, count in sorted(summary.actions.items()))
    console.print(
        f"{summary.frames} frames, {summary.tracks} tracks, {summary.identities} identities"
        + (f" ({told})" if told else ""),
        highlight=False,
    )
    console.print(f"store: {store}\npictures: {media}", highlight=False, soft_wrap=True)


_ACTIONS = {
    "create": "new people",
    "link": "links",
    "abstain": "abstentions",
    "move": "moved in the light of later evidence",
}
