"""The operations of `float32` with products in bfloat16, whatever features are kept in.

`bfloat16_tiles` takes its products over rows from here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smsr_plugin.sparse.native import float32, packing
from smsr_plugin.sparse.native.kernels import Halves
from smsr_plugin.sparse.native.packing import Array, padded

ITEMSIZE = float32.ITEMSIZE
plane, ImageConv = float32.plane, float32.ImageConv

#: Channels that are multiplied together.
PAIR = 2


def winograd(kernel: Array) -> Halves:
    """Transform and pack a (N, K, 3, 3) kernel as (36, N / 16, K padded / 2, 16, 2)."""
    return packing.half(packing.pairs(packing.winograd(kernel)))


def chain_weights(weights: Array) -> Halves:
    """Pack (K, N) weights of a product over rows as (N / 16, K / 2, 16, 2); K is even."""
    return packing.half(packing.pairs(packing.product(weights)))


def tile_weights(kernel: Array) -> Halves:
    """Pack a (N, K, 3, 3) kernel for tiles."""
    return winograd(kernel)


def row_weights(weights: Sequence[Array]) -> Halves:
    """Pack (K, N) weights, each padded to whole pairs of inputs, for rows."""
    even = [packing.pad(weight, 0, padded(len(weight), PAIR)) for weight in weights]
    return chain_weights(np.concatenate(even))


class MapConv(float32.MapConv):
    """A 3×3 convolution at every pixel."""

    pack = staticmethod(winograd)


LastConv = MapConv


class ListedConv(float32.ListedConv):
    """A 3×3 convolution at the active or the inactive pixels of a mask.

    Where it is done at pixels, because these are few, it is done in float32.
    """

    pack = staticmethod(winograd)


class MaskedConv(float32.MaskedConv):
    """A 3×3 convolution with a mask."""

    listed = ListedConv


class Fuse(float32.Fuse):
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    pack = staticmethod(row_weights)


class MapProduct(float32.MapProduct):
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    pack = staticmethod(row_weights)
