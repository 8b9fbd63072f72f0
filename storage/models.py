"""The tables of the store (SQLAlchemy 2, declarative) and how time and ids are kept in them.

    cameras ─┬─ run_cameras ─── runs
             └─ tracks ─┬─ boxes
                        ├─ tracklets ─── models      (embeddings, fp16)
                        ├─ exemplars                 (JPEG files in the media folder)
                        └─ ledger ────── identities  (append-only)

What people add (cases, decisions, watches, accounts, the audit trail) and the recordings' index
stand in `storage/desk_models.py`, on the same `Base`.

The schema itself is made by `storage/migrations`; a test holds the two together.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Double,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Text,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects.postgresql import TIMESTAMP
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column
from sqlalchemy.types import TypeDecorator, TypeEngine

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)

# SQLite counts rows only in a column that is exactly INTEGER; PostgreSQL needs 64 bits said.
BigId = BigInteger().with_variant(Integer, "sqlite")


def to_microsecond(seconds: float) -> float:
    """Round UTC seconds to the microsecond, which is what the store keeps."""
    return round(seconds * 1e6) / 1e6


def iso_text(seconds: float) -> str:
    """UTC seconds as `2026-01-31T12:00:00.000000Z`: fixed width, so it sorts as text."""
    moment = EPOCH + round(seconds * 1e6) * MICROSECOND
    # strftime("%Y") does not pad years before 1000 on every platform.
    return moment.isoformat(timespec="microseconds").removesuffix("+00:00") + "Z"


def from_iso_text(text: str) -> float:
    """The inverse of `iso_text`."""
    return (datetime.fromisoformat(text) - EPOCH) // MICROSECOND / 1e6


class UtcTime(TypeDecorator[float]):
    """A moment: float UTC seconds in Python, ISO text in SQLite, timestamptz in PostgreSQL.

    A person who opens the store with any SQL tool reads times, not numbers.
    """

    impl = String(27)
    cache_ok = True

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        """A timestamptz where the database has it, else text."""
        if dialect.name == "postgresql":
            return dialect.type_descriptor(TIMESTAMP(timezone=True))
        return dialect.type_descriptor(String(27))

    def process_bind_param(self, value: float | None, dialect: Dialect) -> Any:
        """Python to database."""
        if value is None:
            return None
        if dialect.name == "postgresql":
            return EPOCH + round(value * 1e6) * MICROSECOND
        return iso_text(value)

    def process_result_value(self, value: Any, dialect: Dialect) -> float | None:
        """Database to Python."""
        if value is None:
            return None
        if isinstance(value, datetime):
            return (value - EPOCH) // MICROSECOND / 1e6
        return from_iso_text(value)


class Base(DeclarativeBase):
    """Root of the tables; constraint names are fixed so that migrations can name them."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "fk": "fk_%(table_name)s_%(column_0_N_name)s",
            "pk": "pk_%(table_name)s",
        }
    )


class Camera(Base):
    """A camera as last configured; `url` never holds a password."""

    __tablename__ = "cameras"

    id: Mapped[str] = mapped_column(Text, primary_key=True)
    place: Mapped[str | None] = mapped_column(Text)
    x: Mapped[float | None] = mapped_column(Double)
    y: Mapped[float | None] = mapped_column(Double)
    url: Mapped[str] = mapped_column(Text)


class Run(Base):
    """One run of the main job. `process` and `heartbeat` tell whether it still lives."""

    __tablename__ = "runs"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    started: Mapped[float] = mapped_column(UtcTime)
    finished: Mapped[float | None] = mapped_column(UtcTime)
    status: Mapped[str] = mapped_column(String(16))
    config: Mapped[dict[str, Any]] = mapped_column(JSON)
    version: Mapped[str] = mapped_column(Text)
    process: Mapped[str] = mapped_column(Text)
    heartbeat: Mapped[float] = mapped_column(UtcTime)
    rerun_of: Mapped[int | None] = mapped_column(BigId)


class RunCamera(Base):
    """How one camera fared in one run."""

    __tablename__ = "run_cameras"

    run: Mapped[int] = mapped_column(BigId, ForeignKey("runs.id"), primary_key=True)
    camera: Mapped[str] = mapped_column(Text, ForeignKey("cameras.id"), primary_key=True)
    state: Mapped[str] = mapped_column(String(32))
    error: Mapped[str | None] = mapped_column(Text)
    frames: Mapped[int] = mapped_column(BigInteger)
    dropped: Mapped[int] = mapped_column(BigInteger)
    first: Mapped[float | None] = mapped_column(UtcTime)
    last: Mapped[float | None] = mapped_column(UtcTime)


class Track(Base):
    """One person followed in one camera without a break."""

    __tablename__ = "tracks"
    # By time: most windows that people ask for are recent, and few tracks end after they begin.
    __table_args__ = (Index(None, "run", "camera"), Index(None, "end", "start"))

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    run: Mapped[int] = mapped_column(BigId, ForeignKey("runs.id"))
    camera: Mapped[str] = mapped_column(Text, ForeignKey("cameras.id"))
    start: Mapped[float] = mapped_column(UtcTime)
    end: Mapped[float] = mapped_column(UtcTime)
    boxes: Mapped[int] = mapped_column(Integer)
    closed: Mapped[bool] = mapped_column(Boolean)


class TrackBox(Base):
    """Where a track was in one frame (frames from 0; pixels; `time` UTC seconds)."""

    __tablename__ = "boxes"
    __table_args__ = ({"sqlite_with_rowid": False},)

    track: Mapped[int] = mapped_column(BigId, ForeignKey("tracks.id"), primary_key=True)
    frame: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    time: Mapped[float] = mapped_column(Double)
    left: Mapped[float] = mapped_column(Double)
    top: Mapped[float] = mapped_column(Double)
    width: Mapped[float] = mapped_column(Double)
    height: Mapped[float] = mapped_column(Double)
    confidence: Mapped[float] = mapped_column(Double)


class Model(Base):
    """A model that made embeddings: K parts of d numbers."""

    __tablename__ = "models"

    fingerprint: Mapped[str] = mapped_column(Text, primary_key=True)
    parts: Mapped[int] = mapped_column(Integer)
    dim: Mapped[int] = mapped_column(Integer)
    description: Mapped[dict[str, Any]] = mapped_column(JSON)


class TrackletEmbedding(Base):
    """A track's pooled embedding: little-endian fp16 (K, d), (K, d) and (K,), C order.

    `revision` rises with every write, over the whole store: who remembers the highest one it has
    read asks for what is above, and misses nothing.
    """

    __tablename__ = "tracklets"

    track: Mapped[int] = mapped_column(
        BigId, ForeignKey("tracks.id"), primary_key=True, autoincrement=False
    )
    model: Mapped[str] = mapped_column(Text, ForeignKey("models.fingerprint"), index=True)
    parts: Mapped[bytes] = mapped_column(LargeBinary)
    global_parts: Mapped[bytes] = mapped_column(LargeBinary)
    quality: Mapped[bytes] = mapped_column(LargeBinary)
    revision: Mapped[int] = mapped_column(BigInteger, index=True, server_default="0")


class ExemplarCrop(Base):
    """A crop of a track; `path` is relative to the media folder, with forward slashes."""

    __tablename__ = "exemplars"
    __table_args__ = (UniqueConstraint("track", "frame"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    track: Mapped[int] = mapped_column(BigId, ForeignKey("tracks.id"))
    frame: Mapped[int] = mapped_column(BigInteger)
    time: Mapped[float] = mapped_column(UtcTime)
    left: Mapped[float] = mapped_column(Double)
    top: Mapped[float] = mapped_column(Double)
    width: Mapped[float] = mapped_column(Double)
    height: Mapped[float] = mapped_column(Double)
    path: Mapped[str] = mapped_column(Text)
    sha256: Mapped[str] = mapped_column(String(64))
    quality: Mapped[list[float]] = mapped_column(JSON)
    visible: Mapped[list[float]] = mapped_column(JSON)
    score: Mapped[float] = mapped_column(Double)


class Identity(Base):
    """A person as far as the system can tell; `created` is the capture time of the evidence."""

    __tablename__ = "identities"

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    created: Mapped[float] = mapped_column(UtcTime)
    run: Mapped[int] = mapped_column(BigId, ForeignKey("runs.id"), index=True)


class LedgerEntry(Base):
    """Who linked which track to which identity, and why. Append-only: triggers refuse the rest."""

    __tablename__ = "ledger"
    __table_args__ = (
        Index(None, "track", "id"),
        Index(None, "identity"),
        # Few rows are people's: an index of those alone costs the matcher's rows nothing.
        Index(
            None,
            "decision",
            sqlite_where=text("decision IS NOT NULL"),
            postgresql_where=text("decision IS NOT NULL"),
        ),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    written: Mapped[float] = mapped_column(UtcTime)
    track: Mapped[int] = mapped_column(BigId, ForeignKey("tracks.id"))
    identity: Mapped[int] = mapped_column(BigId, ForeignKey("identities.id"))
    action: Mapped[str] = mapped_column(String(16))
    time: Mapped[float] = mapped_column(UtcTime)
    candidate: Mapped[int | None] = mapped_column(BigId)
    distance: Mapped[float | None] = mapped_column(Double)
    runner_up: Mapped[float | None] = mapped_column(Double)
    support: Mapped[float | None] = mapped_column(Double)
    threshold: Mapped[float | None] = mapped_column(Double)
    reason: Mapped[str] = mapped_column(Text)
    actor: Mapped[str] = mapped_column(Text)
    decision: Mapped[int | None] = mapped_column(BigId)


class Counter(Base):
    """The next free id of a kind (`track`, `identity`); processes reserve blocks of it.

    The kind `revision` counts the writes of embeddings (`TrackletEmbedding.revision`).
    """

    __tablename__ = "counters"

    kind: Mapped[str] = mapped_column(String(16), primary_key=True)
    next: Mapped[int] = mapped_column(BigInteger)
