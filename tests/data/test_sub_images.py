"""The grid of sub-images covers the image, on the same places for HR and LR."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.data.entries import Grid


@pytest.mark.parametrize(
    ("length", "grid", "starts"),
    [
        (480, Grid(480, 240), [0]),
        (720, Grid(480, 240), [0, 240]),
        (721, Grid(480, 240), [0, 240, 241]),
        (2040, Grid(480, 240), [0, 240, 480, 720, 960, 1200, 1440, 1560]),  # DIV2K's width
        (721, Grid(480, 240, thresh_size=1), [0, 240]),
        (722, Grid(480, 240, thresh_size=1), [0, 240, 242]),
        (25, Grid(10, 15), [0, 15]),
    ],
)
def test_starts_follow_basicsr(length, grid, starts):
    assert grid.starts(length) == starts


@given(st.integers(1, 30), st.integers(1, 30), st.integers(0, 90))
def test_nothing_is_left_out_while_the_step_is_not_larger_than_the_crop(crop_size, step, more):
    grid = Grid(crop_size, min(step, crop_size))
    covered = {s + i for s in grid.starts(crop_size + more) for i in range(crop_size)}
    assert covered == set(range(crop_size + more))


@given(
    st.integers(2, 4), st.integers(1, 9), st.integers(1, 9), st.integers(0, 40), st.integers(0, 40)
)
def test_lr_sub_images_lie_where_those_of_hr_do(scale, crop_size, step, more, thresh_size):
    grid = Grid(crop_size * scale, step * scale, thresh_size)
    hr_starts = grid.starts((crop_size + more) * scale)
    assert [s * scale for s in grid.shrunk(scale).starts(crop_size + more)] == hr_starts


def test_cut_goes_row_by_row():
    image = np.arange(6 * 9 * 3).reshape(6, 9, 3).astype(np.uint8)
    grid = Grid(4, 3)
    pieces = list(grid.cut(image))
    assert len(pieces) == grid.count(6, 9) == 6
    for piece, (top, left) in zip(pieces, [(t, s) for t in (0, 2) for s in (0, 3, 5)], strict=True):
        np.testing.assert_array_equal(piece, image[top : top + 4, left : left + 4])


def test_bad_grids_and_sides_are_refused():
    with pytest.raises(ValueError, match="at least 1 and thresh_size at least 0, got 0, 1 and 0"):
        Grid(0, 1)
    with pytest.raises(ValueError, match="step 241 is not a multiple of scale 2"):
        Grid(480, 241).shrunk(2)
    with pytest.raises(ValueError, match="a side of 479 is shorter than crop_size 480"):
        Grid(480, 240).starts(479)
