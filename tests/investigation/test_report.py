"""The contact sheet says what the store holds, no more and no less."""

from __future__ import annotations

import base64
import re
from html.parser import HTMLParser
from pathlib import Path

import cv2
import numpy as np
import pytest

import run_pipeline
from investigation.report import Counts, clock, write_report
from reid.errors import DataError, StoreError
from storage.queries import StoreReader
from storage.store import Store

VOID = {"meta", "img", "br", "link", "input", "hr"}


class Page(HTMLParser):
    """Reads a page strictly: every tag closed in order; keeps its text and attributes."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.attributes: list[tuple[str, dict[str, str | None]]] = []
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    @property
    def text(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


@pytest.fixture
def html(reader: StoreReader, tmp_path: Path) -> str:
    write_report(reader, tmp_path / "report.html")
    return (tmp_path / "report.html").read_text(encoding="utf-8")


def test_counts(reader: StoreReader, tmp_path: Path) -> None:
    counts = write_report(reader, tmp_path / "report.html")
    assert counts == Counts(
        tracks=4, boxes=40, identities=2, shared=1, links=1, abstentions=1, undecided=1
    )


def test_says_who_was_linked_and_why(html: str) -> None:
    text = Page(html).text
    assert "Identity 1 2 cameras · 2 tracks" in text
    assert "Looks like identity 1: distance 0.210, below the threshold 0.375." in text
    assert "Support 1.50. Next nearest: 0.600." in text
    assert "Begins this identity: nobody known could have been here." in text


def test_says_where_it_abstained_and_for_whom(html: str) -> None:
    text = Page(html).text
    assert "Not enough in common to tell: distance 0.300." in text
    assert "It might be identity 1; a person has to look." in text
    assert 'might be <a href="#identity-1">identity 1</a>' in html
    assert "1 tracks not decided" in text


def test_times_are_utc_and_cameras_tell_their_state(html: str) -> None:
    text = Page(html).text
    assert "Footage of 2023-11-14 , 22:13:20.25 to 22:13:21.15 . All times are UTC." in text
    assert "door Front door ended 10 0 22:13:20.25 – 22:13:21.15" in text
    assert "failed it <broke>" in text  # shown as text, not as a tag


def test_needs_nothing_from_elsewhere(html: str) -> None:
    page = Page(html)
    sources = [a["src"] for tag, a in page.attributes if tag == "img"]
    assert len(sources) == 6
    assert all(s and s.startswith("data:image/jpeg;base64,") for s in sources)
    assert not any(tag in ("script", "link", "iframe") for tag, _ in page.attributes)
    assert "http://" not in html and "https://" not in html and "hunter2" not in html


def test_shows_the_stored_picture_shrunk(html: str) -> None:
    shown = []
    for tag, a in Page(html).attributes:
        if tag == "img":
            content = base64.b64decode(str(a["src"]).split(",", 1)[1])
            shown.append(cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR))
    assert {image.shape[0] for image in shown} == {120, 432}
    means = sorted(round(image.mean()) for image in shown if image.shape[0] == 120)
    assert means == pytest.approx([60, 120, 180], abs=2)


def test_bars_stand_for_qualities_beside_the_strongest(html: str) -> None:
    widths = re.findall(r'<b style="width:([\d.]+)%"', html)
    assert len(widths) == 6 * 6
    expected = [100 * q / 0.9 for q in (0.9, 0.8, 0.7, 0.6, 0.5, 0.25)]
    assert [float(w) for w in widths[:6]] == pytest.approx(expected, abs=0.05)
    # `visible` ends in 0.5 and 0: half of the fifth stripe is hatched, from its middle; all of
    # the sixth.
    assert html.count('<b style="top:50.0%;height:50.0%">') == 6
    assert html.count('<b style="top:0.0%;height:100.0%">') == 6


def test_a_lost_and_a_changed_picture_are_told(
    reader: StoreReader, tmp_path: Path, store_url: str
) -> None:
    lost, changed = reader.exemplars(1)
    lost.path.unlink()
    changed.path.write_bytes(reader.exemplars(2)[0].path.read_bytes())
    write_report(reader, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "the picture's file is no longer there" in text
    assert "the file was changed after it was stored" in text


def test_limit_says_what_it_left_out(reader: StoreReader, tmp_path: Path) -> None:
    write_report(reader, tmp_path / "report.html", limit=1, crops=1)
    html = (tmp_path / "report.html").read_text()
    assert "1 more identities are not on this page" in Page(html).text
    assert "1 more picture in the store" in Page(html).text
    assert 'id="identity-1"' in html and 'id="identity-2"' not in html


def test_an_empty_run_is_a_page_too(tmp_path: Path) -> None:
    url = f"sqlite:///{tmp_path / 'empty.db'}"
    with Store.open(url) as store:
        store.finish_run(store.begin_run({"model": "untrained-0"}, []), "failed")
    with StoreReader.open(url) as reader:
        with pytest.raises(StoreError, match="has no run 2"):
            write_report(reader, tmp_path / "report.html", run=2)
        write_report(reader, tmp_path / "report.html")
    text = Page((tmp_path / "report.html").read_text()).text
    assert "No identity in this run" in text
    assert "Untrained weights." in text
    assert "This run is failed." in text


def test_a_page_that_cannot_be_written(reader: StoreReader, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"cannot write .*nowhere/report\.html"):
        write_report(reader, tmp_path / "nowhere" / "report.html")


def test_command(store_url: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "r.html"
    assert run_pipeline.main(["report", "--store", store_url, "--out", str(out)]) == 0
    assert "2 identities, 4 tracks, 1 links, 1 abstentions" in capsys.readouterr().out
    assert out.stat().st_size > 10_000
    arguments = ["report", "--store", store_url, "--out", str(out), "--crops", "0"]
    assert run_pipeline.main(arguments) == 2
    assert "--crops is 0; allowed: 1 or more" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0.0, "00:00:00.00"), (1.999, "00:00:02.00"), (86399.994, "23:59:59.99")],
)
def test_clock(seconds: float, shown: str) -> None:
    assert clock(seconds) == shown
