"""Bad calls of rows raise, with a message."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import (
    FIRST,
    INT_MAX,
    LAST,
    chain,
    check,
    every_other,
    half_plane,
    index_list,
    lines_amid_cache_lines,
    plane,
    source,
)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"pixels": index_list(FIRST - 1)}, "pixels must be in 19 ... 150, got 18"),
        ({"pixels": index_list(FIRST, LAST + 1)}, "pixels must be in 19 ... 150, got 19 ... 151"),
        ({"pixels": index_list(-1)}, "pixels must be in"),
        ({"sources": [source(dy=2)]}, "at most one pixel away"),
        ({"sources": [source(dx=-2)]}, "at most one pixel away"),
        ({"sources": [source(first=-16)]}, "within its plane"),
        ({"sources": [source(first=16)]}, "within its plane"),
        ({"sources": [source(first=1)]}, "within its plane"),
        ({"sources": [source(plane(32), first=8)]}, "begin with a line of 16 channels"),
        ({"sources": [source(plane(32), first=16, channels=17)]}, "within its plane"),
        ({"sources": [source(channels=17)]}, "within its plane"),
        ({"sources": [source(channels=0)]}, "within its plane"),
        ({"sources": [source(first=INT_MAX, channels=INT_MAX)]}, "within its plane"),
        ({"sources": [source(plane(1040))]}, "too many channels"),
        ({"sources": [source(plane(0))]}, "must be a plane"),
        ({"sources": [source(plane(size=(4, 6)))]}, "source must have shape"),
        ({"sources": [source(activity=np.zeros((9, 18), np.uint8))]}, "activity must have shape"),
        ({"sources": []}, r"weights must have shape \(1, 0, 16\)"),
        ({"sources": [source(), source()]}, r"weights must have shape \(1, 32, 16\)"),
        ({"weights": np.zeros((0, 16, 16), np.float32)}, "too few or too many outputs"),
        ({"weights": np.zeros((65, 16, 16), np.float32)}, "too few or too many outputs"),
        ({"weights": np.zeros((2, 16, 16), np.float32)}, "fewer channels than the weights"),
        ({"bias": np.zeros(17, np.float32)}, "bias must have shape"),
        ({"slopes": np.zeros(17, np.float32)}, "slopes must have shape"),
        ({"scale": np.zeros(17, np.float32)}, "scale must have shape"),
        ({"residual": plane(size=(4, 6))}, "residual must have shape"),
        (
            {"weights": np.zeros((2, 16, 16), np.float32), "out": plane(32), "residual": plane()},
            "residual has fewer channels than the weights",
        ),
        (
            {"chain": chain(np.zeros((1, 32, 16), np.float32))},  # without a residual
            r"chain weights must have shape \(1, 16, 16\)",
        ),
        (
            {"residual": plane(), "chain": chain(np.zeros((1, 48, 16), np.float32))},
            r"chain weights must have shape \(1, 16, 16\)",
        ),
        ({"chain": chain(np.zeros((0, 16, 16), np.float32))}, "too few or too many outputs"),
        ({"chain": chain(np.zeros((16, 16), np.float32))}, "chain weights must have shape"),
        ({"chain": chain(np.zeros((1, 16, 16)))}, "weights must hold float32 or uint16"),
        ({"chain": chain(np.zeros((), np.float32))}, "chain weights must have dimensions"),
        ({"chain": chain(np.zeros((2, 16, 16), np.float32))}, "chain out has too few channels"),
        ({"chain": chain(bias=np.zeros(8, np.float32))}, "chain bias must have shape"),
        ({"chain": chain(out=plane(size=(4, 6)))}, "chain out must have shape"),
        (
            {"sources": [source(plane().astype(np.float16))]},
            "source must hold float32, uint16, uint8 or",
        ),
        ({"sources": [source(every_other(plane()))]}, "source must hold .*C-contiguous"),
        (
            {"chain": chain(out=plane().astype(np.float16))},
            "out must hold float32, uint16, uint8 or",
        ),
        ({"chain": chain(out=every_other(plane()))}, "chain's out must hold .*C-contiguous"),
        ({"out": half_plane(), "isa": "baseline"}, "no bfloat16 for baseline"),
        ({"sources": [source(plane(32)[::-1])]}, "source must hold .*C-contiguous"),
        ({"sources": [source(plane(32)[:, :, ::-1])]}, "source must hold .*C-contiguous"),
        ({"sources": [source(lines_amid_cache_lines())]}, "source must hold .*C-contiguous"),
    ],
)
def test_bad_calls_of_rows(changes, message):
    check("rows", ValueError, message, changes)
