"""Alembic migrations of the store; run by `storage.engine.migrate`, never by hand."""
