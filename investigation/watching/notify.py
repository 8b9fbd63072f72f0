"""An alert as a message, and the sending of it: apprise for webhooks and services, MQTT by paho.

It says who looks alike, where and when; never a picture unless it was asked for.
"""

from __future__ import annotations

import base64
import json
import logging
import ssl
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from investigation.watching.targets import MqttAddress, resolve, secrets_of
from reid.errors import ConfigError
from storage.models import iso_text
from storage.watches.alerts import AlertRow
from storage.watches.rows import NotifyTarget

if TYPE_CHECKING:
    from apprise import NotifyBase

MQTT_SECONDS = 10.0  # for each step: connect, be accepted, be acknowledged
MQTT_TOPIC = "crosscam/alerts/{watch}"
ALERT_PAGE = "/alerts/{alert}"
HIDDEN = "***"

# apprise's own lines are caught below and kept with the alert; they need not be said twice.
logging.getLogger("apprise").propagate = False
logging.getLogger("apprise").addHandler(logging.NullHandler())


@dataclass(frozen=True, slots=True, eq=False)
class Notice:
    """What is sent of an alert.

    Attributes:
        alert: as stored.
        base_url: address of the pages, for a link; None: no link.
        picture: the crop as JPEG, only where it was asked for.
    """

    alert: AlertRow
    base_url: str | None = None
    picture: bytes | None = None

    @property
    def link(self) -> str | None:
        """The alert's page."""
        if self.base_url is None:
            return None
        return self.base_url.rstrip("/") + ALERT_PAGE.format(alert=self.alert.id)

    @property
    def title(self) -> str:
        """One line."""
        place = self.alert.place or f"camera {self.alert.camera}"
        return f"{self.alert.watch_name}: somebody at {place} looks alike ({self.alert.verdict})"

    @property
    def text(self) -> str:
        """A few lines for a person."""
        a = self.alert
        lines = [
            f"Track {a.track} of camera {a.camera}"
            + (f" ({a.place})" if a.place else "")
            + f", seen {iso_text(a.time)}: verdict {a.verdict}, distance {a.distance:.3f}.",
            str(a.evidence.get("why", "")),
            "This is likeness, not identity: a person has to look.",
        ]
        if self.link is not None:
            lines.append(self.link)
        return "\n".join(line for line in lines if line)

    def as_json(self) -> dict[str, Any]:
        """For programs; `alert` tells a message that comes twice."""
        wanted = (
            "alert", "watch", "name", "track", "identity", "camera", "place", "start", "end",
            "time", "box", "distance", "support", "verdict", "why",
        )  # fmt: skip
        shown = self.alert.as_json()
        return {**{key: shown[key] for key in wanted}, "link": self.link}


def send(target: NotifyTarget, notice: Notice) -> str | None:
    """Send a notice; returns None, or in one line why it did not get through (no secrets).

    Args:
        target: where to; its variables come from the environment.
        notice: what.
    """
    try:
        address, resolved = resolve(target)
    except ConfigError as error:
        return str(error)
    if isinstance(resolved, MqttAddress):
        why = _publish(resolved, notice)
    else:
        why = _notify(resolved, notice)
    if why is None:
        return None
    for secret in secrets_of(address):
        why = why.replace(secret, HIDDEN)
    return " ".join(why.split())


def _notify(service: NotifyBase, notice: Notice) -> str | None:
    """By apprise."""
    import apprise
    from apprise.attachment.memory import AttachMemory
    from apprise.plugins.custom_json import NotifyJSON

    body = notice.text
    if isinstance(service, NotifyJSON):
        # A program reads it: the alert's own fields beside apprise's title and message.
        service.payload_extras = {**service.payload_extras, "alert": notice.as_json()}
    attach = None
    if notice.picture is not None:
        name = f"alert-{notice.alert.id}.jpg"
        attach = apprise.AppriseAttachment(
            AttachMemory(content=notice.picture, name=name, mimetype="image/jpeg")
        )
    sender = apprise.Apprise(asset=service.asset)
    sender.add(service)
    with apprise.LogCapture(level=logging.WARNING, fmt="%(message)s") as said:
        sent = sender.notify(
            body, notice.title, body_format=apprise.NotifyFormat.TEXT, attach=attach
        )
        reason = said.getvalue().strip()
    return None if sent else reason or "it was not accepted"


def _publish(broker: MqttAddress, notice: Notice) -> str | None:
    """By MQTT, QoS 1: returns once the broker has acknowledged it."""
    import paho.mqtt.client as mqtt

    payload = notice.as_json()
    if notice.picture is not None:
        payload["picture"] = base64.b64encode(notice.picture).decode()
    client = mqtt.Client(mqtt.CallbackAPIVersion.VERSION2, reconnect_on_failure=False)
    client.connect_timeout = MQTT_SECONDS
    if broker.user is not None:
        client.username_pw_set(broker.user, broker.password)
    if broker.tls:
        client.tls_set_context(ssl.create_default_context())
    answered = threading.Event()
    answer: list[Any] = []

    def connected(_client: Any, _data: Any, _flags: Any, code: Any, _properties: Any) -> None:
        answer.append(code)
        answered.set()

    client.on_connect = connected
    try:
        client.connect(broker.host, broker.port)
        client.loop_start()
        if not answered.wait(MQTT_SECONDS):
            return f"{broker.host}:{broker.port} does not answer as an MQTT broker"
        if answer[0].is_failure:
            return f"the broker {broker.host}:{broker.port} refuses: {answer[0]}"
        topic = broker.topic or MQTT_TOPIC.format(watch=notice.alert.watch)
        sent = client.publish(topic, json.dumps(payload), qos=1)
        sent.wait_for_publish(MQTT_SECONDS)
        if not sent.is_published():
            return f"the broker {broker.host}:{broker.port} did not acknowledge it"
    except (OSError, ValueError, RuntimeError) as error:
        return f"{broker.host}:{broker.port}: {error}"
    finally:
        client.disconnect()
        client.loop_stop()
    return None
