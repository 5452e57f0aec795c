"""Products of features in bytes, as the kernels take them and in integers.

Weights are packed here by the words of `csrc/kernels.h`, not by the package's own packing.
"""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import filled_plane, fold, plane_shape, unfold
from native_products import Products

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Channels of a line; the least and the largest level without a sign, and with one.
LINE, MOST = 64, 255
LEVELS, SIGNED_LEVELS = (0, MOST), (-127, 127)
#: What planes of levels are filled with before a kernel writes into them.
SENTINEL = 77
#: How near to the middle between two levels either of them will do.
TIE = 1e-3

#: The instruction set with such kernels, and its products in bfloat16; "" and None where none has.
ISA = next((isa for isa in kernels.available() if kernels.has_bytes(isa)), "")
HALF = Products(ISA, half=True)
needs_bytes = pytest.mark.skipif(not ISA, reason="this processor has no kernels for bytes")


def level_plane(rng, size, channels, most=MOST, outside=0, dtype=np.uint8):
    """Return a plane of random levels; beyond its channels it holds `outside`, in the border 0.

    With a sign they begin at -most - 1: -128 counts as what it is, though no kernel stores it.
    """
    values = np.zeros((*plane_shape(*size), packing.padded(channels, LINE)))
    values[1 : size[0] + 1, 1 : size[1] + 1] = outside
    image = rng.integers(0 if dtype == np.uint8 else -most - 1, most + 1, (*size, channels))
    values[1 : size[0] + 1, 1 : size[1] + 1, :channels] = image
    return fold(values, dtype)


def sentinels(size, channels, dtype=np.uint8):
    """Return a plane of levels to write into."""
    return filled_plane(*size, channels, SENTINEL, dtype)


def packed_rows(parts):
    """Pack the levels (K, N) of the weights of each source: (N / 16, quads, 16, 4)."""
    whole = np.concatenate(
        [packing.pad(part, 0, packing.padded(len(part), LINE)) for part in parts]
    )
    whole = packing.pad(whole, 1, packing.padded(whole.shape[1]))
    quads = whole.reshape(len(whole) // 4, 4, whole.shape[1] // 16, 16)
    return np.ascontiguousarray(quads.transpose(2, 0, 3, 1).astype(np.int8))


def packed_tiles(kernel):
    """Pack the levels (N, K, 3, 3) of a kernel: (N / 16, 9 · K / 64, 16 quads, 16, 4)."""
    whole = packing.pad(kernel, 0, packing.padded(len(kernel)))
    whole = packing.pad(whole, 1, packing.padded(whole.shape[1], LINE))
    n, k = whole.shape[:2]
    quads = whole.reshape(n // 16, 16, k // LINE, 16, 4, 9).transpose(0, 5, 2, 3, 1, 4)
    quads = quads.reshape(n // 16, 9 * k // LINE, 16, 16, 4)
    return np.ascontiguousarray(quads.astype(np.int8))


def levels_of(values, ends=LEVELS):
    """Return the nearest levels, halves to even ones; 0, with a sign 127, for what is no number."""
    nearest = np.clip(np.rint(values), *ends)
    return np.nan_to_num(nearest, nan=ends[0] if ends == LEVELS else ends[1])


def whole_lines(values):
    """Fill the last axis up with zeros to whole lines."""
    return packing.pad(values, values.ndim - 1, packing.padded(values.shape[-1], LINE))


def assert_levels(got, before, written, values, tie=TIE, ends=LEVELS):
    """Compare all of a plane of levels with the values that were to be stored.

    Args:
        got: The plane.
        before: The same before the call.
        written: Which pixels were to be stored, (rows, stride).
        values: What at these, (pixels, N), in reading order.
        tie: How near to the middle between two levels either of them will do.
        ends: The least and the largest level.

    Raises:
        AssertionError: If one differs, or what was not to be written has changed.
    """
    low, high = (unfold(before).astype(np.float64) for _ in range(2))
    whole = whole_lines(values)
    low[written, : whole.shape[1]] = levels_of(whole - tie, ends)
    high[written, : whole.shape[1]] = levels_of(whole + tie, ends)
    found = unfold(got)
    wrong = (found < low) | (found > high)
    if wrong.any():
        row, column, channel = (int(i) for i in np.argwhere(wrong)[0])
        raise AssertionError(
            f"{wrong.sum()} of {wrong.size} levels differ, first at y = {row - 1}, "
            f"x = {column - 1}, channel {channel}: got {found[row, column, channel]}, "
            f"expected {low[row, column, channel]} ... {high[row, column, channel]}"
        )
