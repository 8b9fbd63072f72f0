"""Detectors: find people in pictures of any camera. Light to import; models load when built."""

from __future__ import annotations

from detectors.base import Detector, Photo, Picture
from detectors.choose import build_detector

__all__ = ["Detector", "Photo", "Picture", "build_detector"]
