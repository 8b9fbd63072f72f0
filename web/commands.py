"""Sub-commands of this room; light to import: heavy modules are imported inside the commands."""

from __future__ import annotations

import argparse

from web.serve_command import add_serve
from web.user_command import add_user


def add_commands(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    """Add this room's sub-commands to the front door's parser."""
    add_serve(commands)
    add_user(commands)
