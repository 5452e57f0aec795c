"""Arrays that overlap, or begin at an odd byte, are refused."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import (
    HALF,
    SHAPE,
    SIZE,
    chain,
    check,
    half_plane,
    plane,
    side,
    source,
)
from native_planes import copy_at


def shifted_views(array):
    """Return two arrays of equal shape in one memory, the second a pixel further on."""
    step = array.shape[-1]  # within a line
    memory = np.zeros(array.size + step, array.dtype)
    return memory[: array.size].reshape(array.shape), memory[step:].reshape(array.shape)


X = plane()


HALF_X, SMALL = half_plane(), plane(size=HALF)


FIRST_VIEW, SECOND_VIEW = shifted_views(plane())


FIRST_HALF, SECOND_HALF = shifted_views(half_plane())


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("tiles", {"x": X, "out": X}),
        ("tiles", {"x": FIRST_VIEW, "out": SECOND_VIEW}),
        ("tiles", {"residual": FIRST_VIEW, "out": SECOND_VIEW}),
        ("rows", {"sources": [source(X)], "out": X}),
        ("rows", {"sources": [source(X, dx=1)], "out": X}),
        ("rows", {"sources": [source(FIRST_VIEW)], "out": SECOND_VIEW}),
        ("rows", {"out": X, "chain": chain(out=X)}),
        ("rows", {"sources": [source(X, dy=1)], "chain": chain(out=X)}),
        ("rows", {"residual": X, "chain": chain(out=X)}),
        ("strided", {"size": HALF, "x": SMALL, "out_size": (2, 2), "out": SMALL[:, :6]}),
        ("attend", {"row": FIRST_VIEW, "out": SECOND_VIEW}),
        ("attend", {"x": FIRST_VIEW, "out": SECOND_VIEW}),
        ("blend", {"active": side(X), "out": X}),
        ("blend", {"inactive": side(FIRST_VIEW), "out": SECOND_VIEW}),
    ],
)
def test_outputs_that_other_pixels_would_read(function, changes):
    check(function, ValueError, "must not overlap", changes)


def list_within(array, values):
    """Return a list of indices in the memory of `array`, where it would be overwritten."""
    indices = array.reshape(-1).view(np.int32)[: len(values)]
    indices[:] = values
    return indices


TILED, LISTED = plane(), plane()


LISTED_HALF = half_plane()


PIXEL = 3 * SHAPE[1] + 3


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("tiles", {"tiles": list_within(TILED, [0]), "out": TILED}),
        ("rows", {"pixels": list_within(LISTED, [PIXEL]), "out": LISTED}),
        ("rows", {"pixels": list_within(LISTED, [PIXEL]), "chain": chain(out=LISTED)}),
    ],
)
def test_lists_that_the_output_would_overwrite(function, changes):
    check(function, ValueError, "must not overlap", changes)


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("tiles", {"x": copy_at(plane(), byte=1)}),
        ("tiles", {"tiles": copy_at(np.zeros(1, np.int32), byte=1)}),
        ("rows", {"out": copy_at(plane(), byte=1)}),
        ("rows", {"pixels": copy_at(np.full(1, PIXEL, np.int32), byte=1)}),
        ("compose", {"lq": copy_at(np.zeros((3, *SIZE), np.float32), byte=1)}),
    ],
)
def test_arrays_that_begin_at_an_odd_byte(function, changes):
    check(function, ValueError, "must be aligned", changes)
