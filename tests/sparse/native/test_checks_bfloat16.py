"""What is in bfloat16 and what in float32 must go together, and with the processor."""

from __future__ import annotations

import numpy as np
import pytest
from kernel_calls import (
    arguments,
    chain,
    check,
    half_plane,
    kernels,
    needs_bfloat16,
    plane,
    side,
    source,
)
from native_planes import copy_at

#: Its weights are in pairs of channels; with matrix tiles they are in lines of 32.
DOTS = "neon_bf16" if "neon_bf16" in kernels.available() else "avx512_bf16"


def test_an_instruction_set_without_bfloat16():
    assert not kernels.has_half("baseline")
    halves = {"isa": "baseline", "x": half_plane()}
    check("tiles", ValueError, "no bfloat16 for baseline", halves)


@pytest.mark.skipif("amx" not in kernels.available(), reason="the processor has no matrix tiles")
def test_weights_of_matrix_tiles():
    """Inputs in whole lines, and taps in place of frequencies."""
    tiles = {"isa": "amx", "x": half_plane(), "out": half_plane()}
    good = np.zeros((1, 9, 16, 16, 2), np.uint16)
    kernels.tiles(**(arguments("tiles") | tiles | {"weights": good}))
    for shape, message in [((36, 1, 16, 16, 2), "weights must have shape"),
                           ((1, 8, 16, 16, 2), "weights must have shape"),
                           ((1, 0, 16, 16, 2), "a multiple of 16 channels"),
                           ((1, 10, 16, 16, 2), "weights must have shape"),
                           ((1, 18, 16, 16, 2), "no more than `in` has"),
                           ((1, 9, 8, 16, 2), "weights must have shape"),
                           ((1, 9 * 33, 16, 16, 2), "too many inputs")]:  # fmt: skip
        changed = tiles | {"weights": np.zeros(shape, np.uint16)}
        check("tiles", ValueError, message, changed)
    rows = {"isa": "amx", "sources": [source(half_plane())], "out": half_plane()}
    kernels.rows(**(arguments("rows") | rows | {"weights": np.zeros((1, 16, 16, 2), np.uint16)}))
    pairs = rows | {"weights": np.zeros((1, 8, 16, 2), np.uint16)}
    check("rows", ValueError, r"weights must have shape \(1, 16, 16, 2\)", pairs)


@pytest.mark.parametrize(
    ("function", "weights"),
    [
        ("tiles", np.zeros((36, 1, 8, 16, 2), np.uint16)),
        ("rows", np.zeros((1, 8, 16, 2), np.uint16)),
    ],
)
def test_products_in_bfloat16(function, weights):
    message = "no bfloat16 products for baseline"
    check(function, ValueError, message, {"isa": "baseline", "weights": weights})
    if not kernels.has_half():
        pytest.skip("this processor has no bfloat16 kernels")
    halves = {"weights": weights, "isa": DOTS} | half_inputs(function)
    for out in (half_plane(), plane()):
        getattr(kernels, function)(**(arguments(function) | halves | {"out": out}))
    for shape in (weights.shape[:-1], (*weights.shape[:-1], 1), (0, *weights.shape[1:])):
        changed = halves | {"weights": np.zeros(shape, np.uint16)}
        check(function, ValueError, "dimensions|must have shape|outputs", changed)
    misaligned = halves | {"weights": copy_at(weights, byte=1)}
    check(function, ValueError, "weights must be aligned", misaligned)


def half_inputs(function):
    """Return the inputs of a good call whose weights are in bfloat16."""
    if function == "tiles":
        return {"x": half_plane()}
    return {"sources": [source(half_plane())]}


X = plane()


HALF_STRIDED = {"isa": DOTS, "x": half_plane(), "weights": np.zeros((1, 72, 16, 2), np.uint16)}


HALF_WINOGRAD = {"isa": DOTS, "weights": np.zeros((36, 1, 8, 16, 2), np.uint16)}


HALF_ROWS = {"isa": DOTS, "weights": np.zeros((1, 8, 16, 2), np.uint16)}


@needs_bfloat16
@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("tiles", {"out": half_plane()}, "out must hold float32"),
        ("tiles", {"x": half_plane(), "out": half_plane()}, "out must hold float32"),
        ("tiles", HALF_WINOGRAD, "weights must hold float32, as x does"),
        ("tiles", {"x": half_plane(), "isa": "baseline"}, "no bfloat16 for baseline"),
        (
            "tiles",
            HALF_WINOGRAD | {"x": half_plane(), "residual": half_plane()},
            "dtype of out",
        ),
        (
            "tiles",
            {"x": half_plane(), "rest": np.zeros(16, np.float32)},
            "rest must be of the dtype of x",
        ),
        ("image", {"out": half_plane(), "isa": "baseline"}, "no bfloat16 for baseline"),
        ("rows", {"out": half_plane()}, "out must hold float32, as the sources do"),
        ("strided", {"x": half_plane()}, "weights must be of the dtype of x"),
        ("strided", {"weights": np.zeros((1, 72, 16, 2), np.uint16)}, "dtype of x"),
        ("strided", HALF_STRIDED | {"weights": np.zeros((1, 72, 16), np.uint16)}, "four dim"),
        ("strided", HALF_STRIDED | {"weights": np.zeros((1, 71, 16, 2), np.uint16)}, "nine taps"),
        ("strided", HALF_STRIDED | {"x": half_plane(2), "first": 24}, "or within one"),
        ("strided", HALF_STRIDED | {"first": 17}, "fewer channels"),
        ("strided", HALF_STRIDED | {"isa": "baseline"}, "no bfloat16 products for baseline"),
        ("blend", {"out": half_plane()}, "must be of one dtype"),
        ("blend", {"active": side(half_plane())}, "of the dtype of the weights"),
        ("blend", {"inactive": side(weights=np.zeros((1, 8, 16, 2), np.uint16))}, "of one dtype"),
        ("attend", {"row": half_plane()}, "of the dtype of the weights"),
        ("attend", {"weights": np.zeros((1, 8, 16, 2), np.uint16)}, "of the dtype of the weights"),
        ("tiles", {"x": half_plane(), "k_dense": 16}, "k_dense"),
        ("tiles", {"x": half_plane(), "k_dense": 64}, "k_dense"),
        (
            "tiles",
            HALF_WINOGRAD
            | {"x": half_plane(), "pooled": (plane(size=(4, 3)), 16), "out": half_plane()},
            "if out does, else uint16",
        ),
        ("rows", {"sources": [source(half_plane())]}, "weights must hold uint16"),
        ("rows", {"sources": [source(), source(half_plane())]}, "sources must be of one dtype"),
        ("rows", HALF_ROWS, "weights must hold float32, as the sources do"),
        (
            "rows",
            HALF_ROWS | {"sources": [source(half_plane())], "residual": half_plane()},
            "dtype of out",
        ),
        (
            "rows",
            HALF_ROWS | {"sources": [source(plane(64, dtype=np.uint16), first=16)]},
            "begin with a line of 32 channels",
        ),
        ("rows", {"chain": chain(HALF_ROWS["weights"])}, "must be of the dtype of out"),
        ("rows", {"chain": chain(out=half_plane())}, "must be of one dtype"),
    ],
)
def test_float32_and_bfloat16_that_do_not_go_together(function, changes, message):
    check(function, ValueError, message, changes)
