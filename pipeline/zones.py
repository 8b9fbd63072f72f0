"""Does a person stand where a camera should look? Zones and masks by foot point."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.config import CameraConfig
from trackers.records import Box

Point = tuple[float, float]


def inside(camera: CameraConfig, box: Box, width: int, height: int) -> bool:
    """True if a box's foot point lies in a zone (or there is none) and in no mask.

    The foot point, the middle of the lower edge, is brought into the picture first: of a
    person cut off by the lower edge the feet count as standing on that edge.

    Args:
        camera: whose zones and masks are looked at.
        box: pixels of the camera's frame.
        width: of the frame in pixels.
        height: of the frame in pixels.
    """
    if not camera.zones and not camera.masks:
        return True
    x, y = box.foot
    point = (min(1.0, max(0.0, x / width)), min(1.0, max(0.0, y / height)))
    if camera.zones and not any(contains(zone, point) for zone in camera.zones):
        return False
    return not any(contains(mask, point) for mask in camera.masks)


def contains(polygon: Sequence[Point], point: Point) -> bool:
    """True if a point lies in a polygon (even-odd rule) or on its edge."""
    x, y = point
    odd = False
    for (ax, ay), (bx, by) in zip(polygon, [*polygon[1:], polygon[0]], strict=True):
        cross = (bx - ax) * (y - ay) - (by - ay) * (x - ax)
        between = min(ax, bx) <= x <= max(ax, bx) and min(ay, by) <= y <= max(ay, by)
        if abs(cross) < 1e-12 and between:
            return True
        if (ay > y) != (by > y) and x < ax + (y - ay) / (by - ay) * (bx - ax):
            odd = not odd
    return odd
