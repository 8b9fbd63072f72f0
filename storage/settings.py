"""Settings of the `storage` room: where the store and its pictures lie."""

from __future__ import annotations

from pathlib import Path

from pydantic import Field, field_serializer

from reid.settings import StrictModel
from storage.arguments import DEFAULT_STORE
from storage.redact import redact


class StoreSettings(StrictModel):
    """Where the results go."""

    url: str = Field(
        default=DEFAULT_STORE,
        min_length=1,
        repr=False,  # it may hold a password
        title="Store URL",
        description="`sqlite:///FILE.db` (relative to the working directory; four slashes for an "
        "absolute path) or `postgresql://USER:PASSWORD@HOST/DATABASE`.",
    )
    media: Path | None = Field(
        default=None,
        title="Media folder",
        description="Folder of the exemplar pictures. By default beside a SQLite file "
        "(`crosscam.db` keeps them in `crosscam.media/`); must be given for PostgreSQL.",
    )
    commit_interval: float = Field(
        default=0.25,
        ge=0.01,
        le=1,
        title="Commit interval",
        description="Seconds after which waiting rows are committed, at most: what a "
        "`kill -9` costs of the boxes.",
    )
    commit_rows: int = Field(
        default=10_000,
        ge=200,
        le=100_000,
        title="Commit rows",
        description="Rows that may wait for their commit, at most; then the pipeline waits.",
    )

    @field_serializer("url")
    def _without_password(self, url: str) -> str:
        """A dump of the configuration goes into logs and into the store: never the password."""
        return redact(url)
