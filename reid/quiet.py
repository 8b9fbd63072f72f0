"""Libraries that report usage are told not to: call `no_reports` before importing one of them.

Ultralytics sends usage statistics and installs packages on its own; OpenVINO's converter sends
every conversion to Intel through `openvino_telemetry` unless the user opted out. Nobody who
watches cameras expects that, so crosscam turns both off, for its own process only.
"""

from __future__ import annotations

import os
import sys


def no_reports() -> None:
    """Turn off reports, chatter and installing of Ultralytics and OpenVINO; cheap, repeatable."""
    os.environ.setdefault("YOLO_VERBOSE", "False")
    os.environ.setdefault("YOLO_AUTOINSTALL", "False")
    os.environ.setdefault("YOLO_OFFLINE", "True")  # no usage reports, no update checks
    # None makes the import fail, upon which OpenVINO uses its own empty stand-in
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
