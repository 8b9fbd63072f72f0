"""The desk over a month of twenty cameras: how long pages, decisions, erasure and retention take.

    python -m benchmarks.desk_at_scale [--tracks 20000] [--folder /tmp/desk] [--keep]

A synthetic store (SQLite): a million tracks with ten boxes and a picture each, four of them an
identity, 864,000 one-minute recordings (rows without files), 200,000 audit rows, 2,000 decisions.
Search is not in it: `benchmarks.store_search` has that. The limit of a page or a decision is a
second, that of all else ten.
"""

from __future__ import annotations

import argparse
import shutil
import sqlite3
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.common import print_table
from investigation.search.strangers import measure as measure_strangers
from storage.decisions.decide import Decisions
from storage.decisions.news import DecisionNews
from storage.decisions.precision import precision
from storage.erasure.erase import erase, survey
from storage.footage.retention import enforce
from storage.models import iso_text
from storage.records import CameraRow
from storage.store import Store
from tests.web.conftest import FAST, Served, add_people
from web.app import create_app

CAMERAS = [CameraRow(f"camera{i:02}", f"{i}.mp4", f"place{i % 5}") for i in range(20)]
BEGIN, DAYS = 1_700_000_000.0, 30
BOXES, EACH, AUDIT, DECISIONS = 10, 4, 200_000, 2_000
PAGE, WORK = 1.0, 10.0  # seconds
BATCH = 20_000


def fill(folder: Path, size: int) -> str:
    """Make the store; returns its URL."""
    url = f"sqlite:///{folder / 'store.db'}"
    with Store.open(url) as store:
        run = store.begin_run({"pipeline": {"matching": {"threshold": 0.25}}}, CAMERAS)
        store.register_model("model", 1, 8, {})
        store.finish_run(run)
    rng = np.random.default_rng(0)
    connection = sqlite3.connect(folder / "store.db", isolation_level=None)
    connection.execute("PRAGMA synchronous = OFF")
    connection.execute("PRAGMA journal_mode = OFF")
    blob = bytes(16)
    for first in range(1, size + 1, BATCH):
        ids = range(first, min(first + BATCH, size + 1))
        times = BEGIN + 86400 * DAYS * (np.array(ids) - rng.uniform(0, 1, len(ids))) / size
        cameras = [CAMERAS[c].id for c in rng.integers(0, len(CAMERAS), len(ids))]
        connection.execute("BEGIN")
        put(connection, "tracks", ((i, run, c, iso_text(t), iso_text(t + 20), BOXES, 1)
            for i, c, t in zip(ids, cameras, times, strict=True)))  # fmt: skip
        put(connection, "boxes", ((i, f, t + 2 * f, 10.0, 10.0, 50.0, 120.0, 0.9)
            for i, t in zip(ids, times, strict=True) for f in range(BOXES)))  # fmt: skip
        put(connection, "tracklets", ((i, "model", blob, blob, b"\0\0", i) for i in ids))
        put(connection, "exemplars", ((i, i, 3, iso_text(t), 10.0, 10.0, 50.0, 120.0,
            f"run000001/{i}.jpg", "0" * 64, "[0.9]", "[1.0]", 0.9)
            for i, t in zip(ids, times, strict=True)))  # fmt: skip
        # People come back: an identity's tracks lie a quarter of the people apart in time.
        people = size // EACH
        put(connection, "identities", ((i, iso_text(t), run)
            for i, t in zip(ids, times, strict=True) if i <= people))  # fmt: skip
        put(connection, "ledger", ((i, iso_text(t), i, (i - 1) % people + 1,
            "create" if i <= people else "link", iso_text(t), None,
            None if i <= people else 0.2, None, None, 0.25, "looks alike", "matcher", None)
            for i, t in zip(ids, times, strict=True)))  # fmt: skip
        connection.execute("COMMIT")
        print(f"\rtracks {ids[-1]}", end="", file=sys.stderr, flush=True)
    minutes = DAYS * 1440 * size // 1_000_000
    connection.execute("BEGIN")
    put(connection, "recordings", ((None, c.id, run, f"recordings/{c.id}/{m}.mp4",
        iso_text(BEGIN + 60 * m), iso_text(BEGIN + 60 * m + 60), 5_000_000, "h264", 1920, 1080, 1)
        for m in range(minutes) for c in CAMERAS))  # fmt: skip
    entry = ("ann", "view", "track 7", "", "{}", None)
    put(connection, "audit", ((None, iso_text(BEGIN + 10 * n), *entry)
        for n in range(AUDIT * size // 1_000_000)))  # fmt: skip
    connection.execute(f"UPDATE counters SET next = {size + 1}")
    connection.execute("COMMIT")
    print(file=sys.stderr)
    connection.execute("PRAGMA journal_mode = WAL")
    connection.close()
    return url


def put(connection: sqlite3.Connection, table: str, rows: object) -> None:
    names = [row[1] for row in connection.execute(f"PRAGMA table_info({table})")]
    sql = f"INSERT INTO {table} VALUES ({', '.join('?' * len(names))})"
    connection.executemany(sql, rows)  # type: ignore[arg-type]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/crosscam_desk"))
    parser.add_argument("--keep", action="store_true", help="keep the store; use it if it is there")
    options = parser.parse_args()
    there = options.keep and (options.folder / "store.db").exists()
    if not there:
        shutil.rmtree(options.folder, ignore_errors=True)
        options.folder.mkdir(parents=True)
    try:
        url = f"sqlite:///{options.folder / 'store.db'}"
        measure(url if there else fill(options.folder, options.tracks), options.tracks)
    finally:
        if not options.keep:
            shutil.rmtree(options.folder)


def measure(url: str, size: int) -> None:
    people = size // EACH
    rows: list[tuple[object, ...]] = []

    def time_of(what: str, work: Callable[[], object], limit: float, rounds: int = 5) -> None:
        seconds = []
        for _ in range(rounds):
            begun = time.perf_counter()
            work()
            seconds.append(time.perf_counter() - begun)
        middle, worst = statistics.median(seconds), max(seconds)
        rows.append((what, f"{middle:.3f}", f"{worst:.3f}", f"{middle / limit:.2f}"))
        print(f"{what}: {middle:.3f} s", file=sys.stderr, flush=True)

    def page(path: str) -> Callable[[], object]:
        def ask() -> None:
            answer = client.get(path)
            assert answer.status_code == 200, (path, answer.status_code, answer.text[:500])

        return ask

    served = Served(create_app(FAST, url), url, Path(url.removeprefix("sqlite:///")))
    if not served.users():
        add_people(served.desk)
    client = served.client("anna")
    middle = BEGIN + 86400 * DAYS / 2
    hour = f"from={iso_text(middle)}&to={iso_text(middle + 600)}"
    names = {
        "/live": "live", "/timeline": "timeline, the last hour",
        f"/timeline?{hour}": "timeline, ten minutes of a month", "/identities/77": "an identity",
        "/tracks/77": "a track", "/decisions": "decisions", "/precision": "precision",
        "/audit": "audit", "/audit?actor=ann&action=view": "audit, filtered", "/cases": "cases",
        "/alerts": "alerts", "/watches": "watch list", "/holds": "holds",
        f"/replay?{hour}&camera=camera03&camera=camera07": "replay, two cameras, ten minutes",
    }  # fmt: skip
    for path, what in names.items():
        time_of(f"page: {what}", page(path), PAGE)
    store, reader = served.store, served.store.reader()
    desk = Decisions(store)
    numbers = iter(np.random.default_rng(1).permutation(people // 2) + 1)

    def confirm() -> None:
        identity = int(next(numbers))
        desk.confirm(identity, identity, "ann", "looked")

    def merge() -> None:
        desk.merge(int(next(numbers)), int(next(numbers)), "ann", "the same")

    def reject() -> None:
        identity = int(next(numbers))
        desk.reject(identity + people, identity, "ann", "another coat")

    time_of("confirm", confirm, PAGE)
    time_of("reject", reject, PAGE)
    time_of("merge", merge, PAGE)
    for _ in range(DECISIONS * size // 1_000_000 // 2):
        confirm()
        reject()
    time_of("confirm, after 2,000 decisions", confirm, PAGE)
    time_of("precision, after 2,000 decisions", lambda: precision(reader), PAGE)
    time_of("page: an identity, then", page("/identities/77"), PAGE)
    time_of("page: precision, then", page("/precision"), PAGE)

    def hear() -> None:
        heard = DecisionNews(store, 1)
        confirm()
        assert heard.rulings() is not None

    time_of("a decision, until a running matcher knows it", hear, PAGE)
    time_of("erasure: the survey", lambda: survey(reader, int(next(numbers))), PAGE)
    time_of(
        "erasure of one identity",
        lambda: erase(store, int(next(numbers)), "anna", "asked for"), WORK,
    )  # fmt: skip
    time_of(
        "the site's own strangers, nobody apart",
        lambda: measure_strangers(reader, "model", 0.6),
        WORK,
        1,
    )
    now = BEGIN + 86400 * DAYS
    keep = {"keep_gigabytes": None, "sweep": False, "now": now}
    time_of("retention, nothing to do", lambda: enforce(store, keep_days=31.0, **keep), WORK)  # type: ignore[arg-type]
    time_of(
        "retention, a minute of all cameras",
        lambda: enforce(store, keep_days=30 - 1 / 1440, **keep), WORK, rounds=1,
    )  # fmt: skip
    keep["keep_gigabytes"] = 4319.4 * size / 1e6
    time_of(
        "retention, by gigabytes: some hundred recordings",
        lambda: enforce(store, keep_days=None, **keep), WORK, rounds=1,
    )  # fmt: skip
    print_table(
        f"The desk over {size} tracks; a page within {PAGE:.0f} s, all else {WORK:.0f} s",
        ("what", "median s", "slowest s", "ratio to the limit"),
        rows,
    )
    store.close()


if __name__ == "__main__":
    main()
