"""The operations of `bfloat16` for products of matrix tiles (AMX).

They multiply so fast that Winograd's transforms would take longer than what they save: a 3×3
convolution is a product over the rows of nine pixels, at tiles too. Inputs come in whole lines.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from smsr_plugin.sparse.native import bfloat16, packing
from smsr_plugin.sparse.native.kernels import Halves
from smsr_plugin.sparse.native.packing import HALF_LINE, Array, padded

ITEMSIZE, plane, ImageConv = bfloat16.ITEMSIZE, bfloat16.plane, bfloat16.ImageConv
#: These have few products.
strided_weights, attention_weights = bfloat16.strided_weights, bfloat16.attention_weights


def row_weights(weights: Sequence[Array]) -> Halves:
    """Pack (K, N) weights, each padded to whole lines, for rows as (N / 16, K / 2, 16, 2)."""
    filled = [packing.pad(weight, 0, padded(len(weight), HALF_LINE)) for weight in weights]
    return packing.half(packing.pairs(packing.product(np.concatenate(filled))))


def taps(kernel: Array) -> Halves:
    """Pack a (N, K, 3, 3) kernel as a product over the rows of the nine taps."""
    return row_weights(list(kernel.transpose(2, 3, 1, 0).reshape(9, -1, len(kernel))))


def tile_weights(kernel: Array) -> Halves:
    """Pack a (N, K, 3, 3) kernel for tiles as (N / 16, 9 · K / 32, 16, 16, 2)."""
    rows = taps(kernel)
    return rows.reshape(len(rows), -1, HALF_LINE // bfloat16.PAIR, packing.LINE, bfloat16.PAIR)


def constants(values: Array) -> Halves:
    """Pack the values of a pixel."""
    return packing.half(packing.pad(values, 0, padded(len(values), HALF_LINE)))


class MapConv(bfloat16.MapConv):
    """A 3×3 convolution at every pixel."""

    pack = staticmethod(tile_weights)


#: Direct products lose less than Winograd's: the last one needs no float32.
LastConv = MapConv


class ListedConv(bfloat16.ListedConv):
    """A 3×3 convolution at the active or the inactive pixels of a mask."""

    pack = staticmethod(tile_weights)
    pack_taps = staticmethod(taps)


class MaskedConv(bfloat16.MaskedConv):
    """A 3×3 convolution with a mask."""

    listed = ListedConv


class Fuse(bfloat16.Fuse):
    """A 1×1 product over the outputs of masked convolutions, scaled, plus a plane."""

    pack = staticmethod(row_weights)


class MapProduct(bfloat16.MapProduct):
    """A 1×1 convolution over the concatenation of planes, at every pixel."""

    pack = staticmethod(row_weights)
