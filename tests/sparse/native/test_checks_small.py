"""Bad calls of the smaller kernels raise, with a message: compose, decide, list_active."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import SIZE, check, plane
from native_planes import plane_shape


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lq": np.zeros((1, 0, 6), np.float32)}, "must be positive"),
        ({"lq": np.zeros(SIZE, np.float32)}, "lq must have shape"),
        ({"taps": None, "scale": 5}, "residual has too few channels"),
        ({"scale": 0}, "scale must be in 1 ... 64, got 0"),
        ({"scale": 65}, "scale must be in 1 ... 64, got 65"),
        ({"scale": 3}, r"taps must have shape \(3, 5\)"),
        ({"residual": plane(size=(4, 6))}, "residual must have shape"),
        ({"taps": np.zeros((0, 5), np.float32)}, "taps must have shape"),
        ({"taps": np.zeros((2, 4), np.float32)}, "taps must have shape"),
        ({"sr": np.zeros((1, 16, 11), np.float32)}, r"sr must have shape \(1, 16, 12\)"),
        ({"sr": np.zeros((2, 16, 12), np.float32)}, r"sr must have shape \(1, 16, 12\)"),
    ],
)
def test_bad_calls_of_compose(changes, message):
    check("compose", ValueError, message, changes)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("decide", {"products": np.zeros((1, *plane_shape(4, 3), 9), np.float32)}, "products must"),
        ("decide", {"products": plane()}, "products must have shape"),
        ("decide", {"activity": np.zeros((6, 18), np.uint8)}, "activity must have shape"),
        ("list_active", {"activity": np.zeros(plane_shape(4, 6), np.uint8)}, "activity must have"),
    ],
)
def test_bad_calls_of_the_masks(function, changes, message):
    check(function, ValueError, message, changes)
