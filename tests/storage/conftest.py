"""Fixtures of the store's tests: a store of either kind, and records to put into it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

POSTGRESQL_BIN = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"))


@pytest.fixture(scope="session")
def postgresql_server() -> Iterator[str]:
    """URL with a {database} to fill in: CROSSCAM_TEST_POSTGRESQL, or a server of our own."""
    pytest.importorskip("psycopg", reason="psycopg is not installed (crosscam[postgresql])")
    if given := os.environ.get("CROSSCAM_TEST_POSTGRESQL"):
        yield given
        return
    initdb = shutil.which("initdb") or (str(POSTGRESQL_BIN[-1]) if POSTGRESQL_BIN else None)
    if initdb is None:
        pytest.skip("no PostgreSQL server programs here (initdb)")
    # Not pytest's own folder: that is closed to every other user, and the server must be one.
    folder = Path(tempfile.mkdtemp(prefix="crosscam-postgresql-"))
    options: dict[str, str] = {}
    if os.geteuid() == 0:  # the server refuses to run as root
        try:
            shutil.chown(folder, "postgres")
        except LookupError:
            pytest.skip("PostgreSQL does not run as root and there is no user postgres")
        options = {"user": "postgres"}
    data = folder / "data"
    password = folder / "password"
    password.write_text("s3cret/w@rd")
    password.chmod(0o644)
    programs = Path(initdb).resolve().parent
    quiet = {"check": True, "stdout": subprocess.DEVNULL, "cwd": folder, **options}
    subprocess.run(
        [initdb, "-D", data, "-U", "crosscam", "-A", "scram-sha-256", f"--pwfile={password}"],
        **quiet,  # type: ignore[call-overload]
    )
    # No TCP port to collide with: a socket in our own folder.
    server = subprocess.Popen(
        [
            programs / "postgres",
            *("-D", data, "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off"),
        ],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        cwd=folder,
        **options,
    )
    try:
        _wait_until_ready(programs, folder)
        yield f"postgresql://crosscam:s3cret%2Fw%40rd@/{{database}}?host={folder}"
    finally:
        server.terminate()
        server.wait(30)
        shutil.rmtree(folder, ignore_errors=True)


def _wait_until_ready(programs: Path, folder: Path) -> None:
    for _ in range(100):
        ready = subprocess.run([programs / "pg_isready", "-h", folder, "-q"], check=False)
        if ready.returncode == 0:
            return
        time.sleep(0.1)
    pytest.fail("PostgreSQL did not start")


@pytest.fixture
def new_postgresql(postgresql_server: str) -> Iterator[Callable[[], str]]:
    """Makes empty databases; they go away afterwards."""
    import psycopg

    def connect() -> psycopg.Connection:
        return psycopg.connect(postgresql_server.format(database="postgres"), autocommit=True)

    names: list[str] = []

    def make() -> str:
        name = f"crosscam_test_{os.getpid()}_{len(names)}"
        with connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")  # type: ignore[arg-type]
        names.append(name)
        return postgresql_server.format(database=name)

    yield make
    with connect() as connection:
        for name in names:
            connection.execute(f"DROP DATABASE {name} WITH (FORCE)")  # type: ignore[arg-type]


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """URL of a store that does not exist yet, on each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    return str(request.getfixturevalue("new_postgresql")())


@pytest.fixture
def media(tmp_path: Path) -> Path:
    return tmp_path / "media"


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'store.db'}"
