"""Who cannot be the same person, whatever they look like: time, place and speed."""

from __future__ import annotations

import math
from collections.abc import Mapping

from trackers.records import Tracklet, TrackPoint
from trackers.settings import MatchingSettings

Coordinates = tuple[float, float]  # metres on the site's map


def conflict(
    a: Tracklet,
    b: Tracklet,
    places: Mapping[str, Coordinates | None],
    settings: MatchingSettings,
) -> str | None:
    """Say why two tracks cannot be one person, or None if they can.

    Args:
        a: one track.
        b: another track.
        places: map coordinates per camera, metres; None where unknown.
        settings: tolerances and speeds.
    """
    gap = max(a.start, b.start) - min(a.end, b.end)  # seconds; negative: they overlap
    if a.camera == b.camera:
        if -gap > settings.overlap_tolerance:
            return "seen at the same moment by the same camera"
        return _too_fast_in_picture(a, b, settings) if gap > 0 else None
    here, there = places.get(a.camera), places.get(b.camera)
    if here is None or there is None:
        return None
    metres = math.dist(here, there)
    if metres > settings.max_speed * max(gap, 0.0) + settings.view_reach:
        return f"{metres:.0f} m apart with {max(gap, 0.0):.1f} s between"
    return None


def _too_fast_in_picture(a: Tracklet, b: Tracklet, settings: MatchingSettings) -> str | None:
    earlier, later = (a, b) if a.end <= b.start else (b, a)
    speed = picture_speed(earlier.last, later.first)
    if speed > settings.max_image_speed:
        return f"{speed:.1f} body heights per second apart on one camera"
    return None


def picture_speed(end: TrackPoint, start: TrackPoint) -> float:
    """Body heights per second between the end of one track and the start of a later one."""
    pixels = math.dist(end.box.foot, start.box.foot)
    height = max((end.box.height + start.box.height) / 2, 1e-9)
    # One body height is free: a foot point jumps when the legs come out of hiding.
    return max(pixels / height - 1.0, 0.0) / max(start.time - end.time, 1e-3)
