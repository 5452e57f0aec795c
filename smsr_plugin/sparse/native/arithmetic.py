"""What features are held in and how weights are packed for it: float32, bfloat16, bytes.

An arithmetic is given kernels and weights in float64, (N, K, 3, 3) or (K, N). `layers` compute in
any of them; in each, biases and transforms are in float32, and so is the image itself, and sums but
those of bytes, which are integers.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.kernels import Kernels
from smsr_plugin.sparse.native.packing import HALF_LINE, LINE, Array, padded
from smsr_plugin.sparse.native.planes import CACHE_LINE, Plane, Planes


class Arithmetic:
    """Features in float32: Winograd at tiles, products at pixels.

    Attributes:
        dtype: Of features.
        is_direct: Whether a convolution at tiles is a product over nine pixels, not Winograd's.
        holds_bytes: Whether planes may hold bytes, see `Int8`.
        line: Channels of a cache line.
        depth: The weights of a plane for rows are padded to whole ones of so many channels.
    """

    dtype: DTypeLike = np.float32
    line = LINE
    depth = 1
    is_direct = holds_bytes = False

    @property
    def itemsize(self) -> int:
        """Bytes of a feature."""
        return CACHE_LINE // self.line

    def plane(
        self,
        planes: Planes,
        name: str,
        channels: int,
        *,
        room: int = 0,
        size: tuple[int, int] | None = None,
    ) -> Plane:
        """Return a plane of features; see `Planes.plane`."""
        return planes.plane(name, channels, self.dtype, room=room, size=size)

    def tile_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel for tiles, transformed: (36, N / 16, K padded, 16)."""
        return packing.winograd(kernel)

    def last_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel for tiles whose outputs are float32 in any arithmetic."""
        return self.tile_weights(kernel)

    def row_weights(self, weights: Sequence[Array]) -> NDArray[Any]:
        """Pack the (K, N) weights of planes for rows of pixels, and for chains.

        In a chain a product over blocks' outputs is summed up while a fuse has them at hand.
        """
        filled = [packing.pad(weight, 0, padded(len(weight), self.depth)) for weight in weights]
        return packing.product(np.concatenate(filled))

    def taps(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel as a product over the rows of the nine taps."""
        return self.row_weights(list(kernel.transpose(2, 3, 1, 0).reshape(9, -1, len(kernel))))

    def strided_weights(self, kernel: Array, first: int = 0) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel, K even, for strides; it sees channels from `first` on."""
        return self.taps(kernel)

    def attention_weights(self, weights: Array, first: int = 0) -> NDArray[Any]:
        """Pack an attention's (K, N) weights, K even; it sees channels from `first` on."""
        return self.row_weights([weights])

    def constants(self, values: Array) -> NDArray[Any]:
        """Pack (K,) values of a pixel as planes hold them."""
        return packing.vector(values)


class BFloat16(Arithmetic):
    """The same with features and products in bfloat16.

    Where such products are but twice as fast as those in float32 (AVX-512 BF16), Winograd with them
    is faster than direct convolution with them.
    """

    dtype = np.uint16
    line = HALF_LINE
    depth = 2  # channels that are multiplied together

    def tile_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel, transformed: (36, N / 16, K padded / 2, 16, 2)."""
        return packing.half(packing.pairs(packing.split_lines(packing.winograd(kernel))))

    def last_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack for products in float32 as well: what they rounded would be in the result."""
        return packing.split_lines(packing.winograd(kernel))

    def row_weights(self, weights: Sequence[Array]) -> NDArray[Any]:
        """Pack (K, N) weights as (N / 16, K / 2, 16, 2)."""
        return packing.half(packing.pairs(super().row_weights(weights)))

    def constants(self, values: Array) -> NDArray[Any]:
        return packing.half(super().constants(values))


class BFloat16Matrix(BFloat16):
    """For products of matrix tiles (AMX).

    They multiply so fast that Winograd's transforms would take longer than what they save: a 3×3
    convolution is a product over the rows of nine pixels, at tiles too. Inputs come in whole lines.
    """

    depth = HALF_LINE
    is_direct = True

    def tile_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack a (N, K, 3, 3) kernel as (N / 16, 9 · K / 32, 16, 16, 2)."""
        rows = self.taps(kernel)
        return rows.reshape(len(rows), -1, HALF_LINE // 2, LINE, 2)

    def last_weights(self, kernel: Array) -> NDArray[Any]:
        """Pack as others: direct products lose less than Winograd's, and need no float32."""
        return self.tile_weights(kernel)

    def strided_weights(self, kernel: Array, first: int = 0) -> NDArray[Any]:
        return self.taps(_from_line(kernel, 1, first))

    def attention_weights(self, weights: Array, first: int = 0) -> NDArray[Any]:
        return self.row_weights([_from_line(weights, 0, first)])

    def constants(self, values: Array) -> NDArray[Any]:
        return packing.half(packing.pad(values, 0, padded(len(values), HALF_LINE)))


class Int8(BFloat16Matrix):
    """The same, with what lies between a block's input and its output in bytes where that is known.

    A plane holds levels, of which `peaks` (see `MaskedConv`) says what they stand for. Matrix tiles
    multiply bytes twice as fast, and half as many are read and written.
    """

    holds_bytes = True


def _from_line(weights: Array, axis: int, first: int) -> Array:
    """Put zeros before the inputs, for the channels before the first one in its line."""
    widths = [(0, 0)] * weights.ndim
    widths[axis] = (first % HALF_LINE, 0)
    return np.pad(weights, widths)


FLOAT32, BFLOAT16, BFLOAT16_MATRIX, INT8 = Arithmetic(), BFloat16(), BFloat16Matrix(), Int8()


def arithmetic_for(precision: str, kernels: Kernels) -> Arithmetic:
    """Return that of one of `config.PRECISIONS` for the instruction set in use."""
    if precision == "fp32":
        return FLOAT32
    if precision == "int8":
        return INT8
    return BFLOAT16_MATRIX if kernels.isa() == "amx" else BFLOAT16
