"""From the mask predictor's products to lists of pixels and tiles."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    ACTIVE,
    OUTSIDE,
    SIZES,
    activity_of,
    in_tiles,
    pixels_where,
    plane_of,
    plane_shape,
    tile_rows,
)

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

sizes = st.tuples(st.integers(1, 14), st.integers(1, 14))


def decide(products, size, bias=0.0, threshold=0.0, channels=9, threads=1):
    """Run the kernel on (9, H/2, W/2) products; return the whole plane of activities."""
    activity = np.full(plane_shape(*size), 77, np.uint8)
    plane = plane_of(products, channels)
    kernels.decide(*size, plane, bias, threshold, activity, threads=threads)
    return activity


def expected_activity(products, size, bias, threshold):
    """Add up the products with a transposed convolution whose t-th input has only the t-th tap."""
    kernel = torch.eye(9, dtype=torch.float64).view(9, 1, 3, 3)
    logits = F.conv_transpose2d(
        torch.from_numpy(products)[None].double(), kernel, stride=2, padding=1, output_padding=1
    )
    activity = activity_of((logits[0, 0, : size[0], : size[1]] + bias > threshold).numpy())
    return np.where(activity == OUTSIDE, 77, activity)


@given(
    size=sizes,
    bias=st.integers(-4, 4),
    threshold=st.integers(-2, 2),
    channels=st.sampled_from([9, 16]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=100, deadline=None)
def test_decides_as_the_transposed_convolution(size, bias, threshold, channels, threads, seed):
    rng = np.random.default_rng(seed)
    half = [(length + 1) // 2 for length in size]
    products = rng.integers(-3, 4, (9, *half)).astype(np.float32)  # exact, with many ties
    activity = decide(products, size, bias, threshold, channels, threads)
    assert np.array_equal(activity, expected_activity(products, size, bias, threshold))


@pytest.mark.parametrize("size", SIZES)
def test_boundaries_of_sizes(size):
    half = [(length + 1) // 2 for length in size]
    products = np.random.default_rng(0).integers(-3, 4, (9, *half)).astype(np.float32)
    assert np.array_equal(decide(products, size), expected_activity(products, size, 0, 0))


def test_nan_is_not_important():
    products = np.full((9, 2, 2), np.nan, np.float32)
    assert np.array_equal(
        decide(products, (4, 4)), np.where(activity_of(np.zeros((4, 4))) == OUTSIDE, 77, 1)
    )


def neighbours_of(mask):
    """Return for each marked pixel bit 3 (dy + 1) + dx + 1 where its neighbour is marked."""
    around = np.pad(mask, 1)
    bits = []
    for y, x in np.argwhere(mask):
        near = around[y : y + 3, x : x + 3].ravel()
        bits.append(sum(1 << t for t in range(9) if near[t]))
    return bits


def check_lists(mask, threads=1):
    height, width = mask.shape
    lists = kernels.list_active(height, width, activity_of(mask), threads=threads)
    assert [found.dtype for found in lists] == [np.int32] * 4 + [np.uint16]
    active, inactive, active_tiles, inactive_tiles, neighbours = lists
    assert active.tolist() == pixels_where(mask).tolist()
    assert inactive.tolist() == pixels_where(~mask).tolist()
    every = range(tile_rows(height) * tile_rows(width))
    within = [mask[in_tiles([tile], height, width)] for tile in every]
    assert active_tiles.tolist() == [tile for tile in every if within[tile].any()]
    assert inactive_tiles.tolist() == [tile for tile in every if not within[tile].all()]
    assert neighbours.tolist() == neighbours_of(mask)


@given(
    size=sizes,
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=100, deadline=None)
def test_lists_hold_what_the_mask_marks(size, density, threads, seed):
    check_lists(np.random.default_rng(seed).random(size) < density, threads)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("kind", ["no pixel", "the first pixel", "the last pixel", "every pixel"])
def test_boundaries_of_lists(size, kind):
    mask = np.full(size, kind == "every pixel")
    if kind == "the first pixel":
        mask[0, 0] = True
    if kind == "the last pixel":
        mask[-1, -1] = True
    check_lists(mask)


def test_what_lies_outside_the_image_is_not_listed():
    activity = np.full(plane_shape(5, 6), ACTIVE, np.uint8)
    active, inactive, active_tiles, *_ = kernels.list_active(5, 6, activity)
    assert active.tolist() == pixels_where(np.ones((5, 6), bool)).tolist()
    assert len(inactive) == 0
    assert active_tiles.tolist() == [0, 1, 2, 3]
