"""What is in bytes must go together with the rest of a call, and with the processor."""

from __future__ import annotations

import numpy as np
import pytest
from byte_products import ISA, needs_bytes
from kernel_calls import (
    SHAPE,
    arguments,
    chain,
    check,
    every_other,
    half_plane,
    kernels,
    plane,
    source,
)
from native_planes import copy_at


def byte_plane(lines=1):
    return plane(64 * lines, dtype=np.uint8)


def signed_plane(lines=1):
    return plane(64 * lines, dtype=np.int8)


def ones(count=16):
    return np.ones(count, np.float32)


def of_halves(function):
    """Return weights of products in bfloat16 of matrix tiles."""
    shape = (1, 9, 16, 16, 2) if function == "tiles" else (1, 16, 16, 2)
    return np.zeros(shape, np.uint16)


def of_levels(function):
    shape = (1, 9, 16, 16, 4) if function == "tiles" else (1, 16, 16, 4)
    return np.zeros(shape, np.int8)


def takes(function, x, **options):
    """Return changes that make a call take a plane."""
    return ({"x": x} if function == "tiles" else {"sources": [source(x)]}) | options


def levels(function, **options):
    """Return changes that make a call one of levels to levels."""
    good = {"isa": ISA, "weights": of_levels(function), "unit": ones(), "out": byte_plane()}
    return takes(function, byte_plane()) | good | options


def signed(function, **options):
    """Return changes that make a call one of levels of either sign."""
    return levels(function) | takes(function, signed_plane()) | options


def to_levels(function, **options):
    """Return changes that make a call one of bfloat16 to levels."""
    good = {"isa": ISA, "weights": of_halves(function), "out": byte_plane()}
    return takes(function, half_plane()) | good | options


def rows_to_halves(**options):
    """Return changes that make `rows` one of levels to bfloat16, with a chain and a residual."""
    good = {"out": half_plane(), "residual": half_plane(), "levels": (signed_plane(), 1.0)}
    return levels("rows") | good | {"chain": half_chain()} | options


def half_chain(**options):
    return chain(**{"weights": of_halves("rows"), "out": half_plane()} | options)


FIRST, SECOND = (
    memory.reshape(1, *SHAPE, 64)
    for memory in np.lib.stride_tricks.sliding_window_view(
        np.zeros(SHAPE[0] * SHAPE[1] * 64 + 64, np.uint8), SHAPE[0] * SHAPE[1] * 64, writeable=True
    )[::64]
)
BYTES = byte_plane()


@needs_bytes
@pytest.mark.parametrize(
    ("function", "changes"),
    [
        *((name, kind(name)) for name in ("tiles", "rows") for kind in (levels, signed, to_levels)),
        ("rows", rows_to_halves()),
        ("rows", rows_to_halves(chain=half_chain(weights=np.zeros((1, 32, 16, 2), np.uint16)))),
        ("rows", levels("rows", sources=[], weights=np.zeros((1, 0, 16, 4), np.int8))),
        ("rows", to_levels("rows", sources=[], weights=np.zeros((1, 0, 16, 2), np.uint16))),
        ("tiles", levels("tiles", rest=np.zeros(64, np.uint8), k_dense=64)),
        ("tiles", signed("tiles", rest=np.zeros(64, np.int8))),
        ("tiles", signed("tiles", out=half_plane(), residual=half_plane())),
        ("tiles", signed("tiles", out=plane(32, (4, 3), np.uint16), pool=True)),
        ("rows", to_levels("rows", out=half_plane(), levels=(signed_plane(), 1.0))),
    ],
)  # fmt: skip
def test_the_calls_that_are_changed_below_are_good(function, changes):
    getattr(kernels, function)(**(arguments(function) | changes))


def test_an_instruction_set_without_bytes():
    assert not kernels.has_bytes("baseline")
    for function in ("tiles", "rows"):
        changes = levels(function, isa="baseline")
        check(function, ValueError, "no products in bytes for baseline", changes)
    for isa in kernels.available():
        if kernels.has_half(isa) and not kernels.has_bytes(isa):
            halves = {"isa": isa, "weights": np.zeros((1, 8, 16, 2), np.uint16)}
            message = f"no kernels for bytes for {isa}"
            check("rows", ValueError, message, to_levels("rows") | halves)
            halves["weights"] = np.zeros((36, 1, 8, 16, 2), np.uint16)
            message = "where .* there are kernels for bytes"
            check("tiles", ValueError, message, to_levels("tiles") | halves)


@needs_bytes
@pytest.mark.parametrize("function", ["tiles", "rows"])
@pytest.mark.parametrize(
    ("kind", "changes", "message"),
    [
        (levels, {"unit": None}, "unit is for weights in bytes, which need it"),
        (levels, {"unit": ones(15)}, r"unit must have shape \(16\), got \(15\)"),
        (levels, {"unit": copy_at(ones(), byte=1)}, "unit must be aligned"),
        (to_levels, {"unit": ones()}, "unit is for weights in bytes, which need it"),
        (levels, {"out": plane()}, "out must hold uint8"),
        (levels, {"out": byte_plane().astype(np.int8)}, "out must hold uint8, or uint16 where"),
        (levels, {"out": every_other(byte_plane())}, "C-contiguous"),
        (to_levels, {"weights": np.zeros((1, 16, 16), np.float32)}, "weights must|out may hold"),
        (levels, {"residual": byte_plane()}, "nothing can be added to bytes"),
        (to_levels, {"residual": byte_plane()}, "nothing can be added to bytes"),
        (levels, {"residual": half_plane()}, "residual must be of the dtype of out"),
        (levels, {"bias": ones(32)}, r"bias must have shape \(16\)"),
        (levels, {"slopes": ones(32)}, r"slopes must have shape \(16\)"),
        (levels, {"threads": 0}, "threads must be positive"),
    ],
)
def test_what_does_not_go_with_bytes(function, kind, changes, message):
    check(function, ValueError, message, kind(function) | changes)


@needs_bytes
@pytest.mark.parametrize("function", ["tiles", "rows"])
@pytest.mark.parametrize("x", [plane(), half_plane()])
def test_levels_of_weights_are_for_levels(function, x):
    changes = levels(function) | takes(function, x)
    check(function, ValueError, "x must hold uint8 or int8|weights must", changes)


@needs_bytes
@pytest.mark.parametrize("function", ["tiles", "rows"])
def test_levels_are_for_levels_of_weights(function):
    for weights in (of_halves(function), arguments(function)["weights"]):
        changes = levels(function, weights=weights, unit=None)
        check(function, ValueError, "weights must hold int8, as", changes)


@needs_bytes
@pytest.mark.parametrize("function", ["tiles", "rows"])
@pytest.mark.parametrize("change", ["no dimension", "too few", "too many", "empty", "strided"])
def test_shapes_of_weights(function, change):
    good = of_levels(function)
    weights = {
        "no dimension": good.reshape(-1)[0:1].reshape(()),
        "too few": good[..., 0],
        "too many": good[None],
        "empty": good[:0],
        "strided": every_other(good),
    }[change]
    changes = levels(function, weights=weights)
    check(function, ValueError, "dimensions|must have shape|outputs|C-contiguous", changes)


@needs_bytes
@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        *(
            ("tiles", {"weights": np.zeros(shape, np.int8)}, message)
            for shape, message in [
                ((1, 8, 16, 16, 4), "weights must have shape"),
                ((1, 0, 16, 16, 4), "no more than `in` has"),
                ((1, 18, 16, 16, 4), "no more than `in` has"),
                ((1, 9, 16, 16, 2), r"weights must have shape \(1, 9, 16, 16, 4\)"),
                ((1, 9 * 17, 16, 16, 4), "too many inputs"),
                ((65, 9, 16, 16, 4), "too many outputs"),
                ((5, 9, 16, 16, 4), "out has fewer channels"),
            ]
        ),
        ("rows", {"weights": np.zeros((1, 4, 16, 4), np.int8)}, r"shape \(1, 16, 16, 4\)"),
        ("rows", {"weights": np.zeros((5, 16, 16, 4), np.int8)}, "out has fewer channels"),
        ("tiles", {"x": byte_plane(17)}, "in has too many channels"),
        ("tiles", {"x": BYTES, "out": BYTES}, "must not overlap"),
        ("tiles", {"x": FIRST, "out": SECOND}, "must not overlap"),
        ("rows", {"sources": [source(BYTES)], "out": BYTES}, "must not overlap"),
        ("rows", {"sources": [source(FIRST)], "out": SECOND}, "must not overlap"),
        ("tiles", {"out": BYTES, "tiles": BYTES.reshape(-1).view(np.int32)[:1]}, "not overlap"),
        ("tiles", {"k_dense": 32}, "k_dense must be whole lines"),
        ("tiles", {"k_dense": 128}, "k_dense must be whole lines"),
        ("tiles", {"rest": np.zeros(64, np.float32)}, "rest must be of the dtype of x"),
        ("tiles", {"rest": np.zeros(16, np.uint8)}, r"rest must have shape \(64\)"),
        ("tiles", {"pool": True}, "pooled outputs must hold float32 or uint16"),
        ("tiles", {"pooled": (plane(size=(4, 3)), 16)}, "pooled outputs must hold .*uint16"),
        ("rows", {"out": plane()}, "out must hold uint8, or uint16 where"),
        ("rows", {"sources": [source(byte_plane(2), first=32)]}, "a line of 64 channels"),
        ("rows", {"sources": [source(byte_plane(), channels=65)]}, "must lie within its plane"),
        ("rows", {"sources": [source(BYTES), source(half_plane())]}, "of one dtype"),
        ("rows", {"scale": ones(32)}, r"scale must have shape \(16\)"),
        ("rows", {"chain": half_chain()}, "must be of one dtype, or the sources of uint8"),
        ("rows", {"chain": half_chain(out=byte_plane())}, "or the sources of uint8"),
    ],
)  # fmt: skip
def test_bad_calls_of_levels(function, changes, message):
    check(function, ValueError, message, levels(function) | changes)


@needs_bytes
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"residual": byte_plane()}, "residual must be of the dtype of out"),
        ({"chain": half_chain(out=plane())}, "must be of one dtype, or the sources of uint8"),
        ({"chain": half_chain(out=byte_plane())}, "must be of one dtype"),
        ({"chain": half_chain(weights=of_levels("rows"))}, "chain weights must be of the dtype"),
        (
            {"chain": half_chain(weights=np.zeros((1, 8, 16, 2), np.uint16))},
            r"chain weights must have shape \(1, 16, 16, 2\)",
        ),
        ({"unit": None}, "unit is for weights in bytes"),
    ],
)  # fmt: skip
def test_bad_calls_of_levels_that_become_halves(changes, message):
    check("rows", ValueError, message, rows_to_halves() | changes)


@needs_bytes
@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("tiles", {"out": plane()}, "out must hold uint8, or uint16 where x holds int8"),
        ("tiles", {"out": signed_plane()}, "out must hold uint8, or uint16"),
        ("tiles", {"rest": np.zeros(64, np.uint8)}, "rest must be of the dtype of x"),
        ("tiles", {"unit": None}, "unit is for weights in bytes"),
        ("tiles", {"out": half_plane(), "residual": byte_plane()}, "dtype of out"),
        ("tiles", {"pool": True}, "pooled outputs must hold float32 or uint16"),
        (
            "tiles",
            {"out": half_plane(), "pooled": (plane(32, (4, 3), np.uint16), 16)},
            "must leave some for out",
        ),
        (
            "tiles",
            {
                "out": half_plane(), "pooled": (plane(32, (4, 3), np.uint16), 16),
                "weights": np.zeros((2, 9, 16, 16, 4), np.int8), "unit": ones(32),
            },
            "pooled outputs are those of other products than of bytes",
        ),
        ("rows", {"out": half_plane()}, "or uint16 where the sources hold uint8"),
        ("rows", {"out": signed_plane()}, "out must hold uint8, or uint16"),
        ("rows", {"sources": [source(signed_plane()), source(byte_plane())]}, "of one dtype"),
        ("rows", {"chain": half_chain()}, "must be of one dtype, or the sources of uint8"),
    ],
)  # fmt: skip
def test_bad_calls_of_signed_levels(function, changes, message):
    check(function, ValueError, message, signed(function) | changes)


@needs_bytes
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"levels": (byte_plane(), 1.0)}, "levels must hold int8"),
        ({"levels": (plane(size=(4, 3), channels=64, dtype=np.int8), 1.0)}, "levels must have"),
        ({"levels": (every_other(signed_plane()), 1.0)}, "levels must hold .*C-contiguous"),
        ({"levels": (signed_plane()[0], 1.0)}, "levels must be a plane"),
        ({"levels": (signed_plane()[:0], 1.0)}, "levels must be a plane"),
        ({"levels": (signed_plane()[:, 1:], 1.0)}, "levels must have shape"),
        ({"levels": (signed_plane(17), 1.0)}, "levels has too many channels"),
        ({"out": byte_plane(), "residual": None, "chain": None}, "levels are for matrix tiles"),
        (
            {
                "weights": np.zeros((5, 16, 16, 4), np.int8), "unit": ones(80), "chain": None,
                "out": half_plane(3), "residual": None,
            },
            "levels has fewer channels than the weights have outputs",
        ),
    ],
)  # fmt: skip
def test_bad_planes_for_levels_beside_the_output(changes, message):
    check("rows", ValueError, message, rows_to_halves() | changes)


@needs_bytes
def test_levels_beside_the_output_overlap_nothing():
    memory = np.zeros(half_plane().nbytes, np.uint8)
    shape = signed_plane().shape
    halves, own = (memory.view(dtype).reshape((*shape[:3], -1)) for dtype in (np.uint16, np.int8))
    pixels = memory.view(np.int32)[:1]
    pixels[:] = 3 * SHAPE[1] + 3
    for changes in (
        {"out": halves, "residual": None},
        {"residual": halves},
        {"chain": half_chain(out=halves)},
        {"sources": [source(own.view(np.uint8))]},
        {"pixels": pixels},
    ):
        given = rows_to_halves(levels=(own, 1.0)) | changes
        check("rows", ValueError, "must not overlap", given)


def test_levels_beside_the_output_are_for_matrix_tiles():
    given = {"levels": (signed_plane(), 1.0)}
    check("rows", ValueError, "levels are for matrix tiles, and for out in uint16", given)
    for isa in kernels.available():
        if kernels.has_half(isa) and not kernels.has_bytes(isa):
            halves = {"isa": isa, "weights": np.zeros((1, 8, 16, 2), np.uint16)}
            changes = to_levels("rows", out=half_plane()) | halves | given
            check("rows", ValueError, "levels are for matrix tiles, and for out in uint16", changes)
    locked = signed_plane()
    locked.setflags(write=False)
    if ISA:
        changes = rows_to_halves(levels=(locked, 1.0))
        check("rows", ValueError, "not writeable", changes)


@needs_bytes
@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("image", {"out": byte_plane()}),
        ("strided", {"x": byte_plane()}),
        ("attend", {"x": byte_plane()}),
        ("blend", {"out": byte_plane()}),
        ("block", {"x": byte_plane()}),
    ],
)
def test_other_kernels_take_no_bytes(function, changes):
    check(function, ValueError, "must hold float32 or uint16", changes | {"isa": ISA})


def test_units_of_another_type():
    for function in ("tiles", "rows"):
        changes = levels(function, unit=np.ones(16))
        check(function, TypeError, "incompatible function arguments", changes)
