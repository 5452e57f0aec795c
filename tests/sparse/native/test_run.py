"""Lists of all tiles and pixels, and what a block's mask lists."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import SIZES, activity_of, in_tiles, pixels_where

from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import MaskLists, Run, all_pixels, all_tiles

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

per_size = pytest.mark.parametrize("size", SIZES)


@per_size
def test_lists_of_everything(size):
    everything = np.ones(size, bool)
    assert all_pixels(*size).tolist() == pixels_where(everything).tolist()
    assert np.array_equal(in_tiles(all_tiles(*size), *size), everything)
    for found in (all_tiles(*size), all_pixels(*size)):
        assert found.dtype == np.int32
        assert np.array_equal(found, np.unique(found))


@per_size
def test_a_mask_lists_its_pixels_and_tiles(size):
    planes = Planes()
    planes.resize(*size)
    mask = np.random.default_rng(0).random(size) < 0.3
    planes.activity()[...] = activity_of(mask)
    lists = MaskLists.of(Run(kernels, planes, 1), planes.activity())
    assert lists.active.tolist() == pixels_where(mask).tolist()
    assert lists.inactive.tolist() == pixels_where(~mask).tolist()
    for active, tiles in ((True, lists.active_tiles), (False, lists.inactive_tiles)):
        wanted = mask == active
        assert lists.counts(active) == (len(tiles), wanted.sum())
        assert not (wanted & ~in_tiles(tiles, *size)).any()
        assert all((wanted & in_tiles([tile], *size)).any() for tile in tiles)
