"""The operations of `float32` with features and products in bfloat16.

Where bfloat16 products are but twice as fast as those in float32 (AVX-512 BF16), Winograd with such
products is faster than direct convolution with them. The transforms and all sums are in float32.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smsr_plugin.sparse.native import float32, packing
from smsr_plugin.sparse.native.kernels import Floats, Halves
from smsr_plugin.sparse.native.packing import HALF_LINE, Array, padded
from smsr_plugin.sparse.native.planes import Plane, Planes

ITEMSIZE = 2
#: The image itself is multiplied in float32.
ImageConv = float32.ImageConv

#: Channels that are multiplied together.
PAIR = 2


def plane(
    planes: Planes,
    name: str,
    channels: int,
    *,
    room: int = 0,
    size: tuple[int, int] | None = None,
) -> Plane:
    """Return a plane of features; see `Planes.plane`."""
    channels, room = padded(channels, HALF_LINE), padded(room, HALF_LINE)
    return planes.plane(name, channels, np.uint16, room=room, size=size)


def winograd(kernel: Array) -> Halves:
    """Transform and pack a (N, K, 3, 3) kernel as (36, N / 16, K padded / 2, 16, 2)."""
    return packing.half(packing.pairs(packing.split_lines(packing.winograd(kernel))))


def row_weights(weights: Sequence[Array]) -> Halves:
    """Pack (K, N) weights, each padded to whole pairs, for rows as (N / 16, K / 2, 16, 2)."""
    even = [packing.pad(weight, 0, padded(len(weight), PAIR)) for weight in weights]
    return packing.half(packing.pairs(packing.product(np.concatenate(even))))


def taps(kernel: Array) -> Halves:
    """Pack a (N, K, 3, 3) kernel as a product over the rows of the nine taps."""
    even = packing.pad(kernel, 1, padded(kernel.shape[1], PAIR))
    return packing.half(packing.pairs(packing.taps(even)))


def wide_winograd(kernel: Array) -> Floats:
    """Transform and pack a (N, K, 3, 3) kernel for products in float32."""
    return packing.split_lines(packing.winograd(kernel))


def attention_weights(weights: Array) -> Halves:
    """Pack the (K, N) weights of an attention's product."""
    return row_weights([weights])


tile_weights, strided_weights = winograd, taps


def constants(values: Array) -> Halves:
    """Pack the values of a pixel."""
    return packing.half(packing.vector(values))


class MapConv(float32.MapConv):
    """A 3×3 convolution at every pixel."""

    pack = staticmethod(winograd)


class LastConv(float32.MapConv):
    """A 3×3 convolution whose outputs are float32, with products in float32 as well.

    What it rounded would be in the result as it is.
    """

    pack = staticmethod(wide_winograd)


class ListedConv(float32.ListedConv):
    """A 3×3 convolution at the active or the inactive pixels of a mask."""

    pack = staticmethod(winograd)
    pack_taps = staticmethod(taps)
    line = HALF_LINE


class MaskedConv(float32.MaskedConv):
    """A 3×3 convolution with a mask."""

    listed = ListedConv


class Fuse(float32.Fuse):
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    pack = staticmethod(row_weights)


class MapProduct(float32.MapProduct):
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    pack = staticmethod(row_weights)
