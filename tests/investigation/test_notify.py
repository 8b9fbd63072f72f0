"""Alerts on their way: to a real web server and a real MQTT broker, which may fail first."""

from __future__ import annotations

import base64
import logging
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from investigation.watching.courier import Courier
from investigation.watching.notify import Notice, send
from investigation.watching.targets import MqttAddress, parse, read_target, read_targets, secrets_of
from reid.errors import ConfigError
from storage.accounts.accounts import Accounts, By, Role
from storage.store import Store
from storage.watches import sending
from storage.watches.alerts import AlertRow, NewAlert, alerts, save_hits
from storage.watches.edit import NewWatch, add_watch
from storage.watches.rows import NotifyTarget
from tests.investigation.servers import Hook, listener, mqtt_broker, webhook
from tests.storage.samples import CAMERAS, NOON, embedding, exemplar, points, tracklet

ALERT = AlertRow(
    id=5, watch=3, watch_name="blue coat", track=12, identity=4, camera="yard", place="East gate",
    start=NOON, end=NOON + 9, raised=NOON + 10, time=NOON + 2, distance=0.125, support=2.5,
    verdict="strong", evidence={"why": "Looks alike.", "box": [1.0, 2.0, 30.0, 80.0], "parts": []},
    sent={}, seen=None, seen_by=None,
)  # fmt: skip


@pytest.fixture
def hook() -> Iterator[Hook]:
    with webhook() as made:
        yield made


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """Tracks 1 to 4, each with a picture."""
    with Store.open(f"sqlite:///{tmp_path / 'store.db'}") as opened:
        run = opened.begin_run({}, CAMERAS)
        opened.register_model("model-a", 6, 8, {})
        for track in range(1, 5):
            opened.add_points(run, "door", track, points(10))
            pictures = (exemplar(3, jpeg=b"\xff\xd8 crop %d" % track),)
            made = tracklet(track, embedded=embedding(track), exemplars=pictures)
            opened.save_tracklet(run, made)
        opened.flush()
        yield opened


def raise_alerts(store: Store, *urls: str, tracks: int = 1, **changes: object) -> list[int]:
    new = NewWatch(
        "blue coat", "ada", "missing", time.time() + 3600, embedding(1),
        targets=read_targets(list(urls)),
    )  # fmt: skip
    watch = add_watch(store, replace(new, **changes))  # type: ignore[arg-type]
    hits = [
        NewAlert(track, NOON, 0.1, 2.0, "strong", {"why": "Looks alike.", "box": [1, 2, 3, 4]})
        for track in range(1, tracks + 1)
    ]
    return save_hits(store, {watch: hits}, {watch: 1}, time.time())[watch]


# ---- addresses -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("https://example.com/hooks/s3cretpart?key=s3cret", "jsons://example.com/..."),
        ("json://guard:s3cret@10.0.0.9:81/s3cretpart", "json://guard:****@10.0.0.9:81/..."),
        ("mailto://guard:s3cret@example.com", "mailto://guard:****@example.com"),
        ("mqtt://guard:s3cret@broker/site/alerts", "mqtt://guard:****@broker:1883/site/alerts"),
        ("mqtts://broker", "mqtts://broker:8883/"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str) -> None:
    target = read_target(address)
    assert target.shown == shown
    assert "s3cret" not in repr(target)
    assert target.url == address


def test_tokens_of_services_are_not_shown() -> None:
    token = "cccccccccccccccccccccccc"
    target = read_target(f"slack://TAAAAAAAA/BBBBBBBBB/{token}")
    assert token not in target.shown
    assert "BBBBBBBBB" not in target.shown


@pytest.mark.parametrize(
    "address",
    ["", "nonsense://s3cret", "s3cret", "mqtt:///s3cret", "mqtt://h/s3cret/#", "json://h\ns3cret"],
)
def test_what_cannot_be_sent_to_is_refused_without_a_word_of_it(address: str) -> None:
    with pytest.raises(ConfigError) as caught:
        read_target(address)
    assert "s3cret" not in str(caught.value)


def test_too_many_addresses_are_refused() -> None:
    with pytest.raises(ConfigError, match="11 notify addresses; allowed: 10"):
        read_targets([f"json://host{i}" for i in range(11)])


def test_variables_stay_names_in_the_store_and_are_filled_when_sent(
    monkeypatch: pytest.MonkeyPatch, hook: Hook
) -> None:
    monkeypatch.setenv("HOOK_TOKEN", "tok/en?@s3cret")
    target = read_target(hook.url + "/x/${HOOK_TOKEN}")
    assert target.url == hook.url + "/x/${HOOK_TOKEN}"
    assert "s3cret" not in target.shown
    assert "${HOOK_TOKEN}" in target.shown
    assert send(target, Notice(ALERT)) is None
    assert hook.paths == ["/x/tok%2Fen%3F@s3cret"], "it cannot break the address"
    monkeypatch.setenv("WHOLE", hook.url + "/whole")
    assert send(read_target("${WHOLE}"), Notice(ALERT)) is None
    assert hook.paths[1] == "/whole"
    monkeypatch.delenv("WHOLE")
    assert read_target("${WHOLE}").shown == "${WHOLE}", "another process may have it"
    error = send(NotifyTarget("${WHOLE}", "${WHOLE}"), Notice(ALERT))
    assert error == "the environment variable WHOLE is not set"


def test_a_password_of_mqtt_may_hold_anything(monkeypatch: pytest.MonkeyPatch) -> None:
    from investigation.watching.targets import resolve

    monkeypatch.setenv("PW", "p@ss:/wörd")
    _, address = resolve(read_target("mqtt://guard:${PW}@broker:1999/a/b"))
    assert address == MqttAddress("broker", 1999, False, "a/b", "guard", "p@ss:/wörd")
    assert "wörd" not in repr(address)
    assert secrets_of("mqtt://guard:p%40ss@h/hook?k=vvvv") == ["p%40ss", "hook", "p@ss", "vvvv"]


def test_services_link_to_nobodys_pictures() -> None:
    service = parse("json://localhost")
    assert not isinstance(service, MqttAddress)
    assert service.image_url("info") is None
    assert service.app_id == "crosscam"


def test_apprise_asks_nobody_when_it_is_imported_and_read() -> None:
    """No telemetry, no look-up: only the sending itself opens a connection."""
    code = (
        "import socket\n"
        "def refuse(*a, **k): raise SystemExit(f'asked for {a}')\n"
        "socket.socket.connect = socket.socket.connect_ex = refuse\n"
        "socket.getaddrinfo = socket.create_connection = socket.gethostbyname = refuse\n"
        "from investigation.watching.targets import read_target\n"
        "for url in ('https://example.com/x', 'slack://TAAAAAAAA/BBBBBBBBB/' + 24 * 'c',\n"
        "            'mailto://a:b@example.com', 'mqtt://example.com', 'ntfy://topic'):\n"
        "    print(read_target(url).shown)\n"
    )
    root = Path(__file__).parent.parent.parent
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=root, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 5


# ---- one message ---------------------------------------------------------------------------------


def test_a_webhook_gets_the_alert_as_json(hook: Hook) -> None:
    assert send(read_target(hook.url + "/h?key=abc"), Notice(ALERT, "https://desk/")) is None
    [message] = hook.got
    assert message["alert"] == {
        "alert": 5, "watch": 3, "name": "blue coat", "track": 12, "identity": 4,
        "camera": "yard", "place": "East gate", "start": "2023-11-14T22:13:20.250000Z",
        "end": "2023-11-14T22:13:29.250000Z", "time": "2023-11-14T22:13:22.250000Z",
        "box": [1.0, 2.0, 30.0, 80.0], "distance": 0.125, "support": 2.5, "verdict": "strong",
        "why": "Looks alike.", "link": "https://desk/alerts/5",
    }  # fmt: skip
    assert hook.paths == ["/h?key=abc"]
    assert message["title"] == "blue coat: somebody at East gate looks alike (strong)"
    assert "https://desk/alerts/5" in message["message"]
    assert message["attachments"] == [], "no picture unless it was asked for"


def test_a_picture_goes_with_it_when_it_was_asked_for(hook: Hook) -> None:
    assert send(read_target(hook.url), Notice(ALERT, picture=b"\xff\xd8 crop")) is None
    [picture] = hook.got[0]["attachments"]
    assert base64.b64decode(picture["base64"]) == b"\xff\xd8 crop"
    assert (picture["filename"], picture["mimetype"]) == ("alert-5.jpg", "image/jpeg")


def test_mqtt_gets_the_alert_as_json() -> None:
    with mqtt_broker() as port, listener(port, "#") as got:
        address = f"mqtt://127.0.0.1:{port}"
        assert send(read_target(address), Notice(ALERT, "https://desk")) is None
        picture = Notice(ALERT, picture=b"\xff\xd8 crop")
        assert send(read_target(address + "/site/alerts"), picture) is None
        wait_until(lambda: len(got) == 2)
    (topic, payload, qos), (topic2, payload2, _) = got
    assert (topic, topic2, qos) == ("crosscam/alerts/3", "site/alerts", 1)
    assert (payload["alert"], payload["track"], payload["link"]) == (5, 12, "https://desk/alerts/5")
    assert "picture" not in payload
    assert base64.b64decode(payload2["picture"]) == b"\xff\xd8 crop"


def test_a_broker_with_passwords(tmp_path: Path) -> None:
    from pwdlib.hashers.argon2 import Argon2Hasher

    passwords = tmp_path / "passwords"
    passwords.write_text(f"guard:{Argon2Hasher().hash('right-one')}\n")
    with mqtt_broker(str(passwords)) as port:
        assert send(read_target(f"mqtt://guard:right-one@127.0.0.1:{port}"), Notice(ALERT)) is None
        error = send(read_target(f"mqtt://guard:wrong-one@127.0.0.1:{port}"), Notice(ALERT))
    assert error is not None
    assert "refuses" in error
    assert "wrong-one" not in error


@pytest.mark.parametrize("scheme", ["mqtt", "http"])
def test_nobody_there_is_said_without_secrets(scheme: str) -> None:
    error = send(read_target(f"{scheme}://guard:s3cret@127.0.0.1:9/s3cretpath"), Notice(ALERT))
    assert error
    assert "s3cret" not in error
    assert "127.0.0.1" in error


# ---- many messages -------------------------------------------------------------------------------


def test_a_server_that_fails_first_gets_each_alert_once(
    store: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    hook.answers = [500, 503, 404]
    raised = raise_alerts(store, hook.url.replace("://", "://u:s3cret@"), tracks=3)
    courier, now = Courier(store), time.time()
    monkeypatch.setattr(time, "time", lambda: now)
    with caplog.at_level(logging.DEBUG):
        assert courier.deliver() == (0, 1), "one try; the others wait for the target"
        assert courier.deliver() == (0, 0)
        assert hook.asked == 1
        for _ in range(60):
            now += 5
            courier.deliver()
    assert hook.asked == 6
    assert sorted(message["alert"]["alert"] for message in hook.got) == raised
    assert sending.waiting(store.reader()) == 0
    assert "500" in caplog.text
    assert "s3cret" not in caplog.text
    assert all(a.sent["targets"]["0"]["state"] == "sent" for a in alerts(store.reader()))


def test_a_message_that_was_sent_as_the_program_died_is_sent_again(
    store: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch
) -> None:
    raise_alerts(store, hook.url)
    courier, now = Courier(store), time.time()
    monkeypatch.setattr(time, "time", lambda: now)

    def die(*arguments: object, **options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("investigation.watching.courier.settle", die)
        with pytest.raises(KeyboardInterrupt):
            courier.deliver()
    assert Courier(store).deliver() == (0, 0), "it may still be at it"
    now += sending.LEASE_SECONDS + 1
    assert Courier(store).deliver() == (1, 0)
    first, second = hook.got
    assert first["alert"]["alert"] == second["alert"]["alert"], "a receiver can tell"


def test_nobody_is_flooded(store: Store, hook: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    raise_alerts(store, hook.url, tracks=4)
    courier, now = Courier(store, per_minute=3), time.monotonic()
    monkeypatch.setattr(time, "monotonic", lambda: now)
    assert courier.deliver() == (3, 0)
    assert courier.deliver() == (0, 0)
    now += 61
    assert courier.deliver() == (1, 0)


def test_the_crop_sent_is_the_one_whose_time_and_box_are_told(store: Store, hook: Hook) -> None:
    """A track that went on had a better crop by then: it went out beside the first one's time."""
    raised, better = exemplar(0, jpeg=b"\xff\xd8 raised it"), exemplar(9, 9.0)
    store.save_tracklet(1, tracklet(1, embedded=embedding(1), exemplars=(better, raised)))
    store.flush()
    assert store.reader().exemplars(1)[0].frame == 9
    raise_alerts(store, hook.url, attach_picture=True)  # of NOON, which is frame 0
    assert Courier(store).deliver() == (1, 0)
    [message] = hook.got
    assert base64.b64decode(message["attachments"][0]["base64"]) == b"\xff\xd8 raised it"


def test_the_crop_is_the_tracks_best_and_may_be_gone(store: Store, hook: Hook) -> None:
    raise_alerts(store, hook.url, tracks=2, attach_picture=True)
    gone = store.reader().best_exemplars([2])[2].path
    gone.unlink()
    assert Courier(store, "https://desk").deliver() == (2, 0)
    first, second = hook.got
    assert base64.b64decode(first["attachments"][0]["base64"]) == b"\xff\xd8 crop 1"
    assert second["attachments"] == []
    assert first["alert"]["link"] == f"https://desk/alerts/{first['alert']['alert']}"


def test_what_waits_is_not_sent_to_who_may_not_see_it_any_more(store: Store, hook: Hook) -> None:
    """Alerts raised just before a user was disabled were still sent, with their pictures."""
    by, users = By("ann"), Accounts(store)
    ada = users.add_user("ada", Role.INVESTIGATOR, by, all_cameras=True)
    raise_alerts(store, hook.url, attach_picture=True)
    raise_alerts(store, hook.url, actor="cli:ada")
    users.change_user(ada.id, by, disabled=True)
    assert Courier(store).deliver() == (1, 1)
    assert [message["attachments"] for message in hook.got] == [[]], "only the terminal's"
    kept = alerts(store.reader())[-1].sent["targets"]["0"]
    assert kept["state"] == "given up"
    assert "may not see camera door any more" in kept["error"]
    assert Courier(store).deliver() == (0, 0)


def wait_until(done: Callable[[], bool], seconds: float = 20) -> None:
    over = time.monotonic() + seconds
    while not done():
        assert time.monotonic() < over, "it did not happen"
        time.sleep(0.01)
