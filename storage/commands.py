"""Sub-commands of this room; light to import: heavy modules are imported inside the commands."""

from __future__ import annotations

import argparse

from storage.decisions.command import add_decide
from storage.erasure.command import add_erase
from storage.export.command import add_export


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's sub-commands to the front door's parser."""
    add_export(commands)
    add_decide(commands)
    add_erase(commands)
