"""Calls of the native kernels: good ones, and what checks that a changed one raises."""

from __future__ import annotations

import numpy as np
import pytest
from native_planes import activity_of, filled_plane, plane_shape

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

needs_bfloat16 = pytest.mark.skipif(
    not kernels.has_half(), reason="this processor has no bfloat16 kernels"
)

SIZE = (8, 6)
SHAPE = plane_shape(*SIZE)
HALF = (4, 3)
FIRST, LAST = 19, 150  # the first and the last pixel of an image of that size
INT_MAX = 2**31 - 1


def plane(channels=16, size=SIZE, dtype=np.float32):
    return filled_plane(*size, channels, 0, dtype)


def index_list(*indices):
    return np.array(indices, np.int32)


def every_other(array):
    """Return a view of equal shape and contents that is not contiguous."""
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def lines_amid_cache_lines():
    """Return a plane whose second line does not begin with a cache line."""
    lines = plane(32)
    memory = np.zeros(lines.size + 4, np.float32)
    strides = (lines.strides[0] + 16, *lines.strides[1:])
    return np.lib.stride_tricks.as_strided(memory, lines.shape, strides)


def source(x=None, dy=0, dx=0, first=0, channels=16, activity=None):
    return (plane() if x is None else x, dy, dx, first, channels, activity)


def half_plane(lines=1):
    return plane(32 * lines, dtype=np.uint16)


def chain(weights=None, bias=None, out=None, relu=False):
    weights = np.zeros((1, 16, 16), np.float32) if weights is None else weights
    return (weights, bias, plane() if out is None else out, relu)


def side(*planes, channels=16, weights=None, bias=None):
    """Return what `blend` computes at pixels of one kind."""
    weights = np.zeros((1, channels, 16), np.float32) if weights is None else weights
    sources = [(x, channels) for x in planes or [plane()]]
    return sources, weights, np.zeros(16, np.float32) if bias is None else bias


def conv(weights=None, bias=None, rest=None, slopes=None):
    """Return a convolution of `block`."""
    weights = np.zeros((36, 1, 16, 16), np.float32) if weights is None else weights
    return weights, bias, rest, True, 0.0, slopes


def product(*channels, weights=None, bias=None):
    """Return what `block` computes at pixels of one kind."""
    channels = channels or (16,)
    weights = np.zeros((1, sum(channels), 16), np.float32) if weights is None else weights
    return list(channels), weights, np.zeros(16, np.float32) if bias is None else bias


def attention(row=None, first=0, weights=None, coarse=None):
    """Return what `block` scales its input by."""
    weights = np.zeros((1, 16, 16), np.float32) if weights is None else weights
    coarse = plane(size=HALF) if coarse is None else coarse
    row = plane() if row is None else row
    return row, first, weights, HALF, coarse, resampled(8), resampled(6)


def arguments(function):
    """Return arguments that are good."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    activity = activity_of(np.ones(SIZE, bool))
    return {
        "tiles": size
        | {
            "tiles": index_list(0, 1),
            "x": plane(),
            "weights": np.zeros((36, 1, 16, 16), np.float32),
            "out": plane(),
        },
        "rows": size
        | {
            "pixels": index_list(FIRST, LAST),
            "sources": [source()],
            "weights": np.zeros((1, 16, 16), np.float32),
            "out": plane(),
        },
        "image": {
            "lq": np.zeros((1, *SIZE), np.float32),
            "weights": np.zeros((1, 9, 16), np.float32),
            "out": plane(),
        },
        "compose": {
            "lq": np.zeros((1, *SIZE), np.float32),
            "residual": plane(),
            "taps": np.zeros((2, 5), np.float32),
            "scale": 2,
            "sr": np.zeros((1, 2 * SIZE[0], 2 * SIZE[1]), np.float32),
        },
        "decide": size
        | {"products": plane(size=(4, 3)), "bias": 0.0, "threshold": 0.0, "activity": activity},
        "list_active": size | {"activity": activity},
        "strided": {
            "size": SIZE,
            "x": plane(),
            "weights": np.zeros((1, 9 * 16, 16), np.float32),
            "out_size": HALF,
            "out": plane(size=HALF),
            "padding": 1,
        },
        "maximum": {
            "size": SIZE,
            "x": plane(),
            "side": 2,
            "step": 2,
            "out_size": HALF,
            "out": plane(size=HALF),
        },
        "attend": {
            "size": SIZE,
            "x": plane(),
            "row": plane(),
            "weights": np.zeros((1, 16, 16), np.float32),
            "coarse_size": HALF,
            "coarse": plane(size=HALF),
            "down": resampled(8),
            "across": resampled(6),
            "out": plane(),
        },
        "blend": {
            "size": SIZE,
            "activity": activity,
            "active": side(),
            "inactive": side(),
            "out": plane(),
        },
        "block": {
            "size": SIZE,
            "x": plane(),
            "convs": [conv(), conv()],
            "active_tiles": index_list(0, 1, 2, 3),
            "inactive_tiles": index_list(),
            "activity": activity,
            "active": product(),
            "inactive": product(),
            "out": plane(),
        },
        "details": {"lq": np.zeros((1, *SIZE), np.float32), "levels": 255.0, "out": plane()},
    }[function]


def resampled(count, low=0):
    return np.full(count, low, np.int32), np.zeros(count, np.int32), np.zeros(count, np.float32)


def check(function, error, message, changes):
    with pytest.raises(error, match=message):
        getattr(kernels, function)(**(arguments(function) | changes))
