"""The writer's statements, per database; `order` follows the foreign keys."""

from __future__ import annotations

from typing import Any

from sqlalchemy import case, insert
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import DeclarativeBase

from storage.models import (
    Camera,
    ExemplarCrop,
    Identity,
    LedgerEntry,
    Model,
    RunCamera,
    Track,
    TrackBox,
    TrackletEmbedding,
)
from storage.writer import Statement


class Statements:
    """Upserts of one dialect (`sqlite` or `postgresql`)."""

    def __init__(self, dialect: str) -> None:
        self._insert = sqlite.insert if dialect == "sqlite" else postgresql.insert
        self.camera = Statement(0, self._replace(Camera))
        self.model = Statement(0, self._keep(Model))
        self.run_camera = Statement(1, self._replace(RunCamera))
        self.track = Statement(2, self._track())
        self.box = Statement(3, self._replace(TrackBox))
        self.embedding = self._replace(TrackletEmbedding)
        self.exemplar = Statement(3, self._keep(ExemplarCrop))
        self.identity = Statement(4, self._keep(Identity))
        self.ledger = Statement(5, insert(LedgerEntry))

    def _keep(self, model: type[DeclarativeBase]) -> Any:
        return self._insert(model).on_conflict_do_nothing()

    def _replace(self, model: type[DeclarativeBase]) -> Any:
        """The last write of a key counts."""
        statement = self._insert(model)
        keys = [column.name for column in model.__table__.primary_key]
        values = {
            column.name: statement.excluded[column.name]
            for column in model.__table__.columns
            if column.name not in keys
        }
        return statement.on_conflict_do_update(index_elements=keys, set_=values)

    def _track(self) -> Any:
        """A track grows: earliest start, latest end, boxes added up."""
        statement = self._insert(Track)
        new = statement.excluded
        return statement.on_conflict_do_update(
            index_elements=["id"],
            set_={
                "start": case((new.start < Track.start, new.start), else_=Track.start),
                "end": case((new.end > Track.end, new.end), else_=Track.end),
                "boxes": Track.boxes + new.boxes,
            },
        )
