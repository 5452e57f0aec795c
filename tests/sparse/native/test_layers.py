"""A block's sparse layers in each arithmetic, block after block in the same planes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_networks import KernelsOf
from native_planes import (
    activity_of,
    assert_planes_equal,
    conv3x3,
    fold,
    inside,
    plane_shape,
    rounded,
)

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import BFLOAT16, BFLOAT16_MATRIX, FLOAT32
from smsr_plugin.sparse.native.layers import MaskedConv
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import MaskLists, Run

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Winograd's transforms round; sums of integers elsewhere are exact.
WINOGRAD_ERROR = 1e-5
#: With products in bfloat16, of the root of the number of terms.
HALF_ERROR = 0.05

#: By the instruction set that their weights are packed for.
HALVES = {"avx512_bf16": BFLOAT16, "amx": BFLOAT16_MATRIX, "neon_bf16": BFLOAT16}
ARITHMETICS = {"": FLOAT32} | {isa: HALVES[isa] for isa in kernels.available() if isa in HALVES}
PLANS = [(isa, place) for isa in ARITHMETICS for place in ("tiles", "pixels")]
per_plan = pytest.mark.parametrize("plan", PLANS, ids=" ".join)


class Layer(NamedTuple):
    """A layer of a block: its mask, and how many of its channels are dense."""

    mask: np.ndarray
    dense_in: int | None
    dense: int


def run_layers(plan, count, layers, seed=0):
    """Compute a layer of each of several blocks, which share their planes, and check each."""
    planes, rng = Planes(), np.random.default_rng(seed)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "smsr_plugin.sparse.native.layers.tiles_are_cheaper", lambda *_: plan[1] == "tiles"
        )
        for layer in layers:
            planes.resize(*layer.mask.shape)
            check_layer(plan, planes, count, layer, rng)


def check_layer(plan, planes, count, layer, rng):
    isa, place = plan
    arithmetic = ARITHMETICS[isa]
    mask, dense_in, dense = layer
    size = mask.shape
    image = rng.integers(0, 2, (count, *size)).astype(np.float32)
    kernel = rng.integers(-1, 2, (count, count, 3, 3)).astype(np.float64)
    x, out = (arithmetic.plane(planes, name, count) for name in ("x", "out"))
    x[...] = input_plane(image, mask, dense_in, x.dtype)
    planes.activity()[...] = activity_of(mask)
    run = Run(KernelsOf(isa, isa=lambda: isa) if isa else kernels, planes, 1)
    listed = MaskLists.of(run, planes.activity())
    conv = MaskedConv(
        arithmetic, kernel, dense, count if dense_in is None else dense_in, None, True
    )
    sums = conv(run, x, out, listed)

    value, of_channel = expected_values(image, kernel, layer)
    tolerance = WINOGRAD_ERROR * (1 + value.max())
    if isa:  # sums of integers are exact, but of Winograd's transforms
        exact = place == "pixels" or isa == "amx"
        tolerance = 0 if exact else HALF_ERROR * (9 * count) ** 0.5
    expected = np.zeros((*plane_shape(*size), len(out) * out.shape[3]))
    inside(expected, *size)[..., :count] = rounded(value, x.dtype)
    found = out.copy()
    forget_sparse(found, mask, dense)  # they are not read at inactive pixels
    assert_planes_equal(found, expected, tolerance)
    np.testing.assert_allclose(sums, of_channel, rtol=0, atol=tolerance * (1 + mask.size))


def input_plane(image, mask, dense, dtype):
    """Return a layer's input as the layer before leaves it.

    Sparse channels may hold anything at inactive pixels, but in the line that begins with dense
    ones.
    """
    line = packing.HALF_LINE if dtype == np.uint16 else packing.LINE
    values = np.zeros((*plane_shape(*mask.shape), packing.padded(len(image), line)), np.float32)
    inside(values, *mask.shape)[..., : len(image)] = image.transpose(1, 2, 0)
    if dense is not None:
        hidden = inside(values, *mask.shape)
        hidden[~mask, dense:] = 0
        hidden[~mask, packing.padded(dense, line) :] = np.nan
    return fold(values, dtype)


def expected_values(image, kernel, layer):
    """Return a layer's outputs, (H, W, N), zero where they do not exist, and their sums."""
    mask, dense_in, dense = layer
    dense_in = len(image) if dense_in is None else dense_in
    seen = image.copy()
    seen[dense_in:, ~mask] = 0
    value = np.maximum(conv3x3(seen, kernel), 0)
    seen[dense_in:] = 0
    value[~mask] = np.maximum(conv3x3(seen, kernel), 0)[~mask]
    value[~mask, dense:] = 0
    return value, value.sum((0, 1))


def forget_sparse(plane, mask, dense):
    """Zero the sparse channels of a plane at inactive pixels."""
    for line, values in enumerate(plane):
        first = max(dense - line * plane.shape[3], 0)
        inside(values, *mask.shape)[~mask, first:] = 0


@st.composite
def sequences(draw):
    """Draw a number of channels and the layers of up to four blocks, at one or two sizes."""
    count = draw(st.sampled_from([6, 16, 33, 40, 64, 80]))
    sizes = draw(st.lists(st.tuples(st.integers(1, 9), st.integers(1, 40)), min_size=1, max_size=2))
    channels = st.one_of(st.sampled_from([0, count]), st.integers(0, count))
    layers = []
    for _ in range(draw(st.integers(1, 4))):
        rng = np.random.default_rng(draw(st.integers(0, 999)))
        density = draw(st.sampled_from([0.0, 0.02, 0.5, 1.0]))
        mask = rng.random(draw(st.sampled_from(sizes))) < density
        layers.append(Layer(mask, draw(st.none() | channels), draw(channels)))
    return count, layers


@per_plan
@given(sequence=sequences(), seed=st.integers(0, 999))
@settings(max_examples=80)
def test_equals_the_formula_whatever_the_blocks_before_have_left(plan, sequence, seed):
    run_layers(plan, *sequence, seed=seed)


def rows_of(*active, size=(9, 37)):
    """Return the mask of whole rows."""
    mask = np.zeros(size, bool)
    mask[list(active)] = True
    return mask


@per_plan
@pytest.mark.parametrize("count", [16, 32, 64])
@pytest.mark.parametrize("dense", [0, 1, 16, 17, 32, 33, 64])
def test_boundaries_of_dense_channels(plan, count, dense):
    if dense <= count:
        run_layers(plan, count, [Layer(rows_of(2, 3, 8), dense, dense)])


@per_plan
@pytest.mark.parametrize("kind", ["no pixel", "one pixel", "all but one pixel", "every pixel"])
@pytest.mark.parametrize("size", [(1, 1), (2, 15), (3, 16), (5, 17), (4, 32)])
def test_boundaries_of_masks(plan, kind, size):
    mask = np.full(size, kind.endswith("every pixel"))
    if kind.endswith("one pixel"):
        mask[-1, -1] = True
    run_layers(plan, 40, [Layer(~mask if kind.startswith("all") else mask, 7, 3)])


@per_plan
def test_nothing_is_left_of_a_mask_that_was_larger(plan):
    masks = [rows_of(*range(9)), rows_of(4), rows_of(), rows_of(7, 8), rows_of(0)]
    scattered = np.random.default_rng(0).random(masks[0].shape) < 0.1
    masks += [masks[0], scattered, scattered & masks[1]]  # within runs
    run_layers(plan, 64, [Layer(mask, 20, 20) for mask in masks])


@per_plan
@pytest.mark.parametrize("other", [(12, 30), (3, 70), (4, 5), (37, 9)])
def test_nothing_is_left_of_an_image_of_another_size(plan, other):
    masks = [rows_of(1, size=other), rows_of(2), rows_of(1, size=other), rows_of()]
    run_layers(plan, 64, [Layer(mask, 20, 20) for mask in masks])


@per_plan
@pytest.mark.parametrize(("before", "after"), [(64, 0), (33, 32), (96, 40), (0, 64)])
def test_nothing_is_left_of_a_block_with_more_dense_channels(plan, before, after):
    """Their lines were written everywhere, and are not dense any more."""
    mask = rows_of(1, 2)
    run_layers(plan, 96, [Layer(mask, 20, before), Layer(mask, 20, after)])
