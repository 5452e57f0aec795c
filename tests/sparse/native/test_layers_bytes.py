"""A block's layers whose planes hold bytes, one by one, at the widths where lines begin and end."""

from __future__ import annotations

import numpy as np
import pytest
from byte_products import ISA, LINE, MOST, TIE, levels_of, needs_bytes
from native_networks import KernelsOf
from native_planes import activity_of, fold, inside, plane_shape, rounded, unfold
from quantised import Units, fuse, levels, masked_conv

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import INT8
from smsr_plugin.sparse.native.layers import Fuse, MaskedConv
from smsr_plugin.sparse.native.layers import Units as LayerUnits
from smsr_plugin.sparse.native.planes import Planes
from smsr_plugin.sparse.native.run import MaskLists, Run

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

pytestmark = needs_bytes

SIZE = (9, 37)


class Block:
    """Planes of an image and a mask, with everything else left by others."""

    def __init__(self, rng, density=0.4):
        self.rng, self.mask = rng, rng.random(SIZE) < density
        self.planes = Planes()
        self.planes.resize(*SIZE)
        self.planes.activity()[...] = activity_of(self.mask)
        self.run = Run(KernelsOf(ISA, isa=lambda: ISA), self.planes, 1)
        self.listed = MaskLists.of(self.run, self.planes.activity())

    def plane(self, name, values, dtype, dense):
        """Lay (H, W, C) into a plane as the layer before leaves it.

        Sparse channels hold anything at unimportant pixels, but in the line that begins with dense
        ones.
        """
        line = 64 // np.dtype(dtype).itemsize
        whole = np.zeros((*plane_shape(*SIZE), packing.padded(values.shape[2], line)))
        pixels = inside(whole, *SIZE)
        pixels[..., : values.shape[2]] = values
        pixels[~self.mask, dense:] = 0
        pixels[~self.mask, packing.padded(dense, line) :] = 201
        plane = self.planes.plane(name, values.shape[2], dtype)
        plane[...] = fold(whole, dtype)
        return plane

    def empty(self, name, channels, dtype):
        plane = self.planes.plane(name, channels, dtype)
        plane[:, 1 : SIZE[0] + 1, 1 : SIZE[1] + 1] = 99  # of another block
        return plane


@pytest.mark.parametrize("place", ["tiles", "pixels"])
@pytest.mark.parametrize("halves", [False, True], ids=["of levels", "of bfloat16"])
@pytest.mark.parametrize(
    ("depth", "dense_in", "count", "dense"),
    [
        (6, 0, 6, 3), (6, 6, 6, 0), (6, 3, 6, 6), (16, 1, 20, 17), (40, 17, 64, 1),
        (64, 63, 64, 64), (64, 64, 33, 16), (65, 0, 80, 80), (70, 64, 128, 65), (130, 65, 65, 64),
    ],
)  # fmt: skip
def test_a_masked_convolution_stores_the_nearest_levels(
    place, halves, depth, dense_in, count, dense, monkeypatch
):
    monkeypatch.setattr(
        "smsr_plugin.sparse.native.layers.tiles_are_cheaper", lambda *_: place == "tiles"
    )
    rng = np.random.default_rng(depth)
    block = Block(rng)
    if halves:
        dense_in, image = depth, rounded(rng.standard_normal((*SIZE, depth)), np.uint16)
    else:
        image = rng.integers(0, MOST + 1, (*SIZE, depth)).astype(np.float64)
    kernel = rng.standard_normal((count, depth, 3, 3)) / (9 * depth) ** 0.5
    bias, units = rng.standard_normal(count), Units(None if halves else 0.013, 0.0071)
    x = block.plane("x", image, np.uint16 if halves else np.uint8, dense_in)
    out = block.empty("out", count, np.uint8)
    conv = MaskedConv(INT8, kernel, dense, dense_in, bias, True, LayerUnits(*units))
    sums = conv(block.run, x, out, block.listed)

    value = masked_conv(image, block.mask, dense_in, kernel, dense, bias, units)
    found = inside(unfold(out), *SIZE).astype(float)
    exists = np.arange(found.shape[2]) < np.where(block.mask, count, dense)[..., None]
    value = packing.pad(value, 2, found.shape[2])
    wrong = (found < levels_of(value - TIE)) | (found > levels_of(value + TIE))
    assert not (wrong & exists).any()
    # The line that begins with dense channels is read everywhere.
    read = np.where(block.mask, found.shape[2], packing.padded(dense, LINE))[..., None]
    assert not found[~exists & (np.arange(found.shape[2]) < read)].any()
    assert 0 < np.mean(found[exists] == MOST) < 0.5
    of_channel = value.sum((0, 1))[:count] * units.out
    np.testing.assert_allclose(sums, of_channel, rtol=1e-5, atol=1e-3)


@pytest.mark.parametrize(
    ("channels", "dense", "count"),
    [
        ([6, 6, 6], [0, 3, 6], 6), ([64, 64], [0, 0], 64), ([64, 64], [64, 64], 64),
        ([65, 1, 130], [64, 1, 65], 40), ([40] * 17, [1] * 17, 16),
    ],
)  # fmt: skip
def test_a_fuse_of_levels_stores_bfloat16(channels, dense, count):
    rng = np.random.default_rng(count)
    block = Block(rng)
    values = [levels(rng.normal(60, 60, (*SIZE, channel))) for channel in channels]
    weights = [rng.standard_normal((channel, count)) for channel in channels]
    units = rng.uniform(0.001, 0.1, len(channels)).tolist()
    bias, scale = rng.standard_normal(count), rng.random(count)
    residual = rounded(rng.standard_normal((*SIZE, count)), np.uint16)
    xs = [block.plane(f"x {i}", value, np.uint8, dense[i]) for i, value in enumerate(values)]
    out = block.plane("out", residual, np.uint16, count)
    layer = Fuse(INT8, weights, dense, bias, units)
    layer(block.run, out, xs, out, block.listed, scale, None)

    for value, number in zip(values, dense, strict=True):
        value[~block.mask, number:] = 0
    expected = fuse(values, block.mask, weights, dense, bias, units) * scale + residual
    found = inside(unfold(out), *SIZE)
    assert not found[..., count:].any()
    spread = np.abs(expected).max()
    np.testing.assert_allclose(found[..., :count], expected, rtol=2.0**-8, atol=1e-6 * spread)
