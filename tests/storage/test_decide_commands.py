"""`crosscam decide` and `crosscam erase`, by the front door."""

from __future__ import annotations

import json
import time
from pathlib import Path

import pytest

import run_pipeline
from storage.audit import entries
from storage.queries import StoreReader
from storage.store import Store
from storage.watches.edit import NewWatch, add_watch
from tests.storage.samples import CAMERAS, D, K, decision, embedding, exemplar, points, tracklet


@pytest.fixture
def filled(sqlite_url: str) -> str:
    with Store.open(sqlite_url) as store:
        run = store.begin_run({"pipeline": {"matching": {"threshold": 0.3}}}, CAMERAS)
        for identity in (1, 2):
            assert store.identity_allocator().next_id() == identity
        for track, (identity, action) in {
            1: (1, "create"),
            2: (1, "link"),
            3: (2, "create"),
        }.items():
            store.add_points(run, "door", track, points(3))
            store.save_tracklet(run, tracklet(track, exemplars=(exemplar(1),)))
            distance = 0.2 if action == "link" else None
            store.link(run, decision(track, identity, action, distance=distance, threshold=0.3))
        store.finish_run(run)
    return sqlite_url


def crosscam(*words: str, expect: int = 0) -> None:
    assert run_pipeline.main(words) == expect


def test_a_day_at_the_desk(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    at, why = ("--store", filled), ("--reason", "looked twice")
    crosscam("decide", "precision", *at)
    assert "no judged link yet" in capsys.readouterr().out
    crosscam("decide", "confirm", "--track", "2", "--identity", "1", *why, *at)
    assert "track 2 confirmed as identity 1 (looked twice)" in capsys.readouterr().out
    crosscam("decide", "merge", "--keep", "1", "--other", "2", *why, *at)
    assert "identity 2 merged into identity 1: track 3" in capsys.readouterr().out
    crosscam("decide", "undo", "--decision", "2", *why, *at)
    assert "decision 2 undone" in capsys.readouterr().out
    crosscam("decide", "split", "--identity", "1", "--tracks", "2", *why, *at, "--json")
    assert json.loads(capsys.readouterr().out) | {"time": "", "other": 0} == {
        "decision": 4, "time": "", "actor": entries_of(filled)[0], "action": "split",
        "reason": "looked twice", "tracks": [2], "identity": 1, "other": 0, "undoes": None,
        "undone_by": None,
    }  # fmt: skip
    crosscam("decide", "reject", "--track", "1", "--identity", "2", *why, *at)
    assert "track 1 not identity 2; is identity 1" in capsys.readouterr().out
    crosscam("decide", "list", *at, "--json")
    assert [d["decision"] for d in json.loads(capsys.readouterr().out)] == [5, 4, 3, 2, 1]
    crosscam("decide", "list", *at, "--track", "3")
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 2
    assert lines[1].endswith("; undone by decision 3")
    crosscam("decide", "precision", *at)
    out = capsys.readouterr().out
    assert "of 1 links that people judged, 0 of 1 (0.00; 95 %: 0.00 to 0.79) right" in out
    assert "x 1.0 = 0.300" in out
    assert entries_of(filled, "action") == ["view"] * 3 + ["decide"] * 5 + ["view"]
    assert entries_of(filled, "subject")[:3] == ["precision", "decisions", "decisions"]


def entries_of(url: str, name: str = "actor") -> list[str]:
    with StoreReader.open(url) as reader:
        return [getattr(entry, name) for entry in entries(reader)]


def test_what_is_refused(filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    at, why = ("--store", filled), ("--reason", "x")
    nowhere = ("--store", f"sqlite:///{tmp_path / 'mistyped.db'}")
    for words, message in (
        (("decide", "confirm", "--track", "9", "--identity", "1", *why, *at), "no track 9"),
        (("decide", "undo", "--decision", "9", *why, *at), "no decision 9"),
        (("decide", "merge", "--keep", "1", "--other", "1", *why, *at), "with itself"),
        (("decide", "list", "--limit", "0", *at), "--limit is 0; allowed: 1 or more"),
        (("decide", "confirm", "--track", "1", "--identity", "1", *why, *nowhere), "mistyped.db"),
        (("erase", "--identity", "9", "--yes", *why, *at), "no identity 9"),
        (("erase", "--identity", "1", "--yes", *at), "--reason is missing"),
        (("erase", "--identity", "1", *why, *at), "add --yes"),
        (("erase", "--identity", "1", "--yes", *why, *nowhere), "mistyped.db"),
    ):
        crosscam(*words, expect=2)
        error = capsys.readouterr().err
        assert error.startswith("crosscam: error: ")
        assert message in error
    assert not (tmp_path / "mistyped.db").exists()
    assert entries_of(filled) == []


def test_erase(filled: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pictures = set((tmp_path / "store.media").rglob("*.jpg"))
    words = ("erase", "--identity", "1", "--reason", "x", "--store", filled, "--yes", "--json")
    crosscam(*words)
    report = json.loads(capsys.readouterr().out)
    assert (report["identity"], report["tracks"], report["problems"]) == (1, [1, 2], [])
    assert report["removed"]["files"] == 2
    (other,) = set((tmp_path / "store.media").rglob("*.jpg"))
    assert other in pictures
    assert report["remains"] == [{
        "kind": "picture", "what": str(other), "camera": "door",
        "from": "2023-11-14T22:13:20.350000Z", "to": "2023-11-14T22:13:20.350000Z",
    }]  # fmt: skip
    crosscam("erase", "--finish", "--store", filled)
    assert capsys.readouterr().out == "nothing is left to be finished\n"


@pytest.mark.parametrize(("answer", "left"), [("n", [1, 2, 3]), ("y", [3])])
def test_erase_asks_first(
    filled: str,
    answer: str,
    left: list[int],
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: True)
    monkeypatch.setattr("builtins.input", lambda question: answer)
    words = ("erase", "--identity", "1", "--reason", "x", "--store", filled)
    crosscam(*words, expect=0 if answer == "y" else 1)
    out = capsys.readouterr().out
    assert "identity 1: 2 tracks on door: 1, 2" in out
    assert ("identity 1 is erased" in out) == (answer == "y")
    with StoreReader.open(filled) as reader:
        assert [track.id for track in reader.tracks()] == left


def test_erase_names_where_a_number_went(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It said "identity 2 is erased: 0 tracks" and ended well, while the person stayed in 1."""
    at = ("--store", filled, "--reason", "x")
    crosscam("decide", "merge", "--keep", "1", "--other", "2", *at)
    crosscam("erase", "--identity", "2", "--yes", *at, expect=2)
    assert "2 has no tracks any more: it went into 1; erase that one" in capsys.readouterr().err
    crosscam("erase", "--identity", "1", "--yes", *at)
    assert "identity 1 is erased: 3 tracks" in capsys.readouterr().out


def test_erase_a_watch(filled: str, capsys: pytest.CaptureFixture[str]) -> None:
    with Store.open(filled) as store:
        store.register_model("model-a", K, D, {})
        query = NewWatch("child", "anna", "x", time.time() + 3600, embedding(), photos=("c.jpg",))
        add_watch(store, query)
    words = ("erase", "--watch", "1", "--store", filled)
    crosscam(*words, "--yes", expect=2)
    assert "--reason is missing" in capsys.readouterr().err
    crosscam(*words, "--yes", "--reason", "found")
    assert capsys.readouterr().out == "watch 1 is erased: 0 alerts, 1 watches, 0 files\n"
    crosscam(*words, "--yes", "--reason", "found", expect=2)
    assert "has no watch 1" in capsys.readouterr().err
