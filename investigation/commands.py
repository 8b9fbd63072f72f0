"""Sub-commands of this room; light to import: heavy modules are imported inside the commands."""

from __future__ import annotations

import argparse

from investigation.cases.command import add_case
from investigation.cases.hold_command import add_hold_command
from investigation.replay.command import add_replay
from investigation.report_command import add_report
from investigation.search.command import add_search
from investigation.watching.command import add_watch_command


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's sub-commands to the front door's parser."""
    add_report(commands)
    add_search(commands)
    add_hold_command(commands)
    add_replay(commands)
    add_case(commands)
    add_watch_command(commands)
