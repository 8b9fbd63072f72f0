"""Strict YAML: duplicate keys refused, lines remembered, every problem one clear line.

A value that came from the environment, or that could hold a password, is never
repeated in a message: what is shown is the text of the file, with addresses redacted.
"""

from __future__ import annotations

import difflib
import json
import re
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import BaseModel, ValidationError

from pipeline.redact import fill_variables, redact, variables_in
from reid.errors import ConfigError

Key = tuple[str | int, ...]
Model = TypeVar("Model", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """One YAML file: its data as written, and the line of every key."""

    path: Path
    data: Any
    lines: Mapping[Key, int]

    def where(self, key: Key) -> str:
        """Return `file:line: key` of a key, or of the nearest parent that has a line."""
        parent = key
        while parent and parent not in self.lines:
            parent = parent[:-1]
        line = f":{self.lines[parent]}" if parent in self.lines else ""
        return f"{self.path}{line}: {key_text(key)}"

    def written(self, key: Key) -> Any:
        """Return the value as it stands in the file, before variables were filled in."""
        value = self.data
        for part in key:
            try:
                value = value[part]
            except (KeyError, IndexError, TypeError):
                return None
        return value


def key_text(key: Key) -> str:
    """Return a key's path: `cameras[0].place.x`."""
    text = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in key)
    return text.lstrip(".") or "the file"


def read_yaml(path: Path) -> Document:
    """Read a YAML file without filling in anything.

    Raises:
        ConfigError: if it cannot be read, is no YAML, repeats a key or holds itself.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is not UTF-8 text (byte {error.start})") from None
    lines: dict[Key, int] = {}
    problems: list[str] = []
    loader = yaml.SafeLoader(text)
    try:
        node = loader.get_single_node()
        if node is not None:
            _walk(path, node, (), lines, problems, set())
        if problems:
            raise ConfigError("\n".join(problems))
        data = None if node is None else loader.construct_document(node)
    except yaml.YAMLError as error:
        raise ConfigError(f"{path}{_yaml_problem(error)}") from None
    except ValueError as error:  # for example the date 2024-13-45
        raise ConfigError(f"{path}: a value cannot be read: {error}") from None
    finally:
        loader.dispose()
    return Document(path, data, lines)


def _walk(
    path: Path,
    node: yaml.Node,
    key: Key,
    lines: dict[Key, int],
    problems: list[str],
    parents: set[int],
) -> None:
    """Note the line of every key; find repeated keys and nodes that hold themselves."""
    lines.setdefault(key, node.start_mark.line + 1)
    if id(node) in parents:
        raise ConfigError(f"{path}:{node.start_mark.line + 1}: {key_text(key)} holds itself")
    inside = parents | {id(node)}
    if isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(path, item, (*key, index), lines, problems, inside)
    elif isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for name_node, value in node.value:
            line = name_node.start_mark.line + 1
            if not isinstance(name_node, yaml.ScalarNode):
                problems.append(f"{path}:{line}: {key_text(key)}: a key must be plain text")
                continue
            name = name_node.value
            if name in seen:
                problems.append(
                    f"{path}:{line}: {key_text((*key, name))}: the key is given twice "
                    f"(first on line {seen[name]})"
                )
            seen.setdefault(name, line)
            _walk(path, value, (*key, name), lines, problems, inside)
            lines[(*key, name)] = line


def _yaml_problem(error: yaml.YAMLError) -> str:
    """Say where and what, without the snippet of the file that could show a password."""
    mark = getattr(error, "problem_mark", None)
    problem = getattr(error, "problem", None) or "cannot be understood"
    problem = re.sub(r"(['\"])(?:(?!\1).){2,}\1", "(a word)", str(problem))
    return (f":{mark.line + 1}" if mark else "") + f": is no valid YAML: {problem}"


def fill(document: Document, environ: Mapping[str, str]) -> tuple[Any, dict[str, str]]:
    """Fill `${NAME}` in; a value that is one variable alone is read as YAML (number, bool).

    Returns:
        The filled data, and for every filled text the text that may be shown instead.

    Raises:
        ConfigError: naming every key and variable that is not set.
    """
    shown: dict[str, str] = {}
    problems: list[str] = []

    def visit(value: Any, key: Key) -> Any:
        if isinstance(value, dict):
            return {str(k): visit(v, (*key, str(k))) for k, v in value.items()}
        if isinstance(value, list):
            return [visit(v, (*key, i)) for i, v in enumerate(value)]
        names = variables_in(value) if isinstance(value, str) else []
        missing = [n for n in dict.fromkeys(names) if n not in environ]
        if missing:
            problems.extend(
                f"{document.where(key)}: the environment variable {name} is not set"
                for name in missing
            )
        if not names or missing:
            return value
        is_url = bool(key) and key[-1] == "url"
        filled = fill_variables(value, {n: environ[n] for n in names}, is_url=is_url)
        if value == f"${{{names[0]}}}" and not is_url:
            return _scalar(filled)
        shown[filled] = value
        return filled

    data = visit(document.data, ())
    if problems:
        raise ConfigError("\n".join(problems))
    return data, shown


def _scalar(text: str) -> Any:
    """Read a variable's value as YAML would, if it is one plain value; else keep the text."""
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError):
        return text
    return text if isinstance(value, dict | list | datetime | date) else value


def validate(
    model: type[Model], document: Document, data: Any, context: Mapping[str, Any] | None = None
) -> Model:
    """Validate strictly (no quiet conversions) and list every problem, one a line.

    Raises:
        ConfigError: file, line, key, value and what is allowed, for every problem.
    """
    if not isinstance(data, dict):
        names = ", ".join(model.model_fields)
        raise ConfigError(f"{document.path}: must hold the keys {names}; it holds {_kind(data)}")
    try:
        text = json.dumps(data, default=_json_value)
    except TypeError as error:
        raise ConfigError(f"{document.path}: {error}") from None
    try:
        return model.model_validate_json(text, strict=True, context=dict(context or {}))
    except ValidationError as error:
        found = error.errors(include_input=False)
        # A list whose items are wrong also counts as too short: only the items are the news.
        below = {e["loc"][:n] for e in found for n in range(len(e["loc"]))}
        found = [e for e in found if e["type"] != "too_short" or e["loc"] not in below]
        lines = [_problem(model, document, e) for e in found]
        raise ConfigError("\n".join(lines)) from None


def _json_value(value: object) -> str:
    if isinstance(value, datetime | date):
        return value.isoformat()
    raise TypeError(f"holds {_kind(value)}, which no key takes")


def _problem(model: type[BaseModel], document: Document, error: Any) -> str:
    """Turn one of pydantic's errors into one line."""
    key: Key = tuple(error["loc"])
    where = document.where(key)
    if error["type"] == "missing":
        return f"{where}: is required and missing"
    if error["type"] == "extra_forbidden":
        # The value is not shown: an unknown key may well be `password`.
        allowed = list(_fields(model, key[:-1]))
        near = difflib.get_close_matches(str(key[-1]), allowed, n=1)
        hint = f"did you mean {near[0]!r}? " if near else ""
        return f"{where}: unknown key; {hint}allowed: {', '.join(allowed)}"
    message = str(error["msg"]).removeprefix("Value error, ").replace("Input should", "should")
    message = message.replace("Tuple should", "should").replace(" after validation", "")
    return f"{where}: {_shown(document.written(key))}: {message}"


def _shown(value: Any) -> str:
    if isinstance(value, str):
        return repr(redact(value))
    if isinstance(value, dict | list) or value is None:
        return _kind(value)
    return str(value)


def _kind(value: object) -> str:
    names = {dict: "a mapping", list: "a list", type(None): "nothing", str: "text"}
    return names.get(type(value), type(value).__name__)


def _fields(model: type[BaseModel], key: Sequence[str | int]) -> list[str]:
    """Field names that are allowed at a key, found by walking the models' annotations."""
    annotation: Any = model
    for part in key:
        models = _models(annotation)
        if isinstance(part, str) and models and part in models[0].model_fields:
            annotation = models[0].model_fields[part].annotation
    models = _models(annotation)
    return list(models[0].model_fields) if models else []


def _models(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [m for a in typing.get_args(annotation) for m in _models(a)]
