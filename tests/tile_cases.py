"""Random convolutions by Winograd at a list of tiles, and what they should be in float64."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import conv3x3, filled_plane, inside, plane_of, unfold

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Rounding to float32, 24 bits.
FLOAT_EPS = 2.0**-24

#: The error of F(4×4, 3×3) relative to that of the direct sum, roundings taken as independent. The
#: bound, |Aᵀ|(|G||g||Gᵀ| ⊙ |Bᵀ||d||B|)|A| over |g|∗|d|, is 69; random data reach 22, one number 43.
WINOGRAD_GROWTH = 64.0


def rounding(image, kernel, eps):
    """Return the error allowed in a convolution of (K, H, W) with (N, K, 3, 3)."""
    energy = conv3x3(image.astype(np.float64) ** 2, kernel.astype(np.float64) ** 2)
    # A sum of float32 rounds at each of its terms, in bfloat16 only the terms are rounded.
    terms = kernel[0].size if eps == FLOAT_EPS else 1
    return WINOGRAD_GROWTH * eps * np.sqrt(terms * energy.max())


class Case:
    """Random inputs of a call, and what it should leave in `out`."""

    def __init__(self, size, tiles, depth=16, count=16, seed=0):
        self.size, self.tiles = size, np.array(tiles, np.int32)
        self.rng = np.random.default_rng(seed)
        self.image = self.rng.standard_normal((depth, *size), np.float32)
        self.kernel = self.rng.standard_normal((count, depth, 3, 3), np.float32)
        self.depth, self.count = packing.padded(depth), packing.padded(count)

    def __repr__(self):
        return f"Case({self.size}, {self.tiles.tolist()}, weights {self.kernel.shape})"

    def x(self, products):
        """Return the input's plane."""
        return plane_of(self.image, dtype=products.dtype)

    def values(self, products, bias=None, residual=None, relu=False):
        """Return what the convolution gives at every pixel, (H, W, N padded), and its tolerance.

        What is stored in bfloat16 is rounded, and filled up to whole lines with zeros.
        """
        image = products.kept(self.image)
        value = np.zeros((*self.size, self.count))
        value[..., : len(self.kernel)] = conv3x3(image, self.kernel)
        if bias is not None:
            value += bias
        if residual is not None:
            value += inside(unfold(residual), *self.size)[..., : self.count]
        tolerance = rounding(image, self.kernel, products.eps)
        tolerance += 4 * FLOAT_EPS * np.abs(value).max()
        if products.half:
            tolerance += 2.0**-9 * np.abs(value).max()
        value = packing.pad(value, 2, packing.padded(self.count, products.line))
        return (np.maximum(value, 0) if relu else value), tolerance

    def run(self, out, products, x=None, **options):
        return kernels.tiles(
            *self.size,
            self.tiles,
            self.x(products) if x is None else x,
            products.winograd(self.kernel),
            out,
            isa=products.isa,
            **options,
        )

    def vector(self):
        return self.rng.standard_normal(self.count, np.float32)

    def plane(self, channels, products):
        values = self.rng.standard_normal((channels, *self.size), np.float32)
        return plane_of(values, channels, products.dtype)

    def filled(self, products, channels=0):
        """Return a plane to write into."""
        return filled_plane(*self.size, max(channels, self.count), dtype=products.dtype)
