import pytest

from pipeline.config import CameraConfig
from pipeline.redact import SourceUrl
from pipeline.zones import contains, inside
from trackers.records import Box

LEFT_HALF = ((0.0, 0.0), (0.5, 0.0), (0.5, 1.0), (0.0, 1.0))
LOW_LEFT = ((0.0, 0.5), (0.5, 0.5), (0.5, 1.0), (0.0, 1.0))
L_SHAPE = ((0.0, 0.0), (1.0, 0.0), (1.0, 0.2), (0.2, 0.2), (0.2, 1.0), (0.0, 1.0))


def camera(zones=(), masks=()):
    return CameraConfig(id="a", url=SourceUrl("a.mp4"), zones=zones, masks=masks)


def standing_at(x, y):
    return Box(x - 10, y - 50, x + 10, y)


@pytest.mark.parametrize(
    ("zones", "masks", "foot", "expected"),
    [
        ((), (), (150, 90), True),  # neither: all count
        ((LEFT_HALF,), (), (50, 90), True),
        ((LEFT_HALF,), (), (150, 90), False),
        ((), (LEFT_HALF,), (50, 90), False),  # a mask excludes
        ((), (LEFT_HALF,), (150, 90), True),
        ((LEFT_HALF,), (LOW_LEFT,), (50, 90), False),  # a mask wins over a zone
        ((LEFT_HALF,), (LOW_LEFT,), (50, 40), True),
        ((LOW_LEFT,), (), (50, 40), False),  # the feet decide, not the head
        ((LEFT_HALF,), (), (50, 130), True),  # cut off below: stands on the edge
        ((LEFT_HALF,), (), (-20, 50), True),  # half out at the left
        ((LOW_LEFT, L_SHAPE), (), (190, 10), True),  # any zone is enough
    ],
)
def test_inside(zones, masks, foot, expected):
    assert inside(camera(zones, masks), standing_at(*foot), 200, 100) is expected


def test_the_foot_decides_not_the_overlap():
    box = Box(90, 0, 140, 90)  # most of it right, and its foot at x = 115
    assert not inside(camera((LEFT_HALF,)), box, 200, 100)
    assert inside(camera((LEFT_HALF,)), Box(60, 0, 138, 90), 200, 100)  # foot at 99


def test_contains_agrees_with_opencv_on_a_grid():
    """OpenCV's pointPolygonTest is the independent judge, on a concave shape."""
    cv2 = pytest.importorskip("cv2")
    import numpy as np

    contour = np.array(L_SHAPE, dtype=np.float32)
    for x in np.linspace(-0.05, 1.05, 23):
        for y in np.linspace(-0.05, 1.05, 23):
            expected = cv2.pointPolygonTest(contour, (float(x), float(y)), True)
            if abs(expected) > 1e-6:
                assert contains(L_SHAPE, (float(x), float(y))) == (expected > 0)
    for point in L_SHAPE:
        assert contains(L_SHAPE, point)
