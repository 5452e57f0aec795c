from __future__ import annotations

from itertools import combinations

from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.compare.labels import MARKER, Box, places

FRAME = Box(0, 0, 400, 300)
POINTS = st.lists(st.tuples(st.floats(0, 400), st.floats(0, 300), st.floats(5, 90)), max_size=12)


@given(POINTS)
def test_no_text_covers_another_or_a_point_or_leaves_the_frame(points):
    pixels = [(x, y) for x, y, _ in points]
    sizes = [(width, 11.0) for _, _, width in points]
    found = places(pixels, sizes, FRAME)
    assert len(found) == len(points)
    boxes = [
        Box.around(place.x, place.y, *size)
        for place, size in zip(found, sizes, strict=True)
        if place is not None
    ]
    assert not any(box.meets(other) for box, other in combinations(boxes, 2))
    markers = [Box.around(x, y, 2 * MARKER, 2 * MARKER) for x, y in pixels]
    assert not any(box.meets(marker) for box in boxes for marker in markers)
    assert all(box.within(FRAME) for box in boxes)
    assert len(boxes) == len(points)  # there is room for a dozen


def test_a_text_stands_to_the_right_of_a_lonely_point():
    (place,) = places([(100, 100)], [(40, 10)], FRAME)
    assert (place.y, place.x - 20 > 100 + MARKER) == (100, True)
    (place,) = places([(399, 100)], [(40, 10)], FRAME)
    assert place.x + 20 < 399 - MARKER


def test_a_text_larger_than_the_frame_has_no_place():
    assert places([(100, 100)], [(500, 10)], FRAME) == [None]
