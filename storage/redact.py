"""Keeps passwords out of the store, its logs and its errors."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

HIDDEN = "***"

# scheme://user:password@host. The password may itself hold "@" and "/", so it ends at the last
# "@" of the word; `host:8080/...@...` is a port, not a password.
_USER_INFO = re.compile(r"(?P<head>\b[A-Za-z][\w+.-]*://[^\s/@:'\"]*):(?!\d+/)[^\s'\"]*@")
_SECRET_NAME = r"(?:\w+[_-])?(?:pass|password|passwd|passphrase|pwd|secret|token|api_?key)"
_QUERY = re.compile(rf"(?P<head>[?&;]{_SECRET_NAME}=)[^&;\s'\"]+", re.IGNORECASE)
_SECRET_KEY = re.compile(_SECRET_NAME, re.IGNORECASE)


def redact(text: str) -> str:
    """Replace the password of every URL in a text: `rtsp://user:***@host/stream`."""
    text = _USER_INFO.sub(rf"\g<head>:{HIDDEN}@", text)
    return _QUERY.sub(rf"\g<head>{HIDDEN}", text)


def redact_tree(value: Any, key: str = "") -> Any:
    """`redact` every text in nested dicts and lists; values under a secret's name vanish."""
    if isinstance(value, Mapping):
        return {str(k): redact_tree(v, str(k)) for k, v in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [redact_tree(v, key) for v in value]
    if isinstance(value, str) and value and _SECRET_KEY.fullmatch(key):
        return HIDDEN
    return redact(value) if isinstance(value, str) else value
