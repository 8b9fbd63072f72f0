"""Alembic's entry point: runs the migrations on the connection that `storage.engine` hands in."""

from __future__ import annotations

from alembic import context

import storage.desk_models  # noqa: F401 - its tables belong to the metadata
from storage.models import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=context.config.attributes["version_table"],
    # SQLite can roll a half-made schema back, if Alembic lets it.
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
