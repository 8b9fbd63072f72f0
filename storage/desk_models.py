"""The tables of the desk: recordings, decisions, cases, watches, accounts, the audit trail.

    cameras ── recordings                       (fragmented MP4 files in the media folder)
    cameras ── camera_group_members ── camera_groups ── user_groups ── users
    users ─┬─ sessions
           └─ api_tokens
    cases ─┬─ case_items
           └─ holds                             (what retention must not touch)
    watches ── alerts ── tracks
    decisions ── ledger.decision                (append-only, as is `audit`)

Made by migration 0002; names and time as in `storage/models.py`.
"""

from __future__ import annotations

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
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.orm import Mapped, mapped_column

from storage.models import Base, BigId, UtcTime


class Recording(Base):
    """A segment of one camera's own video; `path` is relative to the media folder.

    A packet with presentation time t (seconds from the segment's first) was captured at start + t.
    """

    __tablename__ = "recordings"
    __table_args__ = (
        Index(None, "camera", "start"),
        Index(None, "end", "start", "camera"),
        UniqueConstraint("path"),
        {"sqlite_autoincrement": True},
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    camera: Mapped[str] = mapped_column(Text, ForeignKey("cameras.id"))
    run: Mapped[int | None] = mapped_column(BigId, ForeignKey("runs.id"))
    path: Mapped[str] = mapped_column(Text)
    start: Mapped[float] = mapped_column(UtcTime)
    end: Mapped[float] = mapped_column(UtcTime)
    bytes: Mapped[int] = mapped_column(BigInteger)
    codec: Mapped[str] = mapped_column(String(32))
    width: Mapped[int] = mapped_column(Integer)
    height: Mapped[int] = mapped_column(Integer)
    closed: Mapped[bool] = mapped_column(Boolean)


class Decision(Base):
    """What a person decided: confirm, reject, merge, split or undo; ledger rows refer to it."""

    __tablename__ = "decisions"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    time: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(16))
    reason: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    undoes: Mapped[int | None] = mapped_column(BigId, ForeignKey("decisions.id"))


class Case(Base):
    """A folder of evidence; while it is open its items' footage is kept."""

    __tablename__ = "cases"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    closed: Mapped[float | None] = mapped_column(UtcTime)


class CaseItem(Base):
    """One thing in a case: a track, an identity, or a stretch of one camera's footage (`clip`)."""

    __tablename__ = "case_items"
    __table_args__ = (Index(None, "case"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    case: Mapped[int] = mapped_column(BigId, ForeignKey("cases.id"))
    kind: Mapped[str] = mapped_column(String(16))
    track: Mapped[int | None] = mapped_column(BigId)
    identity: Mapped[int | None] = mapped_column(BigId)
    camera: Mapped[str | None] = mapped_column(Text)
    start: Mapped[float | None] = mapped_column(UtcTime)
    end: Mapped[float | None] = mapped_column(UtcTime)
    note: Mapped[str] = mapped_column(Text)
    added: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)


class Hold(Base):
    """Footage that retention must keep: of one camera, or of all where `camera` is empty."""

    __tablename__ = "holds"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    camera: Mapped[str | None] = mapped_column(Text)
    start: Mapped[float] = mapped_column(UtcTime)
    end: Mapped[float] = mapped_column(UtcTime)
    reason: Mapped[str] = mapped_column(Text)
    case: Mapped[int | None] = mapped_column(BigId, ForeignKey("cases.id"))
    created: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    released: Mapped[float | None] = mapped_column(UtcTime)


class Watch(Base):
    """A standing query. The embedding is stored as in `tracklets`; `weights`: K part weights.

    `covered`: the highest `tracklets.revision` that was compared with it. `details`: what the query
    was made of (`tracks`, `identity`, `photos`) and what the past held (`past`).
    """

    __tablename__ = "watches"
    __table_args__ = ({"sqlite_autoincrement": True},)

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(Text)
    created: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    expires: Mapped[float] = mapped_column(UtcTime)
    ended: Mapped[float | None] = mapped_column(UtcTime)
    model: Mapped[str] = mapped_column(Text, ForeignKey("models.fingerprint"))
    parts: Mapped[bytes] = mapped_column(LargeBinary)
    global_parts: Mapped[bytes] = mapped_column(LargeBinary)
    quality: Mapped[bytes] = mapped_column(LargeBinary)
    weights: Mapped[list[float] | None] = mapped_column(JSON)
    level: Mapped[str] = mapped_column(String(16))
    cameras: Mapped[list[str] | None] = mapped_column(JSON)
    notify: Mapped[dict[str, Any]] = mapped_column(JSON)
    picture: Mapped[str | None] = mapped_column(Text)
    covered: Mapped[int] = mapped_column(BigInteger)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)


class Alert(Base):
    """A hit of a watch: one per watch and track, however long the track grows."""

    __tablename__ = "alerts"
    __table_args__ = (UniqueConstraint("watch", "track"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    watch: Mapped[int] = mapped_column(BigId, ForeignKey("watches.id"))
    track: Mapped[int] = mapped_column(BigId, ForeignKey("tracks.id"))
    raised: Mapped[float] = mapped_column(UtcTime)
    time: Mapped[float] = mapped_column(UtcTime)
    distance: Mapped[float] = mapped_column(Double)
    support: Mapped[float] = mapped_column(Double)
    verdict: Mapped[str] = mapped_column(String(32))
    evidence: Mapped[dict[str, Any]] = mapped_column(JSON)
    sent: Mapped[dict[str, Any]] = mapped_column(JSON)
    seen: Mapped[float | None] = mapped_column(UtcTime)
    seen_by: Mapped[str | None] = mapped_column(Text)


class User(Base):
    """Somebody who may sign in. `password` is an argon2 hash; empty until it is first set."""

    __tablename__ = "users"
    __table_args__ = (UniqueConstraint("name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))
    role: Mapped[str] = mapped_column(String(16))
    password: Mapped[str | None] = mapped_column(Text)
    all_cameras: Mapped[bool] = mapped_column(Boolean)
    disabled: Mapped[bool] = mapped_column(Boolean)
    created: Mapped[float] = mapped_column(UtcTime)


class CameraGroup(Base):
    """A set of cameras that rights are given for."""

    __tablename__ = "camera_groups"
    __table_args__ = (UniqueConstraint("name"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    name: Mapped[str] = mapped_column(String(64))


class CameraGroupMember(Base):
    """A camera of a group; the camera need not have run yet."""

    __tablename__ = "camera_group_members"

    group: Mapped[int] = mapped_column(BigId, ForeignKey("camera_groups.id"), primary_key=True)
    camera: Mapped[str] = mapped_column(Text, primary_key=True)


class UserGroup(Base):
    """A group whose cameras a user may see."""

    __tablename__ = "user_groups"

    user: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"), primary_key=True)
    group: Mapped[int] = mapped_column(BigId, ForeignKey("camera_groups.id"), primary_key=True)


class Session(Base):
    """A signed-in browser; the cookie's SHA-256, never the cookie."""

    __tablename__ = "sessions"

    token: Mapped[str] = mapped_column(String(64), primary_key=True)
    user: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"), index=True)
    csrf: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column(UtcTime)
    expires: Mapped[float] = mapped_column(UtcTime)
    seen: Mapped[float] = mapped_column(UtcTime)


class ApiToken(Base):
    """A program's key, by its SHA-256. `purpose`: `api`, or `invite` for a one-time link."""

    __tablename__ = "api_tokens"
    __table_args__ = (UniqueConstraint("token"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    user: Mapped[int] = mapped_column(BigId, ForeignKey("users.id"), index=True)
    purpose: Mapped[str] = mapped_column(String(16))
    name: Mapped[str] = mapped_column(Text)
    token: Mapped[str] = mapped_column(String(64))
    created: Mapped[float] = mapped_column(UtcTime)
    expires: Mapped[float | None] = mapped_column(UtcTime)
    used: Mapped[float | None] = mapped_column(UtcTime)
    revoked: Mapped[float | None] = mapped_column(UtcTime)


class AuditEntry(Base):
    """Who did what, when and why. Append-only: triggers refuse the rest."""

    __tablename__ = "audit"
    __table_args__ = (Index(None, "time"), {"sqlite_autoincrement": True})

    id: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=True)
    time: Mapped[float] = mapped_column(UtcTime)
    actor: Mapped[str] = mapped_column(Text)
    action: Mapped[str] = mapped_column(String(32))
    subject: Mapped[str] = mapped_column(Text)
    reason: Mapped[str] = mapped_column(Text)
    details: Mapped[dict[str, Any]] = mapped_column(JSON)
    address: Mapped[str | None] = mapped_column(Text)


class Tombstone(Base):
    """A track that was erased: caches drop it when they read a revision above theirs."""

    __tablename__ = "tombstones"

    track: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
    revision: Mapped[int] = mapped_column(BigInteger, index=True)


class Erasing(Base):
    """Tracks being erased: their ledger rows may be deleted, within the same transaction only."""

    __tablename__ = "erasing"

    track: Mapped[int] = mapped_column(BigId, primary_key=True, autoincrement=False)
