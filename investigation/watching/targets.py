"""Where alerts are sent: addresses as people write them, and how they are shown.

    https://HOST/HOOK               a plain webhook: the alert as JSON
    json://, mailto://, ntfy:// ... what apprise knows (https://github.com/caronc/apprise/wiki)
    mqtt[s]://USER:PASSWORD@HOST:PORT/TOPIC   MQTT; the topic may be left out

`${NAME}` stands for an environment variable of the process that sends, so that no secret need lie
in the store. An address is shown without whatever could be one: password, path of a hook, options.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from urllib.parse import quote, unquote, urlsplit

from reid.errors import ConfigError
from storage.watches.rows import NotifyTarget

if TYPE_CHECKING:
    from apprise import NotifyBase

MOST_TARGETS = 10  # of one watch
LONGEST = 2000  # characters of an address
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")
_PORTS = {"mqtt": 1883, "mqtts": 8883}
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*(?=://)")


@dataclass(frozen=True, slots=True)
class MqttAddress:
    """An MQTT broker. `topic` is None where the address names none."""

    host: str
    port: int
    tls: bool
    topic: str | None
    user: str | None
    password: str | None = field(repr=False)

    @property
    def shown(self) -> str:
        """For every eye."""
        user = "" if self.user is None else f"{self.user}{':****' if self.password else ''}@"
        scheme = "mqtts" if self.tls else "mqtt"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{user}{host}:{self.port}/{self.topic or ''}"


def read_target(text: str) -> NotifyTarget:
    """Check an address, without sending anything.

    A `${NAME}` that is not set here is taken on trust: another process may send.

    Raises:
        ConfigError: if nothing can be sent there; never shows a secret.
    """
    text = text.strip()
    if not text or len(text) > LONGEST or any(ord(c) < 32 for c in text):
        raise ConfigError(
            f"a notify address of {len(text)} characters; allowed: 1 to {LONGEST}, in one line"
        )
    whole = _VARIABLE.fullmatch(text)
    if whole and whole[1] not in os.environ:
        return NotifyTarget(text, text)
    stand_ins = {name: name for name in _VARIABLE.findall(text)}
    address = fill(text, {**stand_ins, **_environment(text)})
    shown = _shown(parse(address))
    if whole:
        shown = text
    elif stand_ins:
        # What the variables hold must not be seen either, where only apprise knows what is secret.
        shown = _shown(parse(fill(text, stand_ins)))
        shown += f" ({', '.join('${' + name + '}' for name in stand_ins)})"
    return NotifyTarget(text, shown)


def read_targets(texts: list[str]) -> tuple[NotifyTarget, ...]:
    """Several addresses (see `read_target`).

    Raises:
        ConfigError: also for more than `MOST_TARGETS`.
    """
    if len(texts) > MOST_TARGETS:
        raise ConfigError(f"{len(texts)} notify addresses; allowed: {MOST_TARGETS} at most")
    return tuple(read_target(text) for text in dict.fromkeys(texts))


def fill(text: str, values: dict[str, str]) -> str:
    """Put values in place of `${NAME}`; percent-encoded, unless the variable is all there is.

    Raises:
        ConfigError: naming the variable that is not set.
    """

    def value(match: re.Match[str]) -> str:
        if match[1] not in values:
            raise ConfigError(f"the environment variable {match[1]} is not set")
        return values[match[1]] if match[0] == text else quote(values[match[1]], safe="")

    return _VARIABLE.sub(value, text)


def resolve(target: NotifyTarget) -> tuple[str, NotifyBase | MqttAddress]:
    """The real address, variables filled in, and what it stands for.

    Raises:
        ConfigError: if a variable is not set or nothing can be sent there.
    """
    address = fill(target.url, _environment(target.url))
    return address, parse(address)


def parse(address: str) -> NotifyBase | MqttAddress:
    """Read an address whose variables are filled in.

    Raises:
        ConfigError: if nothing can be sent there; names its scheme only.
    """
    scheme = _scheme(address)
    if scheme in _PORTS:
        return _mqtt(address, scheme)
    service = _service(address)
    if service is None and scheme in ("http", "https"):
        service = _service(_as_json(address, scheme))
    if service is None:
        raise ConfigError(
            f"notify address {scheme or '(without a scheme)'}://...: nothing can be sent there; "
            "allowed: https://HOST/HOOK, mqtt://HOST/TOPIC, or what apprise knows, such as "
            "json://, mailto://, ntfy://, slack://"
        )
    return service


def secrets_of(address: str) -> list[str]:
    """Whatever in an address could be a secret, as written and decoded, the longest first."""
    _, _, rest = address.partition("://")
    info, at, after = rest.rpartition("@")
    host = re.split(r"[/?]", after, maxsplit=1)
    pieces = info.split(":")[1:] if at else []
    pieces += re.split(r"[/?&=]", host[1]) if len(host) > 1 else []
    found = {s for piece in pieces for s in (piece, unquote(piece)) if len(s) > 3}
    return sorted(found, key=lambda secret: (-len(secret), secret))


def _environment(text: str) -> dict[str, str]:
    names = _VARIABLE.findall(text)
    return {name: os.environ[name] for name in names if name in os.environ}


def _scheme(address: str) -> str:
    found = _SCHEME.match(address)
    return found[0].lower() if found else ""


def _mqtt(address: str, scheme: str) -> MqttAddress:
    try:
        parts = urlsplit(address)
        host, port = parts.hostname, parts.port
    except ValueError:
        host, port = None, None
    topic = unquote(address.partition("://")[2].partition("/")[2]) or None
    if not host or (topic is not None and any(c in topic for c in "#+?\0")):
        raise ConfigError(
            f"notify address {scheme}://...: expected {scheme}://[USER:PASSWORD@]HOST[:PORT]"
            "[/TOPIC], the topic without #, + or ?"
        )
    return MqttAddress(
        host,
        port or _PORTS[scheme],
        scheme == "mqtts",
        topic,
        None if parts.username is None else unquote(parts.username),
        None if parts.password is None else unquote(parts.password),
    )


def _as_json(address: str, scheme: str) -> str:
    """A plain webhook in apprise's words: `json://`, its query marked as to be passed on."""
    address, _, query = address.partition("?")
    passed = "&".join(f"-{item}" for item in query.split("&") if item)
    rest = address.partition("://")[2]
    return f"json{'s' if scheme == 'https' else ''}://{rest}{'?' if passed else ''}{passed}"


def _service(address: str) -> NotifyBase | None:
    """What apprise makes of an address, or None. Asks nobody, and links to nobody's pictures."""
    import apprise

    asset = apprise.AppriseAsset(
        app_id="crosscam",
        app_desc="crosscam",
        app_url="",
        image_url_mask="",
        image_url_logo="",
        async_mode=False,
    )
    made: NotifyBase | None = apprise.Apprise.instantiate(
        address, asset=asset, suppress_exceptions=True
    )
    return made


def _shown(target: NotifyBase | MqttAddress) -> str:
    if isinstance(target, MqttAddress):
        return target.shown
    # apprise hides what it knows to be secret; the path of a hook and its options it does not.
    shown = str(target.url(privacy=True)).partition("?")[0].rstrip("/")
    scheme, _, rest = shown.partition("://")
    host, _, path = rest.partition("/")
    return f"{scheme}://{host}{'/...' if path else ''}"
