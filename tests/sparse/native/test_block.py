"""A block in one pass: the same bits as its convolutions and its product one after the other.

Those are held to float64 in `test_tiles.py` and `test_tile_kernels.py`, whole networks to their
formulas in `test_tile_steps.py`.
"""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import activity_of, filled_plane, inside, plane_of, tile_rows, unfold
from native_products import kernels, per_products

from smsr_plugin.sparse.native.local_attention import resampling

#: Slopes of the activations: none, ReLU, leaky, one for each channel.
SLOPES = ["none", "relu", "leaky", "each"]
#: At these the pieces are several beside and below each other, of one row of tiles or several.
SIZES = [(1, 1), (5, 3), (13, 40), (70, 18), (111, 21), (26, 170), (9, 2900)]


class Block:
    """A block with random weights, and what it works on."""

    def __init__(self, products, size, channels, convs, mask, narrow, attends, slope, seed):
        self.products, self.size, self.narrow, self.attends = products, size, narrow, attends
        self.rng = np.random.default_rng(seed)
        self.channels, self.slope = channels, slope
        self.activity = activity_of(mask)
        lists = kernels.list_active(*size, self.activity)
        self.active_tiles, self.inactive_tiles = lists[2:]
        covered = tile_rows(size[0]) * tile_rows(size[1])
        self.partly = len(self.active_tiles) + len(self.inactive_tiles) > covered
        self.x = self.plane(channels, 16 if attends else 0)
        self.convs = [self.conv(rest=number > 0) for number in range(convs)]
        self.narrow = self.conv(outputs=3) if narrow else None
        sources = [channels, *([3] if narrow else [])]
        self.active, self.inactive = self.product([channels]), self.product(sources)
        self.attention = None
        if attends:
            coarse = tuple(-(-side // 6) for side in size)
            view = self.rng.normal(size=(channels, *coarse)).astype(np.float32)
            first = -(-channels // 16) * 16
            self.attention = (
                self.x, first, products.attention(self.normal(16, channels), first), coarse,
                plane_of(view), *map(resampling, coarse, size),
            )  # fmt: skip

    def normal(self, *shape):
        return self.rng.normal(size=shape) * shape[0] ** -0.5

    def plane(self, channels, behind=0):
        values = np.zeros((-(-channels // 16) * 16 + behind, *self.size), np.float32)
        values[:channels] = self.rng.normal(size=(channels, *self.size))
        values[len(values) - behind :] = self.rng.normal(size=(behind, *self.size))
        return plane_of(values, dtype=self.products.dtype)

    def vector(self, count):
        values = np.zeros(-(-count // 16) * 16, np.float32)
        values[:count] = self.rng.normal(size=count)
        return values

    def conv(self, outputs=0, rest=False):
        outputs = outputs or self.channels
        weights = self.products.winograd(self.normal(outputs, self.channels, 3, 3) / 3)
        constants = self.products.arithmetic.constants(self.rng.normal(size=self.channels))
        slopes = self.vector(outputs) if self.slope == "each" else None
        below = 0.1 if self.slope == "leaky" else 0.0
        return (weights, self.vector(outputs), constants if rest else None,
                self.slope != "none", below, slopes)  # fmt: skip

    def product(self, sources):
        count = self.channels + (16 if self.attends else 0)
        weights = self.products.product(self.normal(sum(sources), count), sources)
        return sources, weights, self.vector(count)

    def out(self):
        return filled_plane(*self.size, len(self.active[2]), dtype=self.products.dtype)

    def in_one_pass(self, adds_x, threads):
        out = self.out()
        kernels.block(
            self.size, self.x, self.convs, self.active_tiles, self.inactive_tiles, self.activity,
            self.active, self.inactive, out, adds_x=adds_x, partly=self.partly,
            narrow=self.narrow, attention=self.attention, threads=threads, isa=self.products.isa,
        )  # fmt: skip
        return out

    def one_after_the_other(self, adds_x):
        isa, blank = self.products.isa, self.plane(self.channels)
        x = self.x
        if self.attention is not None:
            row, first, *seen = self.attention
            x = np.zeros_like(blank)
            kernels.attend(self.size, row, row, *seen, x, first=first, isa=isa)
        hidden = x
        for number, conv in enumerate(self.convs):
            last = adds_x and number == len(self.convs) - 1
            hidden = self.convolved(hidden, conv, kernels.ACTIVE, number > 0, x if last else None)
        elsewhere = [x]
        if self.narrow is not None:
            elsewhere.append(self.convolved(x, self.narrow, kernels.INACTIVE, False, None))
        out = self.out()
        sides = [
            (list(zip(planes, sources, strict=True)), weights, bias)
            for planes, (sources, weights, bias) in (
                ([hidden], self.active),
                (elsewhere, self.inactive),
            )
        ]
        kernels.blend(self.size, self.activity, *sides, out, isa=isa)
        return out

    def convolved(self, x, conv, kind, masked, residual):
        weights, bias, rest, relu, slope, slopes = conv
        tiles = self.active_tiles if kind == kernels.ACTIVE else self.inactive_tiles
        out = np.zeros_like(plane_of(np.zeros((len(bias), *self.size)), dtype=self.products.dtype))
        kernels.tiles(
            *self.size, tiles, x, weights, out, bias=bias, rest=rest, relu=relu, slope=slope,
            slopes=slopes, residual=residual, residual_last=True, stored=kind,
            activity_in=self.activity if masked else None,
            activity_out=self.activity if self.partly else None, isa=self.products.isa,
        )  # fmt: skip
        return out


def mask_of(size, density, whole_tiles, seed):
    rng = np.random.default_rng(seed)
    if not whole_tiles:
        return rng.random(size) < density
    tiles = rng.random((tile_rows(size[0]), tile_rows(size[1]))) < density
    return np.kron(tiles, np.ones((4, 4), bool))[: size[0], : size[1]]


@per_products
@given(
    size=st.sampled_from(SIZES), channels=st.sampled_from([16, 20, 48]),
    convs=st.integers(1, 4), density=st.sampled_from([0.0, 0.1, 0.5, 1.0]),
    whole_tiles=st.booleans(), narrow=st.booleans(), attends=st.booleans(),
    slope=st.sampled_from(SLOPES), adds_x=st.booleans(), threads=st.sampled_from([1, 2, 5]),
    seed=st.integers(0, 99),
)  # fmt: skip
@settings(max_examples=25)
def test_the_same_bits_as_one_after_the_other(
    products, size, channels, convs, density, whole_tiles, narrow, attends, slope, adds_x, threads,
    seed,
):  # fmt: skip
    mask = mask_of(size, density, whole_tiles, seed)
    block = Block(products, size, channels, convs, mask, narrow, attends, slope, seed)
    got, expected = block.in_one_pass(adds_x, threads), block.one_after_the_other(adds_x)
    np.testing.assert_array_equal(inside(unfold(got), *size), inside(unfold(expected), *size))


@per_products
def test_what_rings_held_before_is_not_seen(products):
    """A wide image, then one whose rings lie in the same memory, full of what is no number."""
    wide, small = (Block(products, size, 16, 3, np.ones(size, bool), True, True, "relu", 0)
                   for size in [(40, 90), (30, 25)])  # fmt: skip
    expected = small.in_one_pass(True, 1)
    wide.x[:] = 0x7FC0 if products.half else np.nan
    wide.in_one_pass(True, 1)
    np.testing.assert_array_equal(small.in_one_pass(True, 1), expected)
