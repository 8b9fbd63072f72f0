"""`crosscam serve` and `crosscam user`, as processes of their own."""

from __future__ import annotations

import argparse
import json
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

import run_pipeline
from storage import audit
from storage.queries import StoreReader
from tests.web.conftest import Served
from web.serve_command import first_administrator, is_loopback, watching

ROOT = Path(__file__).parent.parent.parent


@contextmanager
def serving(url: str) -> Iterator[tuple[subprocess.Popen[str], list[str], str]]:
    """A server on a free port; what it printed until it served, and its address."""
    process = subprocess.Popen(
        [sys.executable, "run_pipeline.py", "serve", "--store", url, "--port", "0"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
        text=True,
    )  # fmt: skip
    try:
        lines: list[str] = []
        assert process.stdout is not None
        for line in process.stdout:
            lines.append(line.rstrip())
            if found := re.search(r"crosscam serves .* on (http\S+)", line):
                yield process, lines, found.group(1)
                break
        else:
            pytest.fail("\n".join(lines))
    finally:
        process.kill()
        process.wait()


def test_first_start_makes_an_administrator_with_a_link_that_works_once(sqlite_url: str) -> None:
    with serving(sqlite_url) as (process, lines, address):
        link = next(line for line in lines if "/link/" in line)
        assert link.startswith(f"{address}/link/") and address.startswith("http://127.0.0.1:")
        form = {"password": "korrekt pferd batterie", "again": "korrekt pferd batterie"}
        assert httpx.post(link, data=form).headers["location"] == "/sign-in?name=admin"
        assert httpx.get(link).status_code == 404
        with urllib.request.urlopen(f"{address}/health") as answer:
            assert json.load(answer) == {"store": "ok"}
            assert "server" not in answer.headers
        process.send_signal(signal.SIGINT)
        assert process.wait(20) == 0
        assert process.stdout is not None
        assert process.stdout.read().splitlines()[-1] == "crosscam: no longer serving"

    with StoreReader.open(sqlite_url) as reader:
        made = audit.entries(reader)[-1]
    assert (made.actor, made.subject, made.reason) == ("crosscam", "user admin", "the first start")


def test_a_later_start_makes_nobody(served: Served) -> None:
    before = served.users()
    assert first_administrator(served.desk, served.desk.settings) is None
    assert served.users() == before


def test_a_port_that_is_taken_is_named(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert run_pipeline.main(["serve", "--store", sqlite_url, "--port", str(port)]) == 2
    assert f"--port {port}: Address already in use" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--port", "99999"], "--port is 99999"),
        (["--base-url", "cameras.example"], "--base-url is 'cameras.example'"),
        (["--base-url", "https://cameras.example/sub/path"], "--base-url is"),
        (["--host", "999.1.1.1"], "--host 999.1.1.1"),
        (["--store", "sqlite:////no/such/folder/x.db"], "there is no folder /no/such/folder"),
    ],
)
def test_what_cannot_be_served_says_so(
    sqlite_url: str, arguments: list[str], says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    full = ["serve", "--store", sqlite_url, "--port", "0", *arguments]
    assert run_pipeline.main(full) == 2
    assert says in capsys.readouterr().err


def test_only_loopback_is_this_machine_alone() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1", "localhost")))
    assert not any(map(is_loopback, ("0.0.0.0", "::", "10.0.0.5", "cameras.example")))


def test_users_from_the_terminal(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    def user(*arguments: str) -> tuple[int, str, str]:
        code = run_pipeline.main(["user", *arguments, "--store", sqlite_url])
        out, err = capsys.readouterr()
        return code, out, err

    code, _, err = user("list")
    assert code == 2 and "there is no file" in err  # a typing error makes no store
    from storage.store import Store

    Store.open(sqlite_url).close()
    code, out, _ = user("add", "mia", "--role", "investigator", "--all-cameras")
    assert code == 0 and re.search(r"http://127.0.0.1:8800/link/[\w-]{43}\n", out)
    code, out, _ = user("list", "--json")
    (row,) = json.loads(out)
    assert {k: v for k, v in row.items() if k != "created"} == {
        "name": "mia", "role": "investigator", "cameras": "all", "state": "no password yet",
    }  # fmt: skip
    assert user("disable", "mia")[0] == 0
    assert json.loads(user("list", "--json")[1])[0]["state"] == "disabled"
    assert user("enable", "mia")[0] == 0
    assert "/link/" in user("link", "mia", "--base-url", "https://c.example/")[1]
    for arguments, says in (
        (("link", "zoe"), "there is no user 'zoe'"),
        (("add", "mia"), "there is a user 'mia' already"),
        (("add", "zoe", "--group", "East"), "there is no such camera group; has: none"),
    ):
        code, _, err = user(*arguments)
        assert code == 2 and says in err
    with StoreReader.open(sqlite_url) as reader:
        actors = {row.actor for row in audit.entries(reader)}
    assert actors == {audit.person_at_terminal()}


def test_the_watch_list_is_at_work_while_we_serve_unless_not_wanted(served: Served) -> None:
    options = argparse.Namespace(no_watch=False, store=served.url, media=None, weights="default")
    with watching(served.app, options, "http://desk.local"):
        at_work = served.app.state.watching
        assert at_work.running
    assert not at_work.running
    served.app.state.watching = None
    options.no_watch = True
    with watching(served.app, options, "http://desk.local"):
        assert served.app.state.watching is None
