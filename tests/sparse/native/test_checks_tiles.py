"""Bad calls of winograd raise, with a message."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import INT_MAX, SHAPE, SIZE, arguments, check, index_list, kernels, plane
from native_planes import activity_of


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tiles": index_list(-1)}, "tiles must be in 0 ... 3, got -1"),
        ({"tiles": index_list(0, 4)}, "tiles must be in 0 ... 3, got 0 ... 4"),
        ({"tiles": index_list(INT_MAX)}, "tiles must be in"),
        ({"x": np.zeros((1, *SHAPE, 8), np.float32)}, r"must have shape \(1, 10, 18, 16\)"),
        ({"x": np.zeros((1, *SHAPE, 32), np.float32)}, r"must have shape \(1, 10, 18, 16\)"),
        ({"x": np.zeros((*SHAPE, 16), np.float32)}, r"a plane \(lines, rows, stride, channels"),
        ({"x": np.zeros((0, *SHAPE, 16), np.float32)}, "must be a plane"),
        ({"x": plane(1040)}, "too many channels"),
        ({"x": plane(size=(12, 6))}, r"must have shape \(1, 10, 18, 16\)"),
        ({"x": plane(size=(8, 17))}, r"must have shape \(1, 10, 18, 16\)"),
        ({"weights": np.zeros((36, 1, 8, 16), np.float32)}, "multiple of 16"),
        ({"weights": np.zeros((36, 1, 32, 16), np.float32)}, "no more than `in` has"),
        ({"weights": np.zeros((36, 1, 0, 16), np.float32)}, "multiple of 16"),
        ({"weights": np.zeros((36, 0, 16, 16), np.float32)}, "too few or too many outputs"),
        ({"weights": np.zeros((36, 65, 16, 16), np.float32)}, "too few or too many outputs"),
        ({"weights": np.zeros((35, 1, 16, 16), np.float32)}, "weights must have shape"),
        ({"weights": np.zeros((36, 2, 16, 16), np.float32)}, "fewer channels than the weights"),
        (
            {
                "weights": np.zeros((36, 2, 16, 16), np.float32),
                "out": plane(32),
                "residual": plane(),
            },
            "residual has fewer channels than the weights",
        ),
        ({"bias": np.zeros(15, np.float32)}, r"bias must have shape \(16\), got \(15\)"),
        ({"slopes": np.zeros(15, np.float32)}, r"slopes must have shape \(16\), got \(15\)"),
        ({"residual": plane(size=(4, 6))}, "residual must have shape"),
        ({"k_dense": -16}, "k_dense"),
        ({"k_dense": 8}, "k_dense"),
        ({"k_dense": 32}, "k_dense"),
        ({"activity_in": np.zeros((10, 17), np.uint8)}, "activity must have shape"),
        ({"activity_out": np.zeros((9, 18), np.uint8)}, "activity must have shape"),
        ({"stored": 0}, "stored must be ACTIVE or INACTIVE"),
        ({"stored": 258}, "stored must be ACTIVE or INACTIVE"),
        ({"pool": True}, r"out must have shape \(1, 6, 18, 16\)"),
        ({"pool": True, "sums": True, "out": plane(size=(4, 3))}, "neither a mask nor sums"),
        (
            {"pool": True, "out": plane(size=(4, 3)), "activity_out": activity_of(np.ones(SIZE))},
            "neither a mask nor sums",
        ),
        ({"pool": True, "out": plane(size=(4, 3)), "residual": plane()}, "cannot be pooled"),
    ],
)
def test_bad_calls_of_winograd(changes, message):
    check("tiles", ValueError, message, changes)


#: Changes that make a good call of which some outputs are pooled.
WITH_POOLED = {
    "weights": np.zeros((36, 2, 16, 16), np.float32),
    "pooled": (plane(size=(4, 3)), 16),
}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pooled": (plane(), 16)}, r"pooled out must have shape \(1, 6, 18, 16\)"),
        ({"pooled": (plane(size=(4, 3)), 0)}, "multiple of 16"),
        ({"pooled": (plane(size=(4, 3)), 8)}, "multiple of 16"),
        ({"pooled": (plane(48, size=(4, 3)), 48)}, "no more than the weights have"),
        ({"pooled": (plane(32, size=(4, 3)), 32)}, "must leave some for out"),
        ({"weights": np.zeros((36, 3, 16, 16), np.float32)}, "fewer channels than the weights"),
        ({"bias": np.zeros(16, np.float32)}, r"bias must have shape \(32\)"),
        ({"pool": True}, "cannot be pooled"),
        (
            {"width": 5, "tiles": index_list(1), "pooled": (plane(size=(4, 3)), 16)},
            "an even size, or tiles that are not the last ones",
        ),
    ],
)
def test_bad_calls_with_pooled_outputs(changes, message):
    check("tiles", ValueError, message, WITH_POOLED | changes)


def test_pooled_outputs_apart_from_the_others():
    kernels.tiles(**(arguments("tiles") | WITH_POOLED))
    memory = plane(size=(16, 6))
    small, large = plane(size=(4, 3)), plane()
    pooled = memory.ravel()[: small.size].reshape(small.shape)
    out = memory.ravel()[: large.size].reshape(large.shape)
    changes = WITH_POOLED | {"pooled": (pooled, 16)}
    check("tiles", ValueError, "must not overlap", changes | {"out": out})
    check("tiles", ValueError, "must not overlap", changes | {"x": out})
