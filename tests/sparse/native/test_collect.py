"""The fuse of each block's layers, and the product over the outputs of all blocks."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import activity_of, assert_planes_equal, inside, plane_of, rounded, unfold

from smsr_plugin.sparse.native import bfloat16, float32, mixed
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import BlockMask, Run

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

ARITHMETICS = [float32] + [bfloat16, mixed] * kernels.has_half()
per_arithmetic = pytest.mark.parametrize("arithmetic", ARITHMETICS, ids=lambda a: a.__name__[26:])


class Network:
    """Blocks of random integers: exact in float32, rounded where bfloat16 stores them."""

    def __init__(self, arithmetic, mask, blocks, channels, layers=2):
        self.arithmetic, self.mask, self.channels = arithmetic, mask, channels
        self.rng = np.random.default_rng(0)
        self.planes = Planes()
        self.planes.resize(*mask.shape)
        self.planes.activity()[...] = activity_of(mask)
        self.run = Run(kernels, self.planes, 1)
        self.listed = BlockMask.of(self.run, self.planes.activity())
        self.dense = [
            [(7 * k + 5 * i) % (channels + 1) for i in range(layers)] for k in range(blocks)
        ]
        self.weights = [self.integers(channels, channels) for _ in range(blocks)]
        self.bias = self.integers(channels)

    def integers(self, *shape, low=-1):
        return self.rng.integers(low, 2, shape).astype(np.float64)

    def plane(self, name, values):
        """Return a plane that holds (H, W, C) values."""
        plane = self.arithmetic.plane(self.planes, name, self.channels)
        plane[...] = plane_of(values.transpose(2, 0, 1), dtype=plane.dtype)
        return plane

    def layer(self, name, dense):
        """Return a layer's output as (H, W, C) and as a plane; sparse channels are NaN where
        they may not be seen, and zero in planes of bfloat16."""
        values = self.integers(*self.mask.shape, self.channels, low=0)
        values[~self.mask, dense:] = 0
        hidden = values.copy()
        if self.arithmetic is not bfloat16:
            hidden[~self.mask, dense:] = np.nan
        return values, self.plane(name, hidden)

    def rounded(self, values):
        return rounded(values, np.uint16) if self.arithmetic is bfloat16 else values

    def check(self):
        """Run the blocks, and compare each block's output and the product over all of them."""
        feature = self.integers(*self.mask.shape, self.channels)
        x = self.plane("head", feature)
        collect = self.arithmetic.Collect(self.weights, self.bias)
        total = self.bias
        for block, dense in enumerate(self.dense):
            layers = [self.layer(f"layer{i}", count) for i, count in enumerate(dense)]
            fuse = [self.integers(self.channels, self.channels) for _ in dense]
            bias, scale = self.integers(self.channels), 2.0 ** self.integers(self.channels)
            out, chain = collect.output(self.run, block), collect.chain(self.run, block)
            self.arithmetic.Fuse(fuse, dense, bias)(
                self.run, x, [plane for _, plane in layers], out, self.listed, scale, chain
            )
            fused = sum(values @ weight for (values, _), weight in zip(layers, fuse, strict=True))
            feature = self.rounded(feature + scale * (fused + bias))
            self.compare(out, feature)
            total = total + feature @ self.weights[block]
            x = out
        self.compare(collect.finish(self.run), self.rounded(np.maximum(total, 0)))

    def compare(self, plane, values):
        expected = np.zeros_like(unfold(plane), np.float64)
        inside(expected, *self.mask.shape)[..., : self.channels] = values
        assert_planes_equal(plane, expected)


@per_arithmetic
@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("channels", [1, 20, 64])
def test_blocks_are_collected_alone_and_in_pairs(arithmetic, blocks, channels):
    mask = np.random.default_rng(blocks).random((5, 37)) < 0.3
    Network(arithmetic, mask, blocks, channels).check()


@per_arithmetic
@pytest.mark.parametrize("size", [(1, 1), (1, 16), (3, 17)])
@pytest.mark.parametrize("active", [False, True])
def test_masks_that_are_empty_or_full(arithmetic, size, active):
    Network(arithmetic, np.full(size, active), 3, 40).check()


@per_arithmetic
def test_a_block_without_dense_channels_adds_its_bias_to_inactive_pixels(arithmetic):
    network = Network(arithmetic, np.arange(3 * 40).reshape(3, 40) < 50, 2, 20)
    network.dense = [[0, 0], [0, 0]]
    network.check()
