"""Detectors: find the people in frames of any cameras. Light to import; models load when built."""

from __future__ import annotations

from pipeline.detectors.base import Detector
from pipeline.detectors.choose import build_detector

__all__ = ["Detector", "build_detector"]
