"""The site's time of day on the pages; UTC for programs."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from reid.errors import DataError
from run_pipeline import main
from storage.footage.holds import holds
from storage.watches.rows import watches
from tests.web.conftest import FAST, Client, Served, text_of
from tests.web.people import People, hits
from web.pages import moment, zone_at
from web.times import utc_seconds, with_offset, zone

BERLIN = ZoneInfo("Europe/Berlin")


@pytest.fixture(scope="module")
def served(make_served: Callable[..., Served]) -> Served:
    return make_served(FAST.model_copy(update={"time_zone": BERLIN}))


@pytest.fixture
def berlin():
    before = zone.set(BERLIN)
    yield
    zone.reset(before)


@pytest.mark.usefixtures("berlin")
@pytest.mark.parametrize(
    ("typed", "utc"),
    [
        ("2026-01-31T13:00", "2026-01-31T12:00:00"),
        ("2026-07-31T14:00", "2026-07-31T12:00:00"),
        ("2026-07-31T14:00Z", "2026-07-31T14:00:00"),
        ("2026-07-31T14:00+05:00", "2026-07-31T09:00:00"),
        ("2026-10-25T02:30", "2026-10-25T00:30:00"),  # it comes twice: from the first
    ],
)
def test_what_is_typed_is_the_clock_on_the_wall(typed: str, utc: str) -> None:
    expected = at(utc)
    assert utc_seconds(typed, "from") == expected
    assert moment(expected) == datetime.fromtimestamp(expected, BERLIN).strftime("%F %T")


@pytest.mark.usefixtures("berlin")
def test_an_hour_that_comes_twice_is_searched_to_its_second_end() -> None:
    assert utc_seconds("2026-10-25T02:30", "to") == utc_seconds("2026-10-25T01:30Z", "to")
    assert zone_at(utc_seconds("2026-07-01T12:00", "from") or 0) == "CEST"
    assert with_offset("ten past two") == "ten past two"
    with pytest.raises(DataError, match="1970 to 9999"):
        utc_seconds("0001-01-01T00:00", "from")


def test_pages_show_and_take_it_and_programs_do_not(served: Served) -> None:
    # The store's noon, 2023-11-14T22:13:20Z, is 23:13:20 in Berlin.
    vera: Client = served.client("vera")
    page = text_of(vera.get("/timeline"))
    assert "2023-11-14 23:13:20" in page and "All times are those of Europe/Berlin" in page
    assert "From (Europe/Berlin)" in page
    own = {"start": "2023-11-14T23:00", "end": "2023-11-14T23:30"}
    assert "Nobody was seen" not in text_of(vera.get("/timeline", params=own))
    utc = {"start": "2023-11-14T22:00", "end": "2023-11-14T22:30"}
    said = text_of(vera.get("/timeline", params=utc))
    assert "Nobody was seen between 2023-11-14 22:00:00 and 2023-11-14 22:30:00 CET" in said
    program = served.program("vera")
    found = program.get("/api/v1/identities", params={"from": utc["start"], "to": utc["end"]})
    assert [row["start"] for row in found.json()] == ["2023-11-14T22:13:20.250000Z"] * 2


def test_forms_take_the_clock_on_the_wall(
    own_people: People, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = own_people.desk.settings.model_copy(update={"time_zone": BERLIN})
    monkeypatch.setattr(own_people.desk, "settings", settings)
    ivan, anna = own_people.browse("ivan"), own_people.browse("anna")
    assert "or until (Europe/Berlin)" in text_of(ivan.get("/watches/new?track=1"))
    until = (datetime.now(BERLIN) + timedelta(days=30)).replace(second=0, microsecond=0)
    watch = {"track": 1, "name": "Boy", "reason": "r", "until": until.strftime("%Y-%m-%dT%H:%M")}
    answer = ivan.send("/watches", watch)
    assert answer.status_code == 303, text_of(answer)
    (made,) = watches(own_people.desk.reader)
    assert made.expires == until.timestamp()
    hold = {"from": "2026-01-31T13:00", "to": "2026-01-31T14:00", "reason": "report 12"}
    assert anna.send("/holds", hold).status_code == 303
    (kept,) = holds(own_people.desk.reader)
    assert (kept.start, kept.end) == (at("2026-01-31T12:00:00"), at("2026-01-31T13:00:00"))
    where = ivan.found({"start": "2023-11-14T23:13", "end": "2023-11-14T23:14"})
    assert len(hits(ivan.get(where).text)) == 5
    assert "2023-11-14 23:13:00 to 2023-11-14 23:14:00 Europe/Berlin" in text_of(ivan.get(where))
    where = ivan.found({"start": "2023-11-14T22:13", "end": "2023-11-14T22:14"})
    assert hits(ivan.get(where).text) == []


def at(text: str) -> float:
    """UTC seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


def test_an_unknown_zone_is_named(sqlite_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["serve", "--store", sqlite_url, "--time-zone", "Mars/Base"]) == 2
    assert "--time-zone is 'Mars/Base'" in capsys.readouterr().err
