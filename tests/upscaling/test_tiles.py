"""Tiles cover an image, overlap as asked, and their weights add up to one everywhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.upscaling.tiles import ALIGNMENT, grid, smallest_tile, spans


@st.composite
def cuts(draw):
    overlap = draw(st.integers(0, 70))
    tile = draw(st.integers(smallest_tile(overlap), smallest_tile(overlap) + 100))
    return draw(st.integers(1, 900)), tile, overlap


@given(cuts())
def test_spans_cover_a_side_and_share_it_out(cut):
    length, tile, overlap = cut
    found = spans(length, tile, overlap)
    total, owners = np.zeros(length), np.zeros(length, int)
    for span in found:
        assert 0 <= span.start < span.stop <= length
        assert span.stop - span.start <= tile
        assert span.start % ALIGNMENT == 0
        total[span.covered] += span.weights()
        owners[span.own] += 1
        assert span.own_within.stop - span.own_within.start == span.own.stop - span.own.start
    assert total == pytest.approx(1, abs=1e-6)
    assert (owners == 1).all()
    for span, following in pairwise(found):
        assert span.stop - following.start == span.after == following.before == overlap
    assert (found[0].before, found[-1].after) == (0, 0)


@given(cuts())
def test_there_are_no_more_tiles_than_needed(cut):
    length, tile, overlap = cut
    step = (tile - overlap) // ALIGNMENT * ALIGNMENT
    needed = 1 if length <= tile else -(-(length - overlap) // step)
    assert len(spans(length, tile, overlap)) <= needed


def test_known_cuts():
    assert [(s.start, s.stop) for s in spans(100, 100, 32)] == [(0, 100)]
    assert [(s.start, s.stop) for s in spans(101, 100, 32)] == [(0, 68), (36, 101)]
    assert [(s.start, s.stop) for s in spans(30, 12, 0)] == [(0, 12), (12, 24), (24, 30)]


def test_weights_rise_and_fall_over_the_overlap():
    first, second = spans(20, 16, 4)
    assert (first.start, first.stop, second.start, second.stop) == (0, 12, 8, 20)
    assert first.weights()[-5:] == pytest.approx([1, 0.875, 0.625, 0.375, 0.125])
    assert second.scaled(2).weights()[:9] == pytest.approx([*np.arange(1, 16, 2) / 16, 1])


def test_a_grid_is_rows_by_columns():
    cells = list(grid(20, 30, 16, 4))
    rows, columns = spans(20, 16, 4), spans(30, 16, 4)
    assert cells == [(row, column) for row in rows for column in columns]
