"""From the visible box to the whole-body box, by the track's own history.

Fixed stripes assume a whole body (Sec. III-A). A detector's box hugs what is
visible, so somebody hidden below the knee would be stretched over all K
stripes. The crop is therefore padded to the height the person had when seen
whole, and each stripe knows which share of its rows the detector saw.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from trackers.records import Box

HISTORY = 40  # boxes that vote on the expected height
SHRINK = 0.85  # a box lower than this share of the expected height is partly hidden
QUANTILE = 0.8
FORGET = 8  # every so many padded boxes one is believed: somebody sat down
MAX_ASPECT = 0.7  # width / height above which a box cut by the frame's edge cannot be whole
WHOLE_ASPECT = 0.4  # width / height of a walking person
EDGE = 2.0  # pixels from the frame's edge that count as touching it


@dataclass(frozen=True, slots=True)
class WholeBody:
    """A padded box and, per stripe, the share 0..1 of its rows inside the detector's box."""

    box: Box
    visible: tuple[float, ...]


class BodyHistory:
    """Remembers one track's boxes and tells the whole-body box of its newest one."""

    def __init__(self) -> None:
        self._heights: deque[float] = deque(maxlen=HISTORY)
        self._shapes: deque[float] = deque(maxlen=HISTORY)  # height / width
        self._padded = 0
        self._edges: tuple[float, float] | None = None  # expected top and bottom

    def observe(self, box: Box, frame_height: int, num_parts: int) -> WholeBody:
        """Take in the next box of the track and return its whole-body box.

        Args:
            box: the tracker's box, pixels.
            frame_height: of the camera's frame, pixels.
            num_parts: K, for the visible shares.
        """
        expected = self._expected_height(box, frame_height)
        whole = box
        if box.height < SHRINK * expected:
            whole = self._extend(box, expected, frame_height)
        self._padded = 0 if whole is box else self._padded + 1
        if whole is box or self._padded % FORGET == 0:
            self._heights.append(box.height)
            self._shapes.append(box.height / box.width)
        self._edges = (whole.top, whole.bottom)
        return WholeBody(whole, visible_shares(whole, box, num_parts))

    def _expected_height(self, box: Box, frame_height: int) -> float:
        if len(self._heights) >= 3:
            # Who walks away gets narrower as well; who is hidden below the knee does not.
            by_width = float(np.quantile(self._shapes, QUANTILE)) * box.width
            return min(float(np.quantile(self._heights, QUANTILE)), by_width)
        cut = box.top <= EDGE or box.bottom >= frame_height - EDGE
        if cut and box.width > MAX_ASPECT * box.height:
            return box.width / WHOLE_ASPECT
        return box.height

    def _extend(self, box: Box, expected: float, frame_height: int) -> Box:
        """Extend the edge that moved away from where the body was; feet when in doubt."""
        at_bottom = box.bottom >= frame_height - EDGE
        at_top = box.top <= EDGE
        if self._edges is not None and not at_bottom and not at_top:
            top_moved = abs(box.top - self._edges[0])
            bottom_moved = abs(box.bottom - self._edges[1])
            if top_moved > bottom_moved:
                return Box(box.left, box.bottom - expected, box.right, box.bottom)
        if at_top and not at_bottom:
            return Box(box.left, box.bottom - expected, box.right, box.bottom)
        return Box(box.left, box.top, box.right, box.top + expected)


def visible_shares(whole: Box, seen: Box, num_parts: int) -> tuple[float, ...]:
    """Per stripe of `whole`, the share of its rows that lie inside `seen`."""
    edges = np.linspace(whole.top, whole.bottom, num_parts + 1)
    inside = np.minimum(edges[1:], seen.bottom) - np.maximum(edges[:-1], seen.top)
    step = max(whole.height / num_parts, 1e-9)
    return tuple(float(v) for v in np.clip(inside / step, 0.0, 1.0))


def crop(image: np.ndarray, box: Box, margin: float = 0.0) -> np.ndarray | None:
    """Cut a box out of a (H, W, 3) uint8 BGR frame; None if nothing of it is inside.

    What lies outside the frame is filled with the nearest pixels' mean colour,
    so that the stripes keep their place on the body.
    """
    dx, dy = margin * box.width, margin * box.height
    left, top = round(box.left - dx), round(box.top - dy)
    right, bottom = round(box.right + dx), round(box.bottom + dy)
    height, width = image.shape[:2]
    x0, y0, x1, y1 = max(left, 0), max(top, 0), min(right, width), min(bottom, height)
    if x1 - x0 < 2 or y1 - y0 < 2:
        return None
    inner = image[y0:y1, x0:x1]
    if (x0, y0, x1, y1) == (left, top, right, bottom):
        return np.ascontiguousarray(inner)
    out = np.empty((bottom - top, right - left, 3), np.uint8)
    out[:] = inner.mean((0, 1))
    out[y0 - top : y1 - top, x0 - left : x1 - left] = inner
    return out
