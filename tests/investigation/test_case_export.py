"""A case goes out whole and can be checked; a ZIP that was built to hurt does no harm."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import os
import shutil
import stat
import subprocess
import zipfile
from pathlib import Path

import cv2
import numpy as np
import pytest

import run_pipeline
from investigation.cases.export import export_case
from investigation.cases.verify import verify_case
from reid.errors import ConfigError, DataError, OutputError
from storage.audit import entries
from storage.cases import Cases
from storage.store import Store
from tests.investigation.recorded import FPS, START, make_store, numbered, record
from tests.investigation.test_report import Page
from tests.storage.samples import decision
from trackers.records import Box, Exemplar, Tracklet, TrackPoint


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Case 1: identity 1 (door 0-2 s, yard 4-5 s), track 3, two seconds of the yard, and
    identity 2, whose footage of the shed was never recorded."""
    folder = tmp_path_factory.mktemp("made")
    store, run = make_store(folder, "door", "yard", "shed")
    with store:
        source = numbered(folder)
        for camera in ("door", "yard"):
            record(store, camera, source, START, groups_each=3, run=run)
            store.camera_state(run, camera, "ended", None, 60, 0, START, START + 6)
        for track, camera, first, last, identity in (
            (1, "door", 0, 20, 1), (2, "yard", 40, 50, 1), (3, "yard", 5, 15, None),
            (4, "shed", 5, 15, 2),
        ):  # fmt: skip
            box = Box(40.0, 40.0, 80.0, 110.0)
            points = [TrackPoint(n, START + n / FPS, box, 0.9) for n in range(first, last)]
            store.add_points(run, camera, track, points)
            crop = np.full((90, 40, 3), 60 * track, np.uint8)
            jpeg = cv2.imencode(".jpg", crop)[1].tobytes()
            picture = Exemplar(first, points[0].time, box, jpeg, (0.5, 0.4), (1.0, 0.5), 1.0)
            store.save_tracklet(
                run,
                Tracklet(track, camera, points[0].time, points[-1].time, points[0], points[-1],
                         len(points), None, (picture,)),
            )  # fmt: skip
            if identity is not None:
                kind = {"candidate": 1, "distance": 0.2} if track == 2 else {}
                reason = "=1+1 is no formula" if track == 1 else "new here"
                action = "link" if track == 2 else "create"
                store.link(run, decision(track, identity, action, reason=reason, **kind))
            store.close_track(track)
        store.finish_run(run)
        desk = Cases(store)
        desk.create("The <red> jacket", "ann", "report 17/26")
        desk.add_identity(1, 1, "ann", "seen by & with a witness")
        desk.add_track(1, 3, "ann")
        desk.add_clip(1, "yard", START + 1, START + 3, "ann")
        desk.add_identity(1, 2, "ann")
        desk.create("Empty", "ann", "why")
        reader = store.reader()
        export_case(
            reader, store, 1, folder / "case.zip", actor="ann", reason="for the judge", now=START
        )
    return folder


@pytest.fixture
def case_zip(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(made / "case.zip", tmp_path / "case.zip"))


def read(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def rewrite(path: Path, files: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)


def test_what_is_in_it(case_zip: Path) -> None:
    names = list(read(case_zip))
    assert names == [
        "SHA256SUMS",
        "clips/item-1-identity-1-overview.mp4",
        "clips/item-1-identity-1-step-01.mp4",
        "clips/item-1-identity-1-step-02.mp4",
        "clips/item-2-track-3-step-01.mp4",
        "clips/item-3.mp4",
        "crops/track-00000001-frame-00000000.jpg",
        "crops/track-00000002-frame-00000040.jpg",
        "crops/track-00000003-frame-00000005.jpg",
        "crops/track-00000004-frame-00000005.jpg",
        "itinerary.json",
        "ledger.csv",
        "ledger.json",
        "report.html",
        "manifest.json",
    ]


def test_every_file_has_its_hash(case_zip: Path) -> None:
    files = read(case_zip)
    manifest = json.loads(files.pop("manifest.json"))
    assert {f["path"]: (f["bytes"], f["sha256"]) for f in manifest["files"]} == {
        name: (len(content), hashlib.sha256(content).hexdigest()) for name, content in files.items()
    }
    assert manifest["case"]["name"] == "The <red> jacket"
    assert (manifest["by"], manifest["reason"]) == ("ann", "for the judge")


def test_sha256sum_agrees(case_zip: Path, tmp_path: Path) -> None:
    folder = tmp_path / "unpacked"
    with zipfile.ZipFile(case_zip) as archive:
        archive.extractall(folder)
    subprocess.run(["sha256sum", "--check", "--quiet", "SHA256SUMS"], cwd=folder, check=True)


def test_what_the_files_say(case_zip: Path) -> None:
    files = read(case_zip)
    told = json.loads(files["itinerary.json"])
    ways = {way["name"]: way for way in told["itineraries"]}
    assert [s["camera"] for s in ways["identity 1"]["steps"]] == ["door", "yard"]
    assert ways["identity 1"]["steps"][1]["gap"] == pytest.approx(4.0 - 1.9)
    assert len(ways["track 3"]["steps"]) == 1
    rows = list(csv.DictReader(io.StringIO(files["ledger.csv"].decode())))
    assert [(r["track"], r["identity"], r["action"]) for r in rows] == [
        ("1", "1", "create"), ("2", "1", "link"), ("4", "2", "create"),
    ]  # fmt: skip
    assert rows[0]["reason"] == "'=1+1 is no formula"
    assert json.loads(files["ledger.json"])[0]["reason"] == "=1+1 is no formula"


def test_the_report_is_for_people(case_zip: Path) -> None:
    files = read(case_zip)
    html = files["report.html"].decode()
    page = Page(html)
    assert "The <red> jacket" in page.text and "<red>" not in html
    assert "seen by & with a witness" in page.text
    assert "Looks like identity 1: distance 0.200" in page.text
    assert "2.1 s out of sight" in page.text
    assert "No footage of identity 2 on shed" in page.text
    sources = [a.get("src") or "" for tag, a in page.attributes if tag in ("img", "video")]
    links = [a["href"] or "" for tag, a in page.attributes if tag == "a"]
    assert all(s.startswith("data:image/jpeg") or s in files for s in sources)
    assert all(link in files for link in links), "nothing points out of the ZIP"
    for name, content in files.items():
        if name.startswith(("clips/", "crops/")):
            assert hashlib.sha256(content).hexdigest() in html


def test_the_same_case_gives_the_same_zip(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "again")
    with Store.open(f"sqlite:///{tmp_path / 'again' / 'site.db'}") as store:
        out = tmp_path / "case.zip"
        report = export_case(
            store.reader(), store, 1, out, actor="ann", reason="for the judge", now=START
        )
        assert read(out).keys() == read(made / "case.zip").keys()
        ours, theirs = read(out), read(made / "case.zip")
        ours_text, theirs_text = (
            f["report.html"].replace(b"again/site.db", b"site.db") for f in (ours, theirs)
        )
        assert len(ours_text) - len(theirs_text) == len(str(tmp_path)) - len(str(made))
        for name in ours.keys() - {"report.html", "SHA256SUMS", "manifest.json"}:
            assert ours[name] == theirs[name], name
        trail = entries(store.reader(), action="export")
        assert trail[0].details["sha256"] == report.sha256
        assert (trail[0].actor, trail[0].subject) == ("ann", "case 1")
        assert [p.name for p in tmp_path.glob(".*")] == [], "nothing is left behind"


def test_nothing_to_export(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path / "again")
    with Store.open(f"sqlite:///{tmp_path / 'again' / 'site.db'}") as store:

        def export(number: int, out: Path) -> None:
            export_case(store.reader(), store, number, out, actor="ann", reason="")

        with pytest.raises(DataError, match="case 2 holds nothing"):
            export(2, tmp_path / "x.zip")
        with pytest.raises(ConfigError, match="has no case 9"):
            export(9, tmp_path / "x.zip")
        with pytest.raises(DataError, match=r"cannot write .*nowhere"):
            export(1, tmp_path / "nowhere" / "x.zip")
    assert not (tmp_path / "x.zip").exists()


# ---- verify ------------------------------------------------------------------------------------


def test_an_untouched_case_is_intact(case_zip: Path) -> None:
    report = verify_case(case_zip)
    assert report.intact and report.files == 14
    assert report.sha256 == hashlib.sha256(case_zip.read_bytes()).hexdigest()


def test_changes_are_found(case_zip: Path) -> None:
    files = read(case_zip)
    files["clips/item-3.mp4"] = files["clips/item-3.mp4"][:-1] + b"?"
    files["ledger.csv"] += b"one more\n"
    files["itinerary.json"] = files["itinerary.json"][:-2]
    del files["crops/track-00000001-frame-00000000.jpg"]
    files["extra.txt"] = b"hello"
    rewrite(case_zip, files)
    problems = "\n".join(verify_case(case_zip).problems)
    assert "clips/item-3.mp4 was changed: its SHA-256 is another" in problems
    assert "ledger.csv is longer than the" in problems
    assert "itinerary.json has" in problems
    assert "crops/track-00000001-frame-00000000.jpg is missing" in problems
    assert "extra.txt is not in the manifest" in problems
    assert len(problems.splitlines()) == 5


@pytest.mark.parametrize(
    "name",
    [
        "../evil.txt",
        "/etc/passwd",
        "a/../../b",
        "C:\\evil",
        "a\\..\\b",
        "a//b",
        "./a",
        "a\nb",
        "con:",
    ],
)
def test_names_that_leave_their_folder(case_zip: Path, name: str) -> None:
    rewrite(case_zip, {**read(case_zip), name: b"x"})
    with pytest.raises(DataError, match="would leave its folder, or is no plain file name"):
        verify_case(case_zip)


def test_a_bomb_is_not_unpacked(case_zip: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A gigabyte packed into a megabyte, in place of a listed file: read as far as promised."""
    files = read(case_zip)
    files["itinerary.json"] = bytes(1 << 28)
    rewrite(case_zip, files)
    taken = 0
    original = zipfile.ZipExtFile.read

    def counted(self: zipfile.ZipExtFile, n: int = -1) -> bytes:
        nonlocal taken
        piece = original(self, n)
        taken += len(piece)
        return piece

    monkeypatch.setattr(zipfile.ZipExtFile, "read", counted)
    assert "itinerary.json is longer" in verify_case(case_zip).problems[0]
    assert taken < 20 << 20


def test_a_manifest_that_is_a_bomb(case_zip: Path) -> None:
    rewrite(case_zip, {"manifest.json": bytes(80 << 20)})
    with pytest.raises(DataError, match=r"manifest\.json is larger than"):
        verify_case(case_zip)


def test_links_and_doubles(case_zip: Path) -> None:
    files = read(case_zip)
    with zipfile.ZipFile(case_zip, "w") as archive:
        link = zipfile.ZipInfo("link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc/passwd")
        archive.writestr("manifest.json", files["manifest.json"])
    with pytest.raises(DataError, match="'link' is a folder or a link"):
        verify_case(case_zip)
    with zipfile.ZipFile(case_zip, "w") as archive, pytest.warns(UserWarning):
        archive.writestr("manifest.json", files["manifest.json"])
        archive.writestr("manifest.json", files["manifest.json"])
    with pytest.raises(DataError, match=r"two entries are named 'manifest\.json'"):
        verify_case(case_zip)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"this is no zip", "is no ZIP file"),
        (b"", "is no ZIP file"),
        ({"a.txt": b"a"}, r"it has no manifest\.json"),
        ({"manifest.json": b"{"}, "cannot be read"),
        ({"manifest.json": b"[" * 100_000}, "cannot be read"),
        ({"manifest.json": b'{"format": "other"}'}, "its format is 'other'"),
        ({"manifest.json": b'{"format": "crosscam-case", "version": 2}'}, "a case of version 2"),
    ],
)
def test_what_is_no_case(tmp_path: Path, content, message: str) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(content) if isinstance(content, bytes) else rewrite(path, content)
    with pytest.raises(DataError, match=message):
        verify_case(path)
    with pytest.raises(DataError, match="cannot read"):
        verify_case(tmp_path / "none.zip")


# ---- the command line --------------------------------------------------------------------------


def test_commands(made: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(made, tmp_path / "again")
    url = f"sqlite:///{tmp_path / 'again' / 'site.db'}"

    def crosscam(*words: object) -> tuple[int, str]:
        code = run_pipeline.main([str(word) for word in words])
        said = capsys.readouterr()
        return code, said.out + said.err

    assert crosscam("case", "create", "Third", "--reason", "why", "--store", url)[0] == 0
    assert crosscam("case", "add", 3, "--identity", 1, "--store", url) == (
        0, "case 3, item 5: identity 1\n",
    )  # fmt: skip
    code, said = crosscam("case", "show", 3, "--store", url, "--json")
    assert [i["identity"] for i in json.loads(said)["items"]] == [1]
    assert "case 1: The <red> jacket, 4 items" in crosscam("case", "list", "--store", url)[1]
    out = tmp_path / "out.zip"
    assert crosscam("case", "export", 3, "--out", out, "--store", url, "--blur-others")[0] == 0
    code, said = crosscam("case", "verify", out, "--store", url)
    assert code == 0 and "intact: " in said and "exported from" in said
    assert crosscam("case", "verify", made / "case.zip", "--store", url)[0] == 0
    rewrite(out, read(out))  # every file as it was, but another ZIP
    code, said = crosscam("case", "verify", out, "--store", url)
    assert code == 1 and "never exported this very file" in said
    assert crosscam("case", "close", 3, "--reason", "done", "--store", url)[0] == 0
    code, said = crosscam("case", "add", 3, "--track", 1, "--store", url)
    assert code == 2 and "case 3 was closed" in said
    assert crosscam("case", "add", 1, "--camera", "door", "--store", url)[0] == 2
    assert crosscam("case", "list", "--store", f"sqlite:///{tmp_path / 'no.db'}")[0] == 2


def test_a_full_disk_fails_the_export(made: Path, tmp_path: Path) -> None:
    """An export without its clips would verify as intact: it must not appear."""
    small = tmp_path / "small"
    small.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=60k", "tmpfs", str(small)]
    if os.geteuid() != 0 or subprocess.run(command, check=False, capture_output=True).returncode:
        pytest.skip("mounting a small tmpfs needs root")
    try:
        with (
            Store.open(f"sqlite:///{made / 'site.db'}") as store,
            pytest.raises(OutputError, match="No space left on device"),
        ):
            out = small / "case.zip"
            export_case(store.reader(), store, 1, out, actor="ann", reason="for the judge")
        assert list(small.iterdir()) == []
    finally:
        subprocess.run(["umount", "-l", str(small)], check=True)


def test_a_case_is_not_written_over_a_store(made: Path, tmp_path: Path) -> None:
    shutil.copytree(made, tmp_path, dirs_exist_ok=True)
    path = tmp_path / "site.db"
    with (
        Store.open(f"sqlite:///{path}") as store,
        pytest.raises(OutputError, match=r"site.db is there already and no \.zip file"),
    ):
        export_case(store.reader(), store, 1, path, actor="ann", reason="for the judge")
