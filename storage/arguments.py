"""What the commands about a store have in common. Light to import."""

from __future__ import annotations

import argparse
from pathlib import Path

DEFAULT_STORE = "sqlite:///crosscam.db"
STORE_URL = "sqlite:///FILE.db or postgresql://USER:PASSWORD@HOST/DATABASE"


def add_store(parser: argparse.ArgumentParser) -> None:
    """Add `--store`."""
    parser.add_argument(
        "--store", metavar="URL", default=DEFAULT_STORE, help=f"{STORE_URL} (default: %(default)s)"
    )


def add_media(
    parser: argparse.ArgumentParser, what: str = "folder of the pictures, for PostgreSQL"
) -> None:
    """Add `--media`; `what` is its help."""
    parser.add_argument("--media", type=Path, metavar="DIR", help=what)
