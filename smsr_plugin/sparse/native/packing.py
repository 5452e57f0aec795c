"""Weights in the order in which the native kernels read them.

A panel holds the weights of `LINE` output channels; channel counts are padded with zeros.
Everything is computed in float64 and rounded once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeAlias, TypedDict

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.steps import Slope
from smsr_plugin.sparse.native.kernels import Floats, Halves, Signed
from smsr_plugin.sparse.native.planes import aligned_zeros

#: Output channels of a panel, and float32 channels of a cache line.
LINE = 16
#: bfloat16 channels of a cache line.
HALF_LINE = 32
#: Channels in bytes of a cache line.
BYTE_LINE = 64
#: Levels of a weight in a byte, to either side.
WEIGHT_LEVELS = 127

#: G of Winograd's F(4, 3) for the points 0, √½, −√½, √2, −√2 and infinity: U = G g Gᵀ. The row of a
#: point p is (1, p, p²) divided by the product of its distances from the other finite points.
WINOGRAD_G = np.array(
    [
        [1, 0, 0],
        [-2 / 3, -(2**0.5) / 3, -1 / 3],
        [-2 / 3, 2**0.5 / 3, -1 / 3],
        [1 / 6, 2**0.5 / 6, 1 / 3],
        [1 / 6, -(2**0.5) / 6, 1 / 3],
        [0, 0, 1],
    ]
)

Array: TypeAlias = NDArray[np.float64]


def to_float32(values: Array) -> Array:
    """Return float64 numbers rounded to float32."""
    return values.astype(np.float32).astype(np.float64)


def to_bfloat16(values: Array) -> Array:
    """Return float64 numbers rounded to float32 and then to bfloat16, as PyTorch rounds them."""
    return widened(half(values)).astype(np.float64)


def padded(count: int, line: int = LINE) -> int:
    """Round a number of channels up to whole lines."""
    return -(-count // line) * line


def pad(values: Array, axis: int, size: int) -> Array:
    """Append zeros until `axis` is `size` long."""
    if values.shape[axis] == size:
        return values
    widths = [(0, 0)] * values.ndim
    widths[axis] = (0, size - values.shape[axis])
    return np.pad(values, widths)


def vector(values: Array) -> Floats:
    """Pad a vector of output channels to whole panels."""
    return _rounded(pad(values, 0, padded(len(values))))


class Activation(TypedDict):
    """An activation as the kernels take it."""

    relu: bool
    slope: float
    slopes: Floats | None


def activation(slope: Slope[Array]) -> Activation:
    """Take an activation as a program tells it; see `smsr_plugin.archs.steps`."""
    if slope is None or isinstance(slope, float | int):
        return Activation(relu=slope is not None, slope=slope or 0.0, slopes=None)
    return Activation(relu=True, slope=0.0, slopes=vector(slope))


def product(weight: Array) -> Floats:
    """Pack (K, N) weights of a product over rows as (N / 16, K, 16)."""
    depth, width = weight.shape
    filled = pad(weight, 1, padded(width)).reshape(depth, padded(width) // LINE, LINE)
    return _rounded(filled.transpose(1, 0, 2))


def taps(kernel: Array) -> Floats:
    """Pack a (N, K, 3, 3) kernel as a product over the rows of the nine taps."""
    count, depth = kernel.shape[:2]
    return product(kernel.transpose(2, 3, 1, 0).reshape(9 * depth, count))


def winograd(kernel: Array) -> Floats:
    """Transform and pack a (N, K, 3, 3) kernel as (36, N / 16, K padded, 16)."""
    filled = pad(pad(kernel, 1, padded(kernel.shape[1])), 0, padded(len(kernel)))
    panels, depth = len(filled) // LINE, filled.shape[1]
    taps = filled.reshape(panels, LINE, depth, 3, 3).transpose(3, 4, 0, 2, 1)
    columns = _transformed(_transformed(taps.copy()).swapaxes(0, 1))
    return _rounded(columns.swapaxes(0, 1)).reshape(36, panels, depth, LINE)


def _transformed(taps: Array) -> Array:
    """Multiply G by the first axis of (3, …).

    Not as a matrix product: NumPy's library would share it among threads, which on busy cores wait
    for each other a hundred times as long as the sums take.
    """
    rows = np.empty((len(WINOGRAD_G), *taps.shape[1:]))
    for number, factors in enumerate(WINOGRAD_G):
        used = [factor * tap for factor, tap in zip(factors, taps, strict=True) if factor]
        rows[number] = sum(used)
    return rows


def split_lines(weights: Floats) -> Floats:
    """Put the even inputs of each whole `HALF_LINE` before the odd ones; (…, K, 16), K padded.

    A line of bfloat16 is widened to float32 by halves of its 32-bit words, which parts its channels
    so.
    """
    order = np.arange(weights.shape[-2])
    whole = len(order) // HALF_LINE * HALF_LINE
    order[:whole] = order[:whole].reshape(-1, HALF_LINE // 2, 2).swapaxes(1, 2).ravel()
    return np.ascontiguousarray(weights[..., order, :])


def pairs(weights: Floats) -> Floats:
    """Put the weights (…, K, 16) of two inputs side by side: (…, K / 2, 16, 2); K is even."""
    *outer, depth, line = weights.shape
    return np.ascontiguousarray(weights.reshape(*outer, depth // 2, 2, line).swapaxes(-1, -2))


def in_levels(weights: Sequence[Array]) -> tuple[Signed, Floats]:
    """Round the (K, N) weights of planes in bytes to levels, with one unit for each output.

    Returns:
        The levels, (N / 16, K / 4, 16, 4), K of each plane padded to whole lines; and of each
        output what one of them counts.
    """
    filled = np.concatenate([pad(weight, 0, padded(len(weight), BYTE_LINE)) for weight in weights])
    depth, width = len(filled), padded(filled.shape[1])
    peak = np.abs(filled).max(0, initial=0)
    unit = np.where(peak > 0, peak, 1) / WEIGHT_LEVELS
    levels = pad(np.rint(filled / unit), 1, width).reshape(depth // 4, 4, width // LINE, LINE)
    packed = _aligned((width // LINE, depth // 4, LINE, 4), np.int8)
    packed[...] = levels.transpose(2, 0, 3, 1)
    return packed, vector(unit)


def tile_levels(kernel: Array) -> tuple[Signed, Floats]:
    """Round a (N, K, 3, 3) kernel over planes in bytes to levels, with one unit for an output.

    Returns:
        The levels, (N / 16, 9 · K / 64, 16, 16, 4), and of each output what one of them counts.
    """
    taps = kernel.transpose(2, 3, 1, 0).reshape(9, -1, len(kernel))
    rows, unit = in_levels(list(taps))
    return rows.reshape(len(rows), -1, BYTE_LINE // 4, LINE, 4), unit


def half(values: NDArray[Any]) -> Halves:
    """Round to bfloat16, to the nearest and halves to even, as its bits."""
    bits = _rounded(values).view(np.uint32)
    nearest = (bits + 0x7FFF + (bits >> 16 & 1)) >> 16
    not_a_number = (bits & 0x7FFFFFFF) > 0x7F800000
    halves = _aligned(values.shape, np.uint16)
    halves[...] = np.where(not_a_number, 0x7FC0, nearest)
    return halves


def widened(values: Halves) -> Floats:
    """Return bfloat16 numbers, given as their bits, as float32."""
    return (values.astype(np.uint32) << 16).view(np.float32)


def _rounded(values: NDArray[Any]) -> Floats:
    """Round to float32."""
    floats = _aligned(values.shape, np.float32)
    floats[...] = values
    return floats


def _aligned(shape: tuple[int, ...], dtype: type) -> NDArray[Any]:
    """Return memory that begins with a cache line."""
    return aligned_zeros(math.prod(shape), dtype).reshape(shape)
