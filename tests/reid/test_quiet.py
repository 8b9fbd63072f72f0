from __future__ import annotations

import subprocess
import sys
from pathlib import Path

PROGRAM = """
import os, sys
from reid.quiet import no_reports
no_reports()
import openvino, torch
openvino.convert_model(torch.nn.Linear(2, 2), example_input=torch.zeros(1, 2))
from openvino.tools.ovc import telemetry_utils
print(telemetry_utils.tm.__name__)
from ultralytics.utils import events, ONLINE
print(ONLINE, events.events.enabled)
"""


def test_neither_openvino_nor_ultralytics_reports_usage(tmp_path: Path) -> None:
    """Symptom: converting a model left ~/intel with an id and sent it to Google Analytics."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM],
        env={
            "HOME": str(tmp_path),
            "PATH": "/usr/bin:/bin",
            "PYTHONPATH": str(Path(__file__).parents[2]),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["openvino.tools.ovc.telemetry_stub", "False", "False"]
    assert not (tmp_path / "intel").exists()
