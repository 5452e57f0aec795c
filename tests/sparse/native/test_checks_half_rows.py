"""Bad calls of half_rows raise, with a message."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import (
    INT_MAX,
    SHAPE,
    SIZE,
    arguments,
    check,
    every_other,
    half_plane,
    half_source,
    index_list,
    kernels,
    needs_bfloat16,
    plane,
)
from native_planes import activity_of

#: Changes that make a good call that pools.
POOLED = {"pool": True, "out": plane(16, (4, 3)), "runs": index_list(6, 7, 0, 1)}


@needs_bfloat16
def test_a_call_that_pools_is_good():
    kernels.half_rows(**(arguments("half_rows") | POOLED))


@pytest.mark.parametrize("function", ["winograd", "half_rows"])
def test_pooling_an_odd_size(function):
    out = plane(32, (4, 4))
    check(function, ValueError, "even size", {"width": 7, "pool": True, "out": out})


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"runs": index_list(-1)}, "runs must be in 0 ... 7, got -1"),
        ({"runs": index_list(7, 8)}, "runs must be in 0 ... 7, got 7 ... 8"),
        ({"runs": index_list(INT_MAX)}, "runs must be in"),
        ({"sources": [half_source(dy=-2)]}, "at most one pixel away"),
        ({"sources": [half_source(dx=2)]}, "at most one pixel away"),
        ({"sources": [half_source(lines=0)]}, "lines must lie within its plane"),
        ({"sources": [half_source(lines=2)]}, "lines must lie within its plane"),
        ({"sources": [half_source(lines=-1)]}, "lines must lie within its plane"),
        (
            {"sources": [half_source(np.zeros((2, *SHAPE, 16), np.uint16))]},
            r"source must have shape \(2, 10, 18, 32\)",
        ),
        ({"sources": [half_source(half_plane(33))]}, "too many channels"),
        ({"sources": []}, r"weights must have shape \(1, 0, 16, 16, 2\)"),
        ({"weights": np.zeros((1, 2, 16, 16, 2), np.uint16)}, "weights must have shape"),
        ({"weights": np.zeros((1, 16, 16, 2), np.uint16)}, "five dimensions"),
        ({"weights": np.zeros((0, 1, 16, 16, 2), np.uint16)}, "too few or too many outputs"),
        ({"weights": np.zeros((65, 1, 16, 16, 2), np.uint16)}, "too few or too many outputs"),
        ({"weights": np.zeros((3, 1, 16, 16, 2), np.uint16)}, "fewer channels than the weights"),
        (
            {"weights": np.zeros((2, 1, 16, 16, 2), np.uint16), "out": plane(16)},
            "fewer channels than the weights",
        ),
        ({"out": np.zeros((1, *SHAPE, 16), np.uint16)}, r"must have shape \(1, 10, 18, 32\)"),
        ({"out": np.zeros((1, *SHAPE, 32), np.int16)}, "must hold float32 or uint16"),
        ({"out": every_other(half_plane())}, "must hold float32 or uint16, C-contiguous"),
        ({"bias": np.zeros(32, np.float32)}, "bias must have shape"),
        ({"residual": plane(size=(4, 6), dtype=np.uint16)}, "residual must have shape"),
        (
            {
                "weights": np.zeros((3, 1, 16, 16, 2), np.uint16),
                "out": half_plane(2), "residual": half_plane(),
            },
            "residual has fewer channels than the weights",
        ),
        ({"residual": half_plane(), "out": plane(32)}, "residual must be of the dtype of out"),
        ({"activity": np.zeros((9, 18), np.uint8)}, "activity must have shape"),
        ({"stored": 0}, "stored must be ACTIVE or INACTIVE"),
        ({"stored": 258}, "stored must be ACTIVE or INACTIVE"),
        ({"pool": True}, "pooled rows are floats"),
        (POOLED | {"out": plane()}, r"out must have shape \(1, 6, 18, 16\)"),
        (POOLED | {"runs": index_list(0)}, "must come in pairs"),
        (POOLED | {"runs": index_list(0, 1, 2)}, "must come in pairs"),
        (POOLED | {"runs": index_list(1, 2)}, "must come in pairs"),
        (POOLED | {"runs": index_list(1, 0)}, "must come in pairs"),
        (POOLED | {"runs": index_list(0, 3)}, "must come in pairs"),
        (POOLED | {"sums": True}, "neither a mask nor sums"),
        (POOLED | {"activity": activity_of(np.ones(SIZE))}, "neither a mask nor sums"),
        (POOLED | {"residual": plane()}, "a residual cannot be pooled"),
    ],
)  # fmt: skip
@needs_bfloat16
def test_bad_calls_of_half_rows(changes, message):
    check("half_rows", ValueError, message, changes)
