"""Scratch planes: zero borders, memory that is used again, one caller at a time."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import plane_shape

from smsr_plugin.sparse.native.planes import PlanePool, Planes

sizes = st.tuples(st.integers(1, 20), st.integers(1, 40))
KINDS = ["float32", "uint16", "half size", "activity"]


def get(planes, kind):
    """Return a plane of a kind, as (lines, rows, stride, ...), and the size of its image."""
    height, width = planes.height, planes.width
    if kind == "activity":
        return planes.activity()[None], (height, width)
    if kind == "half size":
        size = (height + 1) // 2, (width + 1) // 2
        return planes.plane(kind, 18, size=size), size
    return planes.plane(kind, 33, np.dtype(kind).type), (height, width)


@given(st.lists(st.tuples(sizes, st.sampled_from(KINDS)), min_size=1, max_size=8))
@settings(max_examples=100)
def test_borders_are_zero_whatever_the_size_before(uses):
    planes = Planes()
    for size, kind in uses:
        planes.resize(*size)
        plane, (height, width) = get(planes, kind)
        assert plane.shape[1:3] == plane_shape(height, width)
        border = plane.copy()
        border[:, 1 : height + 1, 1 : width + 1] = 0
        assert not border.any()
        plane[:, 1 : height + 1, 1 : width + 1] = 1  # what a kernel writes


@pytest.mark.parametrize(
    ("channels", "dtype", "lines", "line"),
    [
        (1, np.float32, 1, 16),
        (16, np.float32, 1, 16),
        (17, np.float32, 2, 16),
        (1, np.uint16, 1, 32),
        (32, np.uint16, 1, 32),
        (33, np.uint16, 2, 32),
    ],
)
def test_channels_are_cut_into_cache_lines(channels, dtype, lines, line):
    planes = Planes()
    planes.resize(5, 17)
    assert planes.plane("x", channels, dtype).shape == (lines, 10, 34, line)
    assert planes.activity().shape == (10, 34)


def test_a_plane_keeps_its_contents_while_the_size_stays():
    planes = Planes()
    planes.resize(5, 6)
    planes.plane("x", 2)[:] = 7
    planes.activity()[:] = 2
    planes.resize(5, 6)
    assert (planes.plane("x", 2) == 7).all()
    assert (planes.activity() == 2).all()
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


def test_planes_of_fewer_channels_take_the_first_lines_of_the_room():
    planes = Planes()
    planes.resize(5, 6)
    small, large = planes.plane("x", 16, room=40), planes.plane("x", 40, room=40)
    assert (len(small), len(large)) == (1, 3)
    assert np.shares_memory(small, large[:1])
    assert not np.shares_memory(small, large[1:])


@pytest.mark.parametrize("dtype", [np.float32, np.uint16, np.uint8])
def test_planes_begin_with_a_cache_line_and_are_contiguous(dtype):
    planes = Planes()
    for size in [(5, 6), (9, 20), (3, 3)]:
        planes.resize(*size)
        plane = planes.activity() if dtype == np.uint8 else planes.plane("x", 64, dtype)
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
