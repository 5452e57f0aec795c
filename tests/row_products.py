"""Products over the rows of a list of pixels, as a kernel takes them and in float64.

Most inputs are small integers: their sums are exact in float32 in any order, so that the results
must be equal to the last bit.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from native_planes import ACTIVE, flat, plane_of, unfold

from smsr_plugin.sparse.native import packing

NEIGHBOURS = [(dy, dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
#: Pixels of one work item, `kRowBlock` of csrc/kernels.h.
ROW_BLOCK = 48


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
