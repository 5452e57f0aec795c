"""Lists of all tiles, pixels and runs, and what a block's mask lists, block after block."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import SIZES, in_runs, in_tiles, inside, pixels_where, run_columns

from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import (
    MaskLists,
    Run,
    all_pixels,
    all_runs,
    all_tiles,
    paired_runs,
)

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

per_size = pytest.mark.parametrize("size", SIZES)


def mark(planes, mask):
    """Return the list of what a mask marks."""
    activity = planes.activity()
    inside(activity, *mask.shape)[:] = np.where(mask, kernels.ACTIVE, kernels.INACTIVE)
    return MaskLists.of(Run(kernels, planes, 1), activity)


@per_size
def test_lists_of_everything(size):
    everything = np.ones(size, bool)
    assert all_pixels(*size).tolist() == pixels_where(everything).tolist()
    assert np.array_equal(in_tiles(all_tiles(*size), *size), everything)
    assert inside(in_runs(all_runs(*size), *size), *size).all()
    for found in (all_tiles(*size), all_pixels(*size), all_runs(*size)):
        assert found.dtype == np.int32
        assert np.array_equal(found, np.unique(found))


@per_size
def test_runs_in_pairs_hold_every_run_and_the_one_below_it(size):
    size = (2 * size[0], size[1])
    runs = paired_runs(*size)
    assert runs.dtype == np.int32
    upper, lower = runs.reshape(-1, 2).T
    assert np.array_equal(lower, upper + run_columns(size[1]))
    assert (upper // run_columns(size[1]) % 2 == 0).all()
    assert sorted(runs) == all_runs(*size).tolist()


@given(
    size=st.tuples(st.integers(1, 6), st.integers(1, 50)),
    density=st.sampled_from([0.0, 0.03, 0.5, 1.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_runs_without_an_active_pixel_are_idle(size, density, seed):
    planes = Planes()
    planes.resize(*size)
    mask = np.random.default_rng(seed).random(size) < density
    found = mark(planes, mask)
    active = {r for r in all_runs(*size) if mask[inside(in_runs([r], *size), *size)].any()}
    assert set(found.active_runs) == active
    assert found.idle_runs.tolist() == sorted(set(all_runs(*size)) - active)
    assert found.idle_runs.dtype == np.int32
