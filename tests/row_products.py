"""Products over the rows of a list of pixels, as a kernel takes them and in float64.

Most inputs are small integers: their sums are exact in float32 in any order, so that the results
must be equal to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from hypothesis import strategies as st
from native_planes import ACTIVE, flat, plane_of, unfold

from smsr_plugin.sparse.native import packing

NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
#: Pixels of one work item, `kRowBlock` of csrc/kernels.h.
ROW_BLOCK = 48
#: Counts of channels below, at and beyond the vectors and panels of every instruction set.
counts = st.sampled_from([1, 3, 8, 15, 16, 17, 32, 40, 64, 80])


def integers(rng, *shape):
    """Return integers of −3…3."""
    return rng.integers(-3, 4, shape).astype(np.float32)


def integer_plane(rng, size, channels, products):
    return plane_of(integers(rng, channels, *size), dtype=products.dtype)


class Source(NamedTuple):
    """A source as the kernel takes it."""

    plane: np.ndarray
    dy: int
    dx: int
    first: int
    channels: int
    activity: np.ndarray | None


def product(pixels, sources, weights):
    """Return the sum over sources of row(pixel + offset)·weights in float64, (pixels, N)."""
    value, k = np.zeros((len(pixels), weights.shape[1])), 0
    for source in sources:
        values = unfold(source.plane)
        at = pixels + source.dy * values.shape[1] + source.dx
        last = source.first + source.channels
        seen = flat(values)[at, source.first : last].astype(np.float64)
        if source.activity is not None:
            seen[source.activity.ravel()[at] != ACTIVE] = 0
        value += seen @ weights[k : k + source.channels].astype(np.float64)
        k += source.channels
    return value


def padded(values, line=packing.LINE):
    """Pad the last axis with zeros to whole panels, or lines."""
    return packing.pad(values, values.ndim - 1, packing.padded(values.shape[-1], line))


def stored(values, products):
    """Return what a plane keeps of values, filled up to whole lines."""
    return padded(products.kept(values), products.line)


def draw_chain(products, data, rng, size, pixels, value, residual):
    """Return a chain for the kernel, and what its plane should hold afterwards."""
    count = data.draw(counts)
    depths = [value.shape[1]]
    if residual is not None and data.draw(st.booleans()):
        value, depths = np.concatenate([residual, value], 1), depths * 2
    weights = padded(integers(rng, value.shape[1], count))
    spare = data.draw(st.sampled_from([0, products.line]))
    out = integer_plane(rng, size, weights.shape[1] + spare, products)
    bias = integers(rng, weights.shape[1]) if data.draw(st.booleans()) else None
    relu = data.draw(st.booleans())
    expected = unfold(out).astype(np.float64)
    start = flat(expected)[pixels, : weights.shape[1]] if bias is None else bias
    result = start + products.rounded(value) @ weights
    kept = stored(np.maximum(result, 0) if relu else result, products)
    flat(expected)[pixels, : kept.shape[1]] = kept
    return (products.product(weights, depths), bias, out, relu), expected
