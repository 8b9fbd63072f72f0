"""The desk: recordings, decisions, cases, holds, watches, alerts, accounts, audit, erasure."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.models import BigId, UtcTime

revision = "0002"
down_revision = "0001"
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Add the tables, the columns that tie the old ones to them, and the triggers."""
    _tables()
    revision_column = sa.Column("revision", sa.BigInteger(), nullable=False, server_default="0")
    op.add_column("tracklets", revision_column)
    op.create_index("ix_tracklets_revision", "tracklets", ["revision"])
    op.execute(sa.text("UPDATE tracklets SET revision = 1"))  # whoever starts at 0 reads them
    op.execute(sa.text("INSERT INTO counters (kind, next) VALUES ('revision', 2)"))
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _POSTGRESQL if postgresql else _SQLITE:
        op.execute(sa.text(statement.replace(":", "\\:")))  # no bound parameters in here


def _tables() -> None:
    op.create_table(
        "audit",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=32), nullable=False),
        sa.Column("subject", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("address", sa.Text()),
        sa.PrimaryKeyConstraint("id", name="pk_audit"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_audit_time", "audit", ["time"], unique=False)
    op.create_table(
        "camera_groups",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_camera_groups"),
        sa.UniqueConstraint("name", name="uq_camera_groups_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "cases",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("closed", UtcTime()),
        sa.PrimaryKeyConstraint("id", name="pk_cases"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "decisions",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("action", sa.String(length=16), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.Column("undoes", BigId),
        sa.ForeignKeyConstraint(["undoes"], ["decisions.id"], name="fk_decisions_undoes"),
        sa.PrimaryKeyConstraint("id", name="pk_decisions"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "erasing",
        sa.Column("track", BigId, autoincrement=False, nullable=False),
        sa.PrimaryKeyConstraint("track", name="pk_erasing"),
    )
    op.create_table(
        "tombstones",
        sa.Column("track", BigId, autoincrement=False, nullable=False),
        sa.Column("revision", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("track", name="pk_tombstones"),
    )
    op.create_index("ix_tombstones_revision", "tombstones", ["revision"], unique=False)
    op.create_table(
        "users",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.String(length=64), nullable=False),
        sa.Column("role", sa.String(length=16), nullable=False),
        sa.Column("password", sa.Text()),
        sa.Column("all_cameras", sa.Boolean(), nullable=False),
        sa.Column("disabled", sa.Boolean(), nullable=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_users"),
        sa.UniqueConstraint("name", name="uq_users_name"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "api_tokens",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("user", BigId, nullable=False),
        sa.Column("purpose", sa.String(length=16), nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("expires", UtcTime()),
        sa.Column("used", UtcTime()),
        sa.Column("revoked", UtcTime()),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_api_tokens_user"),
        sa.PrimaryKeyConstraint("id", name="pk_api_tokens"),
        sa.UniqueConstraint("token", name="uq_api_tokens_token"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_api_tokens_user", "api_tokens", ["user"], unique=False)
    op.create_table(
        "camera_group_members",
        sa.Column("group", BigId, nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(
            ["group"], ["camera_groups.id"], name="fk_camera_group_members_group"
        ),
        sa.PrimaryKeyConstraint("group", "camera", name="pk_camera_group_members"),
    )
    op.create_table(
        "case_items",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("case", BigId, nullable=False),
        sa.Column("kind", sa.String(length=16), nullable=False),
        sa.Column("track", BigId),
        sa.Column("identity", BigId),
        sa.Column("camera", sa.Text()),
        sa.Column("start", UtcTime()),
        sa.Column("end", UtcTime()),
        sa.Column("note", sa.Text(), nullable=False),
        sa.Column("added", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.ForeignKeyConstraint(["case"], ["cases.id"], name="fk_case_items_case"),
        sa.PrimaryKeyConstraint("id", name="pk_case_items"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_case_items_case", "case_items", ["case"], unique=False)
    op.create_table(
        "holds",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("camera", sa.Text()),
        sa.Column("start", UtcTime(), nullable=False),
        sa.Column("end", UtcTime(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("case", BigId),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("released", UtcTime()),
        sa.ForeignKeyConstraint(["case"], ["cases.id"], name="fk_holds_case"),
        sa.PrimaryKeyConstraint("id", name="pk_holds"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "recordings",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.Column("run", BigId),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("start", UtcTime(), nullable=False),
        sa.Column("end", UtcTime(), nullable=False),
        sa.Column("bytes", sa.BigInteger(), nullable=False),
        sa.Column("codec", sa.String(length=32), nullable=False),
        sa.Column("width", sa.Integer(), nullable=False),
        sa.Column("height", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.ForeignKeyConstraint(["camera"], ["cameras.id"], name="fk_recordings_camera"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_recordings_run"),
        sa.PrimaryKeyConstraint("id", name="pk_recordings"),
        sa.UniqueConstraint("path", name="uq_recordings_path"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_recordings_camera_start", "recordings", ["camera", "start"], unique=False)
    op.create_table(
        "sessions",
        sa.Column("token", sa.String(length=64), nullable=False),
        sa.Column("user", BigId, nullable=False),
        sa.Column("csrf", sa.String(length=64), nullable=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("expires", UtcTime(), nullable=False),
        sa.Column("seen", UtcTime(), nullable=False),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_sessions_user"),
        sa.PrimaryKeyConstraint("token", name="pk_sessions"),
    )
    op.create_index("ix_sessions_user", "sessions", ["user"], unique=False)
    op.create_table(
        "user_groups",
        sa.Column("user", BigId, nullable=False),
        sa.Column("group", BigId, nullable=False),
        sa.ForeignKeyConstraint(["group"], ["camera_groups.id"], name="fk_user_groups_group"),
        sa.ForeignKeyConstraint(["user"], ["users.id"], name="fk_user_groups_user"),
        sa.PrimaryKeyConstraint("user", "group", name="pk_user_groups"),
    )
    op.create_table(
        "watches",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("name", sa.Text(), nullable=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("expires", UtcTime(), nullable=False),
        sa.Column("ended", UtcTime()),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("global_parts", sa.LargeBinary(), nullable=False),
        sa.Column("quality", sa.LargeBinary(), nullable=False),
        sa.Column("weights", sa.JSON()),
        sa.Column("level", sa.String(length=16), nullable=False),
        sa.Column("cameras", sa.JSON()),
        sa.Column("notify", sa.JSON(), nullable=False),
        sa.Column("picture", sa.Text()),
        sa.Column("covered", sa.BigInteger(), nullable=False),
        sa.Column("details", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(["model"], ["models.fingerprint"], name="fk_watches_model"),
        sa.PrimaryKeyConstraint("id", name="pk_watches"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "alerts",
        sa.Column("id", BigId, autoincrement=True, nullable=False),
        sa.Column("watch", BigId, nullable=False),
        sa.Column("track", BigId, nullable=False),
        sa.Column("raised", UtcTime(), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.Column("distance", sa.Double(), nullable=False),
        sa.Column("support", sa.Double(), nullable=False),
        sa.Column("verdict", sa.String(length=32), nullable=False),
        sa.Column("evidence", sa.JSON(), nullable=False),
        sa.Column("sent", sa.JSON(), nullable=False),
        sa.Column("seen", UtcTime()),
        sa.Column("seen_by", sa.Text()),
        sa.ForeignKeyConstraint(["track"], ["tracks.id"], name="fk_alerts_track"),
        sa.ForeignKeyConstraint(["watch"], ["watches.id"], name="fk_alerts_watch"),
        sa.PrimaryKeyConstraint("id", name="pk_alerts"),
        sa.UniqueConstraint("watch", "track", name="uq_alerts_watch_track"),
        sqlite_autoincrement=True,
    )
    op.add_column("ledger", sa.Column("decision", BigId))
    people = sa.text("decision IS NOT NULL")
    op.create_index(
        "ix_ledger_decision", "ledger", ["decision"], sqlite_where=people, postgresql_where=people
    )
    op.add_column("runs", sa.Column("rerun_of", BigId))


def _append_only(table: str) -> tuple[str, ...]:
    refused = f"'the {table} table is append-only: "
    return (
        f"CREATE TRIGGER {table}_no_update BEFORE UPDATE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, {refused}UPDATE refused'); END",
        f"CREATE TRIGGER {table}_no_delete BEFORE DELETE ON {table} "
        f"BEGIN SELECT RAISE(ABORT, {refused}DELETE refused'); END",
        # INSERT OR REPLACE deletes the old row without asking the trigger above.
        f"CREATE TRIGGER {table}_no_replace BEFORE INSERT ON {table} "
        f"WHEN EXISTS (SELECT 1 FROM {table} WHERE id = NEW.id) "
        f"BEGIN SELECT RAISE(ABORT, {refused}REPLACE refused'); END",
    )


_SQLITE = (
    *_append_only("audit"),
    *_append_only("decisions"),
    # Erasure is the one way out of the ledger, and names the tracks first.
    "DROP TRIGGER ledger_no_delete",
    "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger "
    "WHEN NOT EXISTS (SELECT 1 FROM erasing WHERE track = OLD.track) "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE refused'); END",
)

_POSTGRESQL = (
    "CREATE FUNCTION append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "BEGIN RAISE EXCEPTION 'the % table is append-only: % refused', TG_TABLE_NAME, TG_OP; END $$",
    *(
        f"CREATE TRIGGER {table}_{name} BEFORE {events} ON {table} "
        f"FOR EACH {each} EXECUTE FUNCTION append_only()"
        for table in ("audit", "decisions")
        for name, events, each in (
            ("no_change", "UPDATE OR DELETE", "ROW"),
            ("no_truncate", "TRUNCATE", "STATEMENT"),
        )
    ),
    "CREATE OR REPLACE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "BEGIN "
    "IF TG_OP = 'DELETE' THEN "  # a TRUNCATE has no OLD: two steps
    "IF EXISTS (SELECT 1 FROM erasing WHERE track = OLD.track) THEN RETURN OLD; END IF; "
    "END IF; "
    "RAISE EXCEPTION 'the ledger is append-only: % refused', TG_OP; END $$",
)
