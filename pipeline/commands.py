"""Sub-commands of this room; light to import: heavy modules are imported inside the commands."""

from __future__ import annotations

import argparse

from pipeline.check import add_check_command
from pipeline.demo import add_demo_command
from pipeline.rerun_command import add_rerun_command
from pipeline.retention_command import add_retention_command
from pipeline.run_command import add_run_command


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's sub-commands to the front door's parser."""
    add_run_command(commands)
    add_check_command(commands)
    add_demo_command(commands)
    add_retention_command(commands)
    add_rerun_command(commands)
