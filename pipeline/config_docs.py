"""Writes docs/configuration.md and configs/pipeline.yaml: `python -m pipeline.config_docs`.

Both are made from the settings models. A test fails when one of them is out of
date, or when a key has no title or description.
"""

from __future__ import annotations

import json
import textwrap
import typing
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, Union

import yaml
from annotated_types import Ge, Gt, Le, Lt, MaxLen, MinLen
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from pipeline.config import CameraConfig, CamerasConfig, PipelineConfig
from pipeline.redact import SourceUrl

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "configuration.md"
DEFAULTS = ROOT / "configs" / "pipeline.yaml"

HEAD = """# Configuration

<!-- Made from the settings models by `python -m pipeline.config_docs`; do not edit by hand. -->

Two YAML files: `cams.yaml` says which cameras there are, `pipeline.yaml` how their pictures are
worked on. Every key but `cameras`, `id` and `url` may be left out. An unknown key, a key given
twice, a wrong type or a value out of bounds ends the program at once (exit code 2) with file,
line, key, value and what is allowed; all problems of a file are listed together. Types are taken
at their word: `"10"` is text, not a number.

`${NAME}` anywhere in a value is taken from the environment; if it is not set, the program ends.
Keep passwords there. Before the `@` of an address, characters such as `/`, `@` or `#` in a
variable are percent-encoded for you (write a `%` that is followed by two hexadecimal digits as
`%25`). Passwords, and everything else that came from a variable in an address, never appear in a
log, an error, a table or the store.

`crosscam check cams.yaml` opens every enabled camera and says what it found.
"""

CAMERAS = """
## cams.yaml

One key, `cameras`: a list of cameras, or a mapping from id to camera (`id` is then left out).
[configs/cams.example.yaml](../configs/cams.example.yaml) shows every key.

How a camera is read:

- **A file** is read completely and in order, and its frames wait for the pipeline. The capture
  time of a frame is the file's start time plus the frame's time stamp, so the same file gives the
  same result on every run. Without `start_time` and metadata the modification time counts: a copy
  may change it, so give `start_time` where times matter.
- **A live camera** never waits: the pipeline gets the newest frame, and every frame that was
  replaced is counted as dropped. Capture times come from the wall clock at the packets' arrival,
  mapped through their time stamps (the smallest delay seen counts, so that jitter and the burst at
  the start do not shift them). A lost camera is tried again with growing pauses.
- **An HTTP address** is a recording if it says how long it is, else live; `live` settles it. One
  that is not marked `live: true` and cannot be opened is not tried again.
- A camera that cannot be opened, stalls or ends never disturbs the others. A run ends when all
  files have ended and no live camera that was ever reached is left.
"""

PIPELINE = """
## Environment

- `CROSSCAM_STORE`: the store's URL for every command that is not told one. It keeps a password out
  of the list of processes.
- `CROSSCAM_TIME_ZONE`: time zone of the pages, such as `Europe/Berlin` (`crosscam serve
  --time-zone`).
- `CROSSCAM_CACHE`: where fetched models and footage are kept; by default the user's cache folder.
- `CROSSCAM_NOTIFY_NAME`: a whole address for alerts, which a watch names `${CROSSCAM_NOTIFY_NAME}`
  and no page shows.

## pipeline.yaml

[configs/pipeline.yaml](../configs/pipeline.yaml) holds every key with its default.

What `recording` keeps:

- Every packet of the camera's video, as it came: nothing is decoded or encoded again, and frames
  that the pipeline drops or that `max_fps` leaves out are recorded all the same. Sound is not kept.
- In `recordings/CAMERA/DAY/TIME-runN.mp4` of the media folder (UTC; fragmented MP4, or Matroska,
  `.mkv`, for what MP4 cannot hold), cut at the camera's key frames. A camera with few key frames
  has longer files. Should the process be killed, a file can be played up to its last fragment,
  which is about a second; the next run brings the store's index in line with it.
- A full disk or a folder that may not be written stops that camera's recording and nothing else;
  it is said once, shown as the camera's error, and tried again every half minute.
- `keep_days`, `keep_gigabytes` and `keep_free` are enforced every minute while a run records, and
  by `crosscam retention`. Rows whose files are missing are removed, unless that is most of them:
  then the disk is taken to be away, and nothing is. What an open case or a hold (`crosscam hold`)
  protects stays, with a margin of one segment on both sides.
"""

DEFAULTS_HEAD = """\
# How the pictures are worked on: every key with its default. A copy may leave out any of them.
# Made from the settings models by `python -m pipeline.config_docs`; explained in
# docs/configuration.md. `null` is "empty".
"""


def page() -> str:
    """Return the whole page as Markdown."""
    parts = [HEAD, CAMERAS, _table(CameraConfig)]
    parts.append(PIPELINE)
    for name, field in PipelineConfig.model_fields.items():
        model = field.annotation
        if isinstance(model, type) and issubclass(model, BaseModel):
            parts.append(f"\n### {name}\n\n{field.description}\n")
            parts.append(_table(model))
    return "".join(parts)


def defaults_yaml() -> str:
    """Return configs/pipeline.yaml: every key with its default and what it does."""
    lines = [DEFAULTS_HEAD]
    for name, field in PipelineConfig.model_fields.items():
        lines.append(f"\n# {field.description}\n")
        model = typing.cast(type[BaseModel], field.annotation)
        keys = list(fields(model))
        lines.append(f"{name}:\n" if keys else f"{name}: {{}}\n")
        for key, key_field, nested in keys:
            if "." in key:
                raise ValueError(f"{name}.{key}: a section holds plain keys only")
            if nested:
                raise ValueError(f"{name}.{key}: a section holds no further section")
            lines.append("\n" if lines[-1].startswith(" ") else "")
            text = f"{key_field.description} " + _allowed(key_field)
            lines += [f"  # {line}\n" for line in textwrap.wrap(text.strip(), 94)]
            value = json.loads(key_field_json(model, key))
            written = yaml.safe_dump({key: value}, allow_unicode=True, width=1000).strip()
            lines.append(f"  {written}\n")
    return "".join(lines)


def key_field_json(model: type[BaseModel], key: str) -> str:
    """Return a field's default as JSON, as it would stand in a file."""
    value = model.model_fields[key].get_default(call_default_factory=True)
    return json.dumps(value, default=str)


def _allowed(field: FieldInfo) -> str:
    bounds = _bounds(field).replace("`", "")
    return f"({bounds})" if bounds else ""


def _table(model: type[BaseModel]) -> str:
    rows = [
        "\n| key | type | default | allowed | what it does |\n| --- | --- | --- | --- | --- |\n"
    ]
    for name, field, parent in fields(model):
        default = "required" if field.is_required() else _value(field.get_default())
        cells = [
            f"`{name}`",
            _type(field.annotation),
            default,
            _bounds(field),
            f"**{field.title}.** {field.description}",
        ]
        if parent:
            cells[2] = ""
        rows.append("| " + " | ".join(c.replace("|", "\\|") for c in cells) + " |\n")
    return "".join(rows)


def fields(model: type[BaseModel], prefix: str = "") -> Iterator[tuple[str, FieldInfo, bool]]:
    """Yield every key of a model with its path; keys of inner models follow their parent.

    Yields:
        The key's path, its field, and whether it only holds further keys.
    """
    for name, field in model.model_fields.items():
        inner = field.annotation
        nested = isinstance(inner, type) and issubclass(inner, BaseModel)
        yield prefix + name, field, nested
        if nested:
            yield from fields(typing.cast(type[BaseModel], inner), f"{prefix}{name}.")


def all_fields() -> Iterator[tuple[str, FieldInfo]]:
    """Yield every key of both files with its path."""
    for name, field, _ in fields(CamerasConfig):
        yield name, field
    for name, field, _ in fields(CameraConfig, "cameras."):
        yield name, field
    for name, field, _ in fields(PipelineConfig):
        yield name, field


def _type(annotation: Any) -> str:
    names = {str: "text", int: "integer", float: "number", bool: "true or false", Path: "path"}
    if annotation in names:
        return names[annotation]
    if annotation is SourceUrl:
        return "address"
    origin, arguments = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is typing.Annotated:
        return _type(arguments[0])
    if origin is Literal:
        return "one of"
    if origin is Union or type(annotation).__name__ == "UnionType":
        return _type(next(a for a in arguments if a is not type(None)))
    if origin is tuple:
        return f"list of {_type(arguments[0])}" if arguments[-1] is Ellipsis else "`[x, y]`"
    if origin in (dict, list):
        return "mapping" if origin is dict else f"list of {_type(arguments[0])}"
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return "mapping"
    if getattr(annotation, "__name__", "") in ("AwareDatetime", "datetime"):
        return "date and time"
    return getattr(annotation, "__name__", str(annotation))


def _value(value: Any) -> str:
    if value is None or value == () or value == "":
        return "empty"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, float) and value == int(value) and abs(value) < 1e6:
        return f"`{value:.1f}`"
    if isinstance(value, list | tuple):
        return "`[" + ", ".join(str(v) for v in value) + "]`"
    return f"`{value}`"


def _number(value: float) -> str:
    return f"{int(value):,}" if float(value).is_integer() else f"{value:g}"


def _bounds(field: FieldInfo) -> str:
    """Bounds of a field, also those inside `X | None` and `Annotated`."""
    words = []
    for bound in [*field.metadata, *_inner_metadata(field.annotation)]:
        for kind, name, text in (
            (Ge, "ge", "at least"),
            (Gt, "gt", "above"),
            (Le, "le", "at most"),
            (Lt, "lt", "below"),
        ):
            if isinstance(bound, kind):
                words.append(f"{text} {_number(getattr(bound, name))}")
        if isinstance(bound, MinLen | MaxLen) and not _is_text(field):
            length = bound.min_length if isinstance(bound, MinLen) else bound.max_length
            words.append(f"{'at least' if isinstance(bound, MinLen) else 'at most'} {length} items")
    choices = _choices(field.annotation)
    if choices:
        words.append(", ".join(f"`{str(c).lower() if c is False else c}`" for c in choices))
    return "; ".join(dict.fromkeys(words))


def _inner_metadata(annotation: Any) -> list[Any]:
    found = []
    for argument in typing.get_args(annotation):
        if typing.get_origin(argument) is typing.Annotated:
            for item in argument.__metadata__:
                found.extend(item.metadata if isinstance(item, FieldInfo) else [item])
    return found if typing.get_origin(annotation) is not tuple else []


def _choices(annotation: Any) -> tuple[Any, ...]:
    if typing.get_origin(annotation) is Literal:
        return typing.get_args(annotation)
    return tuple(c for a in typing.get_args(annotation) for c in _choices(a))


def _is_text(field: FieldInfo) -> bool:
    return _type(field.annotation) == "text"


if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
    DEFAULTS.write_text(defaults_yaml(), encoding="utf-8")
