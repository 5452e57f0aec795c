from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.compare.plots import frontier

VALUES = st.integers(-5, 5).map(float)


@given(st.lists(st.tuples(VALUES, VALUES), max_size=12))
def test_exactly_the_points_that_none_dominates(points):
    def dominated(point):
        return any(
            other != point and other[0] <= point[0] and other[1] >= point[1] for other in points
        )

    assert frontier(points) == sorted({point for point in points if not dominated(point)})
