"""Our style sheet, our script and htmx: read once, named by their content, kept by browsers."""

from __future__ import annotations

import hashlib
import importlib.util
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from fastapi import APIRouter, HTTPException
from starlette.responses import Response

from reid.errors import ConfigError
from web.access import Anybody

KINDS = {
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
router = APIRouter()


@dataclass(frozen=True, slots=True)
class File:
    """A file as served."""

    content: bytes
    kind: str
    digest: str


@cache
def files() -> dict[str, File]:
    """All there is, by name; nothing else can be asked for.

    Raises:
        ConfigError: if htmx is not installed.
    """
    paths = [p for p in sorted((Path(__file__).parent / "static").iterdir()) if p.suffix in KINDS]
    found: dict[str, File] = {}
    for name, path in [*((p.name, p) for p in paths), ("htmx.js", _htmx())]:
        content = path.read_bytes()
        found[name] = File(content, KINDS[path.suffix], hashlib.sha256(content).hexdigest()[:16])
    return found


def static_url(name: str) -> str:
    """Address of a file; another content has another address."""
    return f"/static/{files()[name].digest}/{name}"


@router.get("/static/{digest}/{name}", include_in_schema=False)
def static(digest: str, name: str, _: Anybody) -> Response:
    """A file; the sign-in page needs it too."""
    file = files().get(name)
    if file is None or file.digest != digest:
        raise HTTPException(404, f"there is no file {name!r}")
    headers = {"cache-control": "public, max-age=31536000, immutable"}
    return Response(file.content, media_type=file.kind, headers=headers)


def _htmx() -> Path:
    """The file of htmx 2 that django-htmx brings; Django itself is never imported."""
    found = importlib.util.find_spec("django_htmx")
    for folder in (found.submodule_search_locations or []) if found is not None else []:
        path = Path(folder) / "static" / "django_htmx" / "htmx-2.min.js"
        if path.is_file():
            return path
    raise ConfigError("htmx-2.min.js was not found: pip install 'django-htmx>=1.27'")
