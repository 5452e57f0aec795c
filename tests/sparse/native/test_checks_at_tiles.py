"""Bad calls of the kernels for masks at tiles raise, with a message."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import (
    INT_MAX,
    SIZE,
    attention,
    check,
    conv,
    index_list,
    plane,
    product,
    resampled,
    side,
)
from native_planes import activity_of

X, BIAS = plane(), np.zeros(32, np.float32)


@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("strided", {"size": (0, 6)}, "must be positive"),
        ("strided", {"size": (INT_MAX, 6)}, "too many pixels"),
        ("strided", {"size": (8, 17)}, "in must have shape"),
        ("strided", {"size": (7, 6), "x": plane(size=(7, 6)), "padding": 0}, "too large"),
        ("strided", {"out_size": (5, 3), "out": plane(size=(5, 3))}, "too large"),
        ("strided", {"padding": 0}, "too large"),
        ("strided", {"padding": 2}, "padding must be 0 or 1"),
        ("strided", {"weights": np.zeros((1, 16, 16), np.float32)}, "nine taps"),
        ("strided", {"weights": np.zeros((1, 0, 16), np.float32)}, "too few or too"),
        ("strided", {"weights": np.zeros((1, 8, 16, 2), np.float32)}, "three dimensions"),
        ("strided", {"first": -1}, "fewer channels"),
        ("attend", {"row": X, "out": X}, "row must lie behind"),
        ("strided", {"weights": np.zeros((1, 9 * 17, 16), np.float32)}, "fewer channels"),
        ("strided", {"weights": np.zeros((2, 9, 16), np.float32)}, "out has fewer channels"),
        ("strided", {"bias": np.zeros(15, np.float32)}, r"bias must have shape \(16\)"),
        ("maximum", {"side": 0}, "must lie in the input"),
        ("maximum", {"step": 0}, "must lie in the input"),
        ("maximum", {"side": 3}, "must lie in the input"),
        ("maximum", {"step": INT_MAX}, "must lie in the input"),
        ("maximum", {"x": plane(32)}, "out has fewer channels"),
        ("attend", {"down": resampled(7)}, r"down must have shape \(8\)"),
        ("attend", {"down": resampled(8, 4)}, "down must be in 0 ... 3"),
        ("attend", {"across": resampled(6, -1)}, "across must be in 0 ... 2"),
        ("attend", {"weights": np.zeros((1, 17, 16), np.float32)}, "row has fewer channels"),
        ("attend", {"weights": np.zeros((2, 16, 16), np.float32)}, "a plane has fewer channels"),
        ("attend", {"coarse": plane()}, "coarse must have shape"),
        ("blend", {"activity": activity_of(np.ones((4, 6)))}, "activity must have shape"),
        ("blend", {"active": side(channels=17)}, "must lie within its plane"),
        ("blend", {"active": ([(plane(), 0)], *side()[1:])}, "must lie within its plane"),
        ("blend", {"inactive": side(plane(size=(4, 6)))}, "source must have shape"),
        ("blend", {"inactive": side(plane(), plane())}, r"weights must have shape \(1, 32, 16\)"),
        ("blend", {"active": side(weights=np.zeros((2, 16, 16), np.float32))}, "fewer channels"),
        ("blend", {"inactive": side(bias=np.zeros(15, np.float32))}, "bias must have shape"),
        ("details", {"lq": np.zeros((8, *SIZE), np.float32)}, "too few channels"),
        ("details", {"lq": np.zeros((0, *SIZE), np.float32)}, "lq must have shape"),
        ("details", {"out": plane(size=(12, 6))}, "out must have shape"),
        ("block", {"size": (8, 17)}, "x must have shape"),
        ("block", {"convs": []}, "1 ... 16 convolutions, got 0"),
        ("block", {"convs": [conv()] * 17}, "1 ... 16 convolutions, got 17"),
        ("block", {"convs": [conv(np.zeros((36, 1, 32, 16), np.float32))]}, "no more than `in`"),
        (
            "block",
            {"convs": [conv(np.zeros((36, 2, 16, 16), np.float32))], "adds_x": True},
            "x has fewer channels than are added",
        ),
        ("block", {"convs": [conv(bias=np.zeros(15, np.float32))]}, r"bias must have shape \(16\)"),
        ("block", {"convs": [conv(rest=np.zeros(15, np.float32))]}, r"rest must have shape \(16\)"),
        ("block", {"convs": [conv(rest=np.zeros(16, np.uint16))]}, "rest must be of the dtype"),
        ("block", {"convs": [conv(slopes=np.zeros(15, np.float32))]}, "slopes must have shape"),
        ("block", {"active_tiles": index_list(1, 0)}, "tiles must be in order"),
        ("block", {"active_tiles": index_list(1, 1)}, "tiles must be in order"),
        ("block", {"inactive_tiles": index_list(4)}, "tiles must be in 0 ... 3"),
        ("block", {"activity": activity_of(np.ones((4, 6)))}, "activity must have shape"),
        ("block", {"active": product(17)}, "must lie within its plane"),
        ("block", {"active": product(0)}, "must lie within its plane"),
        ("block", {"active": product(8, 8)}, "must have 1 sources, got 2"),
        ("block", {"narrow": conv()}, "must have 2 sources, got 1"),
        ("block", {"inactive": product(bias=np.zeros(15, np.float32))}, "bias must have shape"),
        (
            "block",
            {"active": product(weights=np.zeros((2, 16, 16), np.float32), bias=BIAS)},
            r"weights must have shape \(2, 16, 16\)",
        ),
        (
            "block",
            {
                "active": product(weights=np.zeros((2, 16, 16), np.float32), bias=BIAS),
                "inactive": product(weights=np.zeros((2, 16, 16), np.float32), bias=BIAS),
            },
            "out has fewer channels",
        ),
        ("block", {"x": X, "out": X}, "out must not overlap x"),
        ("block", {"threads": 0}, "threads must be positive"),
        ("block", {"attention": attention(first=1)}, "fewer channels|beginning of a line"),
        ("block", {"attention": attention(coarse=plane())}, "coarse must have shape"),
        ("block", {"attention": attention(row=X), "out": X}, "out must not overlap row"),
        ("tiles", {"rest": np.zeros(15, np.float32)}, r"rest must have shape \(16\)"),
    ],
)
def test_bad_calls_of_the_kernels_at_tiles(function, changes, message):
    check(function, ValueError, message, changes)
