"""The house keeps its shape: who may import whom, how long a module may be, what help may cost."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

# room -> the rooms it may import; the arrows of docs/architecture.md.
MAY_IMPORT = {
    "reid": set(),
    "trackers": {"reid"},
    "storage": {"reid", "trackers"},
    "detectors": {"reid", "trackers"},
    "pipeline": {"reid", "trackers", "detectors", "storage"},
    "investigation": {"reid", "detectors", "storage", "trackers"},
    "web": {"investigation", "storage", "reid"},
    "configs": set(),
}
FRONT_DOOR = {"pipeline", "reid", "storage", "investigation", "web"}
NEVER_IMPORTED = {"tests", "benchmarks", "run_pipeline"}
OURS = MAY_IMPORT.keys() | NEVER_IMPORTED
# Each joins its room's folders, and no folder of the room imports it.
JOINERS = {"commands.py", "app.py", "embedding.py"}
LONGEST = 500
HEAVY = (
    "torch", "torchvision", "ultralytics", "cv2", "av", "sqlalchemy", "alembic", "pydantic",
    "numpy", "scipy", "openvino", "onnxruntime", "faiss", "yaml", "rich", "jinja2", "pyarrow",
    "matplotlib", "timm", "tensorboard", "fastapi", "uvicorn", "argon2",
)  # fmt: skip


def modules(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[int, str]]:
    """(line, dotted name) of all that is imported, also inside functions; of a module its name."""
    package = path.relative_to(ROOT).parts[0].removesuffix(".py")
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            module = package if node.level else (node.module or "")
            for alias in node.names:
                inner = f"{module}.{alias.name}"
                yield node.lineno, inner if is_ours(inner) else module
        elif isinstance(node, ast.Call) and node.args:  # importlib.import_module("reid.x")
            name = getattr(node.func, "attr", getattr(node.func, "id", ""))
            literal = node.args[0]
            if name in ("import_module", "__import__") and isinstance(literal, ast.Constant):
                yield node.lineno, str(literal.value)


def is_ours(module: str) -> bool:
    """Whether a dotted name is a module of this tree."""
    return (ROOT / f"{module.replace('.', '/')}.py").is_file()


def forbidden(path: Path, allowed: set[str]) -> list[str]:
    """`file:line: room imports room`, for each import of ours that is not allowed."""
    room = path.relative_to(ROOT).parts[0]
    found = dict.fromkeys((line, name.split(".")[0]) for line, name in imports(path))
    return [
        f"{path.relative_to(ROOT)}:{line}: {room} imports {name}"
        for line, name in found
        if name in OURS and name != room and name not in allowed
    ]


def graph(of_folders: bool) -> dict[str, set[str]]:
    """module -> modules it imports, or folder -> folders of it; all rooms."""
    arrows: dict[str, set[str]] = {}
    for path in modules(*MAY_IMPORT):
        if of_folders and path.name in JOINERS:
            continue
        own = ".".join(path.relative_to(ROOT).with_suffix("").parts)
        targets = {name for _, name in imports(path) if is_ours(name)}
        if of_folders:
            own = own.rpartition(".")[0]
            targets = {name.rpartition(".")[0] for name in targets} - {own}
        arrows.setdefault(own, set()).update(targets)
    return arrows


def test_modules_import_each_other_one_way() -> None:
    arrows = graph(of_folders=False)
    assert "storage.store" in arrows["storage.erasure.erase"]
    assert list(TopologicalSorter(arrows).static_order())  # CycleError names the circle


def test_folders_of_a_room_import_each_other_one_way() -> None:
    arrows = graph(of_folders=True)
    assert "storage.decisions" in arrows["storage.erasure"]
    assert list(TopologicalSorter(arrows).static_order())


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_arrows_point_one_way(room: str) -> None:
    found = [problem for path in modules(room) for problem in forbidden(path, MAY_IMPORT[room])]
    assert not found, "\n".join(found)


def test_front_door_knows_only_the_rooms_commands() -> None:
    assert not forbidden(ROOT / "run_pipeline.py", FRONT_DOOR)


def test_every_room_is_watched() -> None:
    rooms = {path.parent.name for path in ROOT.glob("*/__init__.py")}
    assert rooms <= OURS, "a new room needs its arrows here and in docs/architecture.md"


def test_a_lazy_import_against_the_arrow_is_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The check itself: it once would have missed an import inside a function."""
    monkeypatch.setattr(sys.modules[__name__], "ROOT", tmp_path)
    bad = tmp_path / "reid" / "bad.py"
    bad.parent.mkdir()
    bad.write_text(
        "import json\n\ndef f():\n    from storage.store import Store\n    return Store\n"
    )
    assert forbidden(bad, MAY_IMPORT["reid"]) == ["reid/bad.py:4: reid imports storage"]


def test_modules_stay_readable() -> None:
    long = {
        str(path.relative_to(ROOT)): lines
        for path in [*modules(*MAY_IMPORT, "tests", "benchmarks"), ROOT / "run_pipeline.py"]
        if (lines := len(path.read_text(encoding="utf-8").splitlines())) >= LONGEST
    }
    assert not long


@pytest.mark.parametrize(
    "command",
    [
        "",
        "run",
        "check",
        "demo",
        "embed",
        "train",
        "evaluate",
        "explain",
        "export",
        "report",
        "search",
        "serve",
        "user",
        "hold",
        "rerun",
        "case",
        "replay",
        "retention",
        "decide",
        "erase",
        "watch",
    ],
)
def test_help_imports_nothing_heavy(command: str) -> None:
    code = (
        "import sys, run_pipeline\n"
        "try:\n    run_pipeline.main(sys.argv[1:])\n"
        "except SystemExit as end:\n    assert not end.code, end.code\n"
        f"print('loaded:', *(m for m in {HEAVY!r} if m in sys.modules))\n"
    )
    arguments = [*command.split(), "--help"]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments],
        cwd=ROOT, capture_output=True, text=True, timeout=60, check=True,
    )  # fmt: skip
    assert done.stdout.splitlines()[-1].split() == ["loaded:"]
    assert "usage: crosscam" in done.stdout
    assert "examples:" in done.stdout
