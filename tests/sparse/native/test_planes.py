"""Scratch planes: zero borders, memory that is used again, one caller at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import inside, plane_shape

from smsr_plugin.sparse.native.planes import PlanePool, Planes

sizes = st.tuples(st.integers(1, 20), st.integers(1, 20))


def border(plane, height, width):
    """Return a copy of a plane whose pixels inside the image are zero."""
    copy = plane.copy()
    inside(copy, height, width)[:] = 0
    return copy


@given(st.lists(st.tuples(sizes, st.booleans()), min_size=1, max_size=6))
@settings(max_examples=50, deadline=None)
def test_borders_are_zero_whatever_the_size_before(uses):
    planes = Planes()
    for size, half in uses:
        planes.resize(*size)
        if half:
            size = (size[0] + 1) // 2, (size[1] + 1) // 2
        plane = planes.plane(f"half {half}", 3, half=half)
        assert plane.shape == (*plane_shape(*size), 3)
        assert plane.dtype == np.float32
        assert not border(plane, *size).any()
        inside(plane, *size)[:] = 1  # what a kernel writes


def test_a_plane_keeps_its_contents_while_the_size_stays():
    planes = Planes()
    planes.resize(5, 6)
    planes.plane("x", 2)[:] = 7
    planes.resize(5, 6)
    assert (planes.plane("x", 2) == 7).all()
    assert not planes.plane("y", 2).any()


def test_memory_is_used_again_for_a_smaller_image():
    planes = Planes()
    planes.resize(40, 40)
    large = planes.plane("x", 16)
    planes.resize(3, 4)
    small = planes.plane("x", 16)
    assert np.shares_memory(small, large)
    planes.resize(40, 40)
    assert np.shares_memory(planes.plane("x", 16), large)


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_planes_begin_with_a_cache_line_and_are_contiguous(dtype):
    planes = Planes()
    planes.resize(5, 6)
    plane = planes.plane("x", 64, dtype)
    assert plane.dtype == dtype
    assert plane.ctypes.data % 64 == 0
    assert plane.flags.c_contiguous


def test_a_pool_lends_planes_to_one_caller_at_a_time():
    pool = PlanePool()
    with pool.lend(4, 4) as first, pool.lend(4, 4) as second:
        assert first is not second
    with pool.lend(8, 9) as again:
        assert again in (first, second)
        assert (again.height, again.width) == (8, 9)


def test_planes_are_given_up_after_an_error():
    pool = PlanePool()
    with pytest.raises(MemoryError), pool.lend(4, 4) as broken:
        raise MemoryError
    with pool.lend(4, 4) as planes:
        assert planes is not broken
