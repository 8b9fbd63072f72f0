"""What the live wall is told of each camera."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import update

from storage.camera_states import CameraNow, camera_states
from storage.models import Run
from storage.store import Store
from tests.storage.samples import CAMERAS, NOON


@pytest.fixture
def store(request: pytest.FixtureRequest, sqlite_url: str, media: Path) -> Iterator[Store]:
    """SQLite; PostgreSQL too where a test asks for `url` (a database of its own takes seconds)."""
    url = request.getfixturevalue("url") if "url" in request.fixturenames else sqlite_url
    with Store.open(url, media) as opened:
        yield opened


def states(store: Store, **options: object) -> dict[str, CameraNow]:
    store.flush()
    found = camera_states(store.reader(), **options)  # type: ignore[arg-type]
    return {now.camera: now for now in found}


def test_a_running_camera_a_failed_one_and_one_of_a_run_that_is_over(store: Store) -> None:
    assert states(store) == {}
    run = store.begin_run({}, CAMERAS)
    store.camera_state(run, "door", "running", None, 250, 3, NOON, NOON + 10)
    store.camera_state(run, "yard", "failed", "no such file")
    found = states(store)
    assert found["door"].state == "running"
    assert (found["door"].frames, found["door"].dropped, found["door"].last) == (250, 3, NOON + 10)
    assert found["door"].place == "Front door"
    assert (found["yard"].state, found["yard"].error) == ("failed", "no such file")

    store.finish_run(run)
    found = states(store)
    assert found["door"].state == "off"
    assert found["yard"].state == "failed"  # what was wrong at the end stays to be seen


def test_a_run_that_shows_no_sign_of_life_is_not_running(store: Store) -> None:
    run = store.begin_run({}, CAMERAS)
    store.camera_state(run, "door", "running", None, 250)
    heard = states(store)["door"].heard
    assert heard is not None
    assert states(store, now=heard + 15)["door"].state == "running"
    assert states(store, now=heard + 60)["door"].state == "silent"


@pytest.mark.usefixtures("url")
def test_a_running_run_goes_before_a_later_one_that_is_over_and_before_reruns(
    store: Store,
) -> None:
    first = store.begin_run({}, CAMERAS)
    store.camera_state(first, "door", "running", None, 1)
    second = store.begin_run({}, CAMERAS)
    store.camera_state(second, "door", "failed", "elsewhere")
    store.finish_run(second)
    again = store.begin_run({}, CAMERAS)
    store.camera_state(again, "door", "running", None, 99)
    store.write(
        lambda connection: (
            connection.execute(update(Run).where(Run.id == again).values(rerun_of=first)) and None
        )
    )
    assert (states(store)["door"].run, states(store)["door"].frames) == (first, 1)


def test_only_the_cameras_asked_for(store: Store) -> None:
    store.finish_run(store.begin_run({}, CAMERAS))
    assert set(states(store, cameras=frozenset({"yard", "elsewhere"}))) == {"yard"}
    assert states(store, cameras=frozenset()) == {}
