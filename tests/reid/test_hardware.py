"""Memory that a training step frees is there for the next one; threads that work alone."""

from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
import torch

from reid.errors import ConfigError
from reid.hardware import alone, resolve_device
from run_pipeline import main
from tests.test_architecture import ROOT

PROGRAM = """
import resource, sys
if sys.argv[1] == "kept":
    from reid.hardware import keep_freed_memory
    print(keep_freed_memory())
import torch
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    x, y = (torch.empty(n << 20, dtype=torch.uint8).fill_(1) for n in (32, 16))
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
print([faults() for _ in range(30)][-1])
"""


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux's glibc takes the settings")
def test_freed_memory_is_kept():
    """Page faults of the 30th turn of allocating 48 MiB: none, where there were thousands."""
    counts = []
    for mode in ("kept", "plain"):
        done = subprocess.run(
            [sys.executable, "-c", PROGRAM, mode],
            cwd=ROOT, capture_output=True, text=True, timeout=120, check=True,
        )  # fmt: skip
        words = done.stdout.split()
        if words[0] == "False":
            pytest.skip("this C library is not glibc")
        counts.append(int(words[-1]))
    kept, plain = counts
    assert kept < 100 < plain


@pytest.mark.parametrize(
    ("wanted", "devices", "expected"),
    [
        ("auto", 0, "cpu"),
        ("auto", 2, "cuda"),
        ("cpu", 0, "cpu"),
        ("cuda", 1, "cuda"),
        ("cuda:1", 2, "cuda:1"),
        ("cuda", 0, None),
        ("cuda:2", 2, None),
    ],
)
def test_a_device_that_is_not_there_is_refused(monkeypatch, wanted, devices, expected):
    """Symptom: a traceback from inside torch, once the detector had been loaded."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: devices > 0)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: devices)
    if expected is None:
        with pytest.raises(ConfigError, match=f"embedding.device is '{wanted}', but {devices} "):
            resolve_device(wanted, "embedding.device")
    else:
        assert resolve_device(wanted) == expected


def test_a_run_without_its_device_is_refused_before_a_model_is_loaded(tmp_path):
    (tmp_path / "cams.yaml").write_text("cameras:\n- {id: a, url: a.mp4}\n")
    (tmp_path / "p.yaml").write_text(
        f"embedding: {{device: cuda}}\ndetector: {{name: none.onnx, models: {tmp_path}}}\n"
    )
    arguments = [f"--cameras={tmp_path / 'cams.yaml'}", f"--pipeline={tmp_path / 'p.yaml'}"]
    done = subprocess.run(
        [sys.executable, "run_pipeline.py", "run", *arguments, f"--store=sqlite:///{tmp_path}/r.db"],
        cwd=ROOT, capture_output=True, text=True, timeout=120, check=False,
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
    )  # fmt: skip
    assert done.returncode == 2
    assert "embedding.device is 'cuda', but 0 CUDA devices" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize("device", ["gpu", "tpu", "cpux", "cuda:one", ""])
def test_a_device_that_nobody_has_is_refused_by_its_name(device):
    with pytest.raises(ConfigError, match=f"--device is '{device}'; allowed: auto, cpu, cuda"):
        resolve_device(device, "--device")


@pytest.mark.parametrize("command", ["embed", "evaluate"])
def test_a_command_names_a_wrong_device(command, tmp_path, capsys):
    given = {"embed": ["--images", ".", "--out", "x.npz"], "evaluate": ["--data", str(tmp_path)]}
    assert main([command, *given[command], "--device", "gpu"]) == 2
    assert "--device is 'gpu'" in capsys.readouterr().err


def test_a_thread_that_works_alone_leaves_the_others_their_threads():
    before, seen = torch.get_num_threads(), {}
    torch.set_num_threads(2)
    try:

        def work() -> None:
            alone()
            seen["worker"] = torch.get_num_threads()
            later = threading.Thread(target=lambda: seen.update(later=torch.get_num_threads()))
            later.start()
            later.join()

        worker = threading.Thread(target=work)
        worker.start()
        worker.join()
        assert seen == {"worker": 1, "later": 2}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
