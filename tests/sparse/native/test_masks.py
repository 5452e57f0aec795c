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

sizes = st.tuples(st.integers(1, 14), st.integers(1, 35))


def decide(products, size, bias=0.0, threshold=0.0, channels=16, threads=1):
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
    channels=st.sampled_from([16, 32]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=100)
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


def check_lists(mask, threads=1):
    height, width = mask.shape
    lists = kernels.list_active(height, width, activity_of(mask), threads=threads)
    assert [found.dtype for found in lists] == [np.int32] * 4
    active, inactive, active_tiles, inactive_tiles = lists
    assert active.tolist() == pixels_where(mask).tolist()
    assert inactive.tolist() == pixels_where(~mask).tolist()
    every = range(tile_rows(height) * tile_rows(width))
    within = [mask[in_tiles([tile], height, width)] for tile in every]
    assert active_tiles.tolist() == [tile for tile in every if within[tile].any()]
    assert inactive_tiles.tolist() == [tile for tile in every if not within[tile].all()]


@given(
    size=sizes,
    density=st.sampled_from([0.0, 0.05, 0.5, 1.0]),
    threads=st.integers(1, 3),
    seed=st.integers(0, 999),
)
@settings(max_examples=100)
def test_lists_hold_what_the_mask_marks(size, density, threads, seed):
    check_lists(np.random.default_rng(seed).random(size) < density, threads)


@pytest.mark.parametrize("size", [*SIZES, (2, 16), (2, 32), (5, 31)])
@pytest.mark.parametrize("kind", ["no pixel", "the first pixel", "the last pixel", "every pixel"])
def test_boundaries_of_lists(size, kind):
    mask = np.full(size, kind == "every pixel")
    if kind == "the first pixel":
        mask[0, 0] = True
    if kind == "the last pixel":
        mask[-1, -1] = True
    check_lists(mask)


@pytest.mark.parametrize("height", [127, 128, 140, 257])
def test_more_rows_than_pieces_of_work(height):
    rng = np.random.default_rng(height)
    check_lists(rng.random((height, 3)) < 0.5, threads=2)
    products = rng.integers(-3, 4, (9, (height + 1) // 2, 2)).astype(np.float32)
    found = decide(products, (height, 3), threads=2)
    assert np.array_equal(found, expected_activity(products, (height, 3), 0, 0))


def test_what_lies_outside_the_image_is_not_listed():
    activity = np.full(plane_shape(5, 18), ACTIVE, np.uint8)
    active, inactive, active_tiles, inactive_tiles = kernels.list_active(5, 18, activity)
    assert active.tolist() == pixels_where(np.ones((5, 18), bool)).tolist()
    assert active_tiles.tolist() == list(range(2 * 5))
    assert len(inactive) == len(inactive_tiles) == 0
