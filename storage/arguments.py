"""What the commands about a store have in common. Light to import."""

from __future__ import annotations

import argparse
import os
from pathlib import Path

DEFAULT_STORE = "sqlite:///crosscam.db"
STORE_VARIABLE = "CROSSCAM_STORE"  # also keeps a password out of the list of processes
STORE_URL = "sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE"


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store",
        metavar="URL",
        default=os.environ.get(STORE_VARIABLE, DEFAULT_STORE),
        help=f"{STORE_URL} (default: ${STORE_VARIABLE}, else {DEFAULT_STORE})",
    )


def store_url(told: str | None, configured: str) -> str:
    """Which store is meant where a configuration may name one as well.

    Args:
        told: by `--store`; it goes before all.
        configured: `store.url` of pipeline.yaml; the built-in one gives way to the environment's.
    """
    if told or configured != DEFAULT_STORE:
        return told or configured
    return os.environ.get(STORE_VARIABLE) or configured


def add_media(
    parser: argparse.ArgumentParser, what: str = "folder of the pictures, for PostgreSQL"
) -> None:
    """Add `--media`; `what` is its help."""
    parser.add_argument("--media", type=Path, metavar="DIR", help=what)
