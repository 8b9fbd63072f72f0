"""The first schema: cameras, runs, tracks, embeddings, exemplars, identities, ledger."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

from storage.models import BigId, UtcTime

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    """Make all tables, the two views and the triggers that keep the ledger append-only."""
    _runs()
    _tracks()
    _embeddings()
    _identities()
    postgresql = op.get_bind().dialect.name == "postgresql"
    for statement in _views(postgresql) + (_TRIGGERS_POSTGRESQL if postgresql else _TRIGGERS):
        op.execute(sa.text(statement.replace(":", "\\:")))  # no bound parameters in here


def _runs() -> None:
    op.create_table(
        "cameras",
        sa.Column("id", sa.Text(), nullable=False),
        sa.Column("place", sa.Text()),
        sa.Column("x", sa.Double()),
        sa.Column("y", sa.Double()),
        sa.Column("url", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_cameras"),
    )
    op.create_table(
        "runs",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("started", UtcTime(), nullable=False),
        sa.Column("finished", UtcTime()),
        sa.Column("status", sa.String(16), nullable=False),
        sa.Column("config", sa.JSON(), nullable=False),
        sa.Column("version", sa.Text(), nullable=False),
        sa.Column("process", sa.Text(), nullable=False),
        sa.Column("heartbeat", UtcTime(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_runs"),
        sqlite_autoincrement=True,
    )
    op.create_table(
        "run_cameras",
        sa.Column("run", BigId, nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.Column("state", sa.String(32), nullable=False),
        sa.Column("error", sa.Text()),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.Column("dropped", sa.BigInteger(), nullable=False),
        sa.Column("first", UtcTime()),
        sa.Column("last", UtcTime()),
        sa.PrimaryKeyConstraint("run", "camera", name="pk_run_cameras"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_run_cameras_run"),
        sa.ForeignKeyConstraint(["camera"], ["cameras.id"], name="fk_run_cameras_camera"),
    )
    counters = op.create_table(
        "counters",
        sa.Column("kind", sa.String(16), nullable=False),
        sa.Column("next", sa.BigInteger(), nullable=False),
        sa.PrimaryKeyConstraint("kind", name="pk_counters"),
    )
    op.bulk_insert(counters, [{"kind": "track", "next": 1}, {"kind": "identity", "next": 1}])


def _tracks() -> None:
    op.create_table(
        "tracks",
        sa.Column("id", BigId, nullable=False, autoincrement=False),
        sa.Column("run", BigId, nullable=False),
        sa.Column("camera", sa.Text(), nullable=False),
        sa.Column("start", UtcTime(), nullable=False),
        sa.Column("end", UtcTime(), nullable=False),
        sa.Column("boxes", sa.Integer(), nullable=False),
        sa.Column("closed", sa.Boolean(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_tracks"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_tracks_run"),
        sa.ForeignKeyConstraint(["camera"], ["cameras.id"], name="fk_tracks_camera"),
    )
    op.create_index("ix_tracks_run_camera", "tracks", ["run", "camera"])
    op.create_table(
        "boxes",
        sa.Column("track", BigId, nullable=False),
        sa.Column("frame", BigId, nullable=False, autoincrement=False),
        sa.Column("time", sa.Double(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _BOX),
        sa.Column("confidence", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("track", "frame", name="pk_boxes"),
        sa.ForeignKeyConstraint(["track"], ["tracks.id"], name="fk_boxes_track"),
        sqlite_with_rowid=False,
    )


def _embeddings() -> None:
    op.create_table(
        "models",
        sa.Column("fingerprint", sa.Text(), nullable=False),
        sa.Column("parts", sa.Integer(), nullable=False),
        sa.Column("dim", sa.Integer(), nullable=False),
        sa.Column("description", sa.JSON(), nullable=False),
        sa.PrimaryKeyConstraint("fingerprint", name="pk_models"),
    )
    op.create_table(
        "tracklets",
        sa.Column("track", BigId, nullable=False, autoincrement=False),
        sa.Column("model", sa.Text(), nullable=False),
        sa.Column("parts", sa.LargeBinary(), nullable=False),
        sa.Column("global_parts", sa.LargeBinary(), nullable=False),
        sa.Column("quality", sa.LargeBinary(), nullable=False),
        sa.PrimaryKeyConstraint("track", name="pk_tracklets"),
        sa.ForeignKeyConstraint(["track"], ["tracks.id"], name="fk_tracklets_track"),
        sa.ForeignKeyConstraint(["model"], ["models.fingerprint"], name="fk_tracklets_model"),
    )
    op.create_index("ix_tracklets_model", "tracklets", ["model"])
    op.create_table(
        "exemplars",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("track", BigId, nullable=False),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        *(sa.Column(name, sa.Double(), nullable=False) for name in _BOX),
        sa.Column("path", sa.Text(), nullable=False),
        sa.Column("sha256", sa.String(64), nullable=False),
        sa.Column("quality", sa.JSON(), nullable=False),
        sa.Column("visible", sa.JSON(), nullable=False),
        sa.Column("score", sa.Double(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_exemplars"),
        sa.UniqueConstraint("track", "frame", name="uq_exemplars_track_frame"),
        sa.ForeignKeyConstraint(["track"], ["tracks.id"], name="fk_exemplars_track"),
        sqlite_autoincrement=True,
    )


def _identities() -> None:
    op.create_table(
        "identities",
        sa.Column("id", BigId, nullable=False, autoincrement=False),
        sa.Column("created", UtcTime(), nullable=False),
        sa.Column("run", BigId, nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_identities"),
        sa.ForeignKeyConstraint(["run"], ["runs.id"], name="fk_identities_run"),
    )
    op.create_index("ix_identities_run", "identities", ["run"])
    op.create_table(
        "ledger",
        sa.Column("id", BigId, nullable=False, autoincrement=True),
        sa.Column("written", UtcTime(), nullable=False),
        sa.Column("track", BigId, nullable=False),
        sa.Column("identity", BigId, nullable=False),
        sa.Column("action", sa.String(16), nullable=False),
        sa.Column("time", UtcTime(), nullable=False),
        sa.Column("candidate", BigId),
        *(sa.Column(name, sa.Double()) for name in _EVIDENCE),
        sa.Column("reason", sa.Text(), nullable=False),
        sa.Column("actor", sa.Text(), nullable=False),
        sa.PrimaryKeyConstraint("id", name="pk_ledger"),
        sa.ForeignKeyConstraint(["track"], ["tracks.id"], name="fk_ledger_track"),
        sa.ForeignKeyConstraint(["identity"], ["identities.id"], name="fk_ledger_identity"),
        sqlite_autoincrement=True,
    )
    op.create_index("ix_ledger_track_id", "ledger", ["track", "id"])
    op.create_index("ix_ledger_identity", "ledger", ["identity"])


_BOX = ("left", "top", "width", "height")
_EVIDENCE = ("distance", "runner_up", "support", "threshold")


def _views(postgresql: bool) -> tuple[str, ...]:
    """`current_links`: each track's last ledger row. `sightings`: who was where, when, as text."""

    def iso(column: str) -> str:
        if not postgresql:
            return column  # SQLite keeps times as ISO text already
        return f"""to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"')"""

    start, end = iso("t.start"), iso('t."end"')
    return (
        "CREATE VIEW current_links AS SELECT l.* FROM ledger AS l "
        "WHERE l.id = (SELECT max(m.id) FROM ledger AS m WHERE m.track = l.track)",
        'CREATE VIEW sightings AS SELECT l.identity AS "identity", t.camera AS camera, '
        f'c.place AS place, {start} AS "start", {end} AS "end", '
        "t.id AS track, t.run AS run, t.boxes AS boxes, l.action AS action "
        "FROM tracks AS t JOIN current_links AS l ON l.track = t.id "
        "JOIN cameras AS c ON c.id = t.camera",
    )


_TRIGGERS = (
    "CREATE TRIGGER ledger_no_update BEFORE UPDATE ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: UPDATE refused'); END",
    "CREATE TRIGGER ledger_no_delete BEFORE DELETE ON ledger "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: DELETE refused'); END",
    # INSERT OR REPLACE deletes the old row without asking the trigger above.
    "CREATE TRIGGER ledger_no_replace BEFORE INSERT ON ledger "
    "WHEN EXISTS (SELECT 1 FROM ledger WHERE id = NEW.id) "
    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only: REPLACE refused'); END",
)

_TRIGGERS_POSTGRESQL = (
    "CREATE FUNCTION ledger_append_only() RETURNS trigger LANGUAGE plpgsql AS $$ "
    "BEGIN RAISE EXCEPTION 'the ledger is append-only: % refused', TG_OP; END $$",
    "CREATE TRIGGER ledger_no_change BEFORE UPDATE OR DELETE ON ledger "
    "FOR EACH ROW EXECUTE FUNCTION ledger_append_only()",
    "CREATE TRIGGER ledger_no_truncate BEFORE TRUNCATE ON ledger "
    "FOR EACH STATEMENT EXECUTE FUNCTION ledger_append_only()",
)
