"""Camera addresses that never show their passwords.

`SourceUrl` is what a camera's `url` becomes: it prints redacted everywhere and
gives the real address only to whoever calls `secret()`: the decoder.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import ClassVar
from urllib.parse import quote, unquote, urlsplit

HIDDEN = "***"
_SECRET_WORDS = r"pass(?:word|wd|phrase)?|pwd|pw|token|secret|auth|key|api_?key|sig(?:nature)?"
_QUERY = re.compile(rf"([?&;](?:[\w.-]*[_.-])?(?:{_SECRET_WORDS})=)([^&#;\s'\"]*)", re.IGNORECASE)
_URL = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*://[^\s'\"<>]+")
_VARIABLE = re.compile(r"\$\{([A-Za-z_][A-Za-z0-9_]*)\}")


def redact(url: str) -> str:
    """Hide the password, and query values that look like one, in an address.

    When in doubt it hides too much: after `name:` everything up to the last `@` goes,
    also where an unencoded `/`, `?` or `#` in the password breaks the address.
    """
    scheme, mark, rest = url.partition("://")
    if not mark:  # perhaps a mistyped address, such as rtsp:/user:password@host
        scheme, rest = "", url
    colon, at, slash = rest.find(":"), rest.rfind("@"), rest.find("/")
    if 0 <= colon < at and (not mark or slash < 0 or colon < slash):
        url = f"{scheme}{mark}{rest[: colon + 1]}{HIDDEN}{rest[at:]}"
    return _QUERY.sub(rf"\g<1>{HIDDEN}", url)


def redact_text(text: str, *addresses: str) -> str:
    """Hide secrets in any text: those of the given addresses, and of every address in it."""
    for address in addresses:
        text = text.replace(address, redact(address))
        for secret in sorted(secrets_of(address), key=len, reverse=True):
            text = text.replace(secret, HIDDEN)
    return _URL.sub(lambda match: redact(match.group()), text)


def secrets_of(url: str) -> set[str]:
    """Return the secrets in an address as written, decoded and percent-encoded."""
    found = {value for _, value in _QUERY.findall(url)}
    _, mark, rest = url.partition("://")
    colon, at = rest.find(":"), rest.rfind("@")
    if mark and 0 <= colon < at:
        found.add(rest[colon + 1 : at])
    spellings = {s for v in found for s in (v, unquote(v), quote(unquote(v), safe=""))}
    return {s for s in spellings if len(s) > 2}  # two letters would hide half of every text


def fill_variables(template: str, values: dict[str, str], *, is_url: bool) -> str:
    """Put environment values in place of `${NAME}`.

    In the `user:password@` part of an address the characters that would break it
    (`/ ? # @ :`, spaces, a lone `%`) are percent-encoded, so that a plain password works.
    """
    _, mark, rest = template.partition("://")
    at = rest.rfind("@")
    userinfo_end = len(template) - len(rest) + at if is_url and mark and at >= 0 else -1

    def fill(match: re.Match[str]) -> str:
        value = values[match.group(1)]
        if match.start() >= userinfo_end:
            return value
        return quote(re.sub(r"%(?![0-9A-Fa-f]{2})", "%25", value), safe="%!$&'()*+,;=~")

    return _VARIABLE.sub(fill, template)


def variables_in(text: str) -> list[str]:
    """Names of the `${NAME}` references in a text, in order."""
    return _VARIABLE.findall(text)


class SourceUrl:
    """Where a camera's pictures come from; its text never shows a password.

    Attributes:
        kind: `rtsp`, `http`, `file` or `device`.
    """

    __slots__ = ("_secret", "_shown", "kind")

    KINDS: ClassVar[dict[str, str]] = {
        "rtsp": "rtsp",
        "rtsps": "rtsp",
        "http": "http",
        "https": "http",
        "file": "file",
    }
    ALLOWED = (
        "rtsp://, rtsps://, http://, https://, a file's path (relative to the YAML file), "
        "file://, a device such as /dev/video0, or device:0"
    )

    def __init__(self, address: str, shown: str | None = None, folder: Path | None = None) -> None:
        """Read an address; a relative file path is taken from `folder`.

        Args:
            address: the real address.
            shown: what may be printed, before redaction; the address itself if not given.
            folder: the folder that relative file paths start from.

        Raises:
            ValueError: for an empty address, a scheme that is not read, or a missing host.
        """
        if not address.strip() or any(ord(c) < 32 for c in address):
            raise ValueError("is empty or holds control characters")
        self._shown = redact(address if shown is None else shown)
        scheme, mark, _ = address.partition("://")
        if address.startswith(("/dev/", "device:")):
            self.kind, self._secret = "device", address
        elif mark and scheme.lower() not in self.KINDS:
            raise ValueError(f"scheme {scheme!r} is not read; allowed: {self.ALLOWED}")
        elif mark and self.KINDS[scheme.lower()] != "file":
            self.kind, self._secret = self.KINDS[scheme.lower()], address
            if not _host(address):
                raise ValueError("has no host name")
        else:
            self.kind = "file"
            path = Path(unquote(urlsplit(address).path) if mark else address).expanduser()
            self._secret = str((folder or Path()) / path)

    def secret(self) -> str:
        """Return the real address: for the decoder only, never for a message."""
        return self._secret

    def clean(self, text: str) -> str:
        """Hide this address's secrets in a text, such as a decoder's error message."""
        return redact_text(text, self._secret)

    def __str__(self) -> str:
        return self._shown

    def __repr__(self) -> str:
        return f"SourceUrl({self._shown!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, SourceUrl) and other._secret == self._secret

    def __hash__(self) -> int:
        return hash(self._secret)


def _host(address: str) -> str | None:
    try:
        return urlsplit(address).hostname
    except ValueError:
        return None
