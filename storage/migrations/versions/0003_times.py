"""Tracks and recordings by time: a window of a month no longer reads the month."""

from __future__ import annotations

from alembic import op

revision = "0003"
down_revision = "0002"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the indexes."""
    op.create_index("ix_tracks_end_start", "tracks", ["end", "start"])
    op.create_index("ix_recordings_end_start_camera", "recordings", ["end", "start", "camera"])
