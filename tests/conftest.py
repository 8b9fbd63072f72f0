"""Fixtures for all rooms."""

from __future__ import annotations

from pathlib import Path

import pytest

SHARED = Path(__file__).parent.parent.parent / "shared"


@pytest.fixture(scope="session")
def shared() -> Path:
    """The folder of footage and models that the repository itself must not hold."""
    if not SHARED.is_dir():
        pytest.skip(f"{SHARED} is not here: it holds footage that may not be committed")
    return SHARED
