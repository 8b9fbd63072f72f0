"""Two processes train one model (gloo), and the parts of a team."""

from __future__ import annotations

import os
import socket
import subprocess
import sys

import pytest
import torch
import yaml
from safetensors.torch import load_file

from reid.errors import ConfigError
from reid.training.team import Team, join_team
from tests.reid.people import lines, paint_people, tiny
from tests.test_architecture import ROOT

WAIT = 300  # seconds; twenty on a quiet machine

# Keeps what each process holds in the end; the command line does the rest.
PROGRAM = """
import os, sys
import run_pipeline, reid.training.train
from safetensors.torch import save_file
real = reid.training.train.build_stages
def build(*arguments):
    global stages
    stages, frozen = real(*arguments)
    return stages, frozen
reid.training.train.build_stages = build
code = run_pipeline.main(sys.argv[2:])
kept = {n: p.detach().contiguous() for n, p in stages[-1].objective.named_parameters()}
save_file(kept, f"{sys.argv[1]}/rank{os.environ['RANK']}.safetensors")
sys.exit(code)
"""


def free_port() -> int:
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return int(sock.getsockname()[1])


@pytest.mark.timeout(330)
def test_two_processes_hold_one_model(tmp_path):
    people = paint_people(tmp_path / "people")
    config = tiny(epochs=2, ide_epochs=1, held_out_ids=1)
    (tmp_path / "t.yaml").write_text(yaml.safe_dump(config.model_dump()))
    (tmp_path / "program.py").write_text(PROGRAM)
    out = tmp_path / "run"
    environment = os.environ | {
        "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": "2",
        "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT),
    }  # fmt: skip
    processes = [
        subprocess.Popen(
            [sys.executable, str(tmp_path / "program.py"), str(tmp_path), "train", "--config",
             str(tmp_path / "t.yaml"), "--data", str(people), "--out", str(out),
             "--device", "cpu"],
            env=environment | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
        )
        for rank in range(2)
    ]  # fmt: skip
    try:
        outputs = [p.communicate(timeout=WAIT)[0] for p in processes]
    finally:
        for process in processes:
            process.kill()
    assert [p.returncode for p in processes] == [0, 0], "\n".join(outputs)
    first, second = (load_file(tmp_path / f"rank{rank}.safetensors") for rank in range(2))
    assert first.keys() == second.keys()
    assert not [n for n in first if not torch.equal(first[n], second[n])]
    written = load_file(out / "last.safetensors")
    assert not [n for n in first if not torch.equal(first[n], written[f"objective.{n}"])]
    assert [row["epoch"] for row in lines(out)] == ["1", "2"], "one of them wrote the log"
    assert "qpm: epoch 2" in outputs[0]
    assert "qpm" not in outputs[1]


def test_members_draw_different_batches_equally_many():
    members = [Team(rank, 3, "cpu") for rank in range(3)]
    shares = [m.share(range(11)) for m in members]
    assert [len(s) for s in shares] == [3, 3, 3]
    assert sorted(item for share in shares for item in share) == list(range(9))
    assert Team(0, 1, "cpu").share(range(11)) == list(range(11))


def test_one_process_is_a_team(monkeypatch):
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with join_team("cpu") as team:
        assert team == Team(0, 1, "cpu")
        assert team.leads
        module = torch.nn.Linear(1, 1)
        assert team.join(module) is module
        assert team.mean(torch.tensor([3.0])).tolist() == [3.0]


def test_one_device_for_several_processes_is_refused(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="--device cuda:1"), join_team("cuda:1"):
        pass
