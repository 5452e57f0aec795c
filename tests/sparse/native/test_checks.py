"""A bad call of a kernel raises, with a message, and never crashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from native_planes import activity_of, copy_at, filled_plane, plane_shape

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

SIZE = (8, 6)
SHAPE = plane_shape(*SIZE)
HALF = (4, 3)
FIRST, LAST = 19, 150  # the first and the last pixel of an image of that size
INT_MAX = 2**31 - 1
FUZZ = Path(__file__).parent / "fuzz_kernels.py"


def plane(channels=16, size=SIZE, dtype=np.float32):
    return filled_plane(*size, channels, 0, dtype)


def index_list(*indices):
    return np.array(indices, np.int32)


def every_other(array):
    """Return a view of equal shape and contents that is not contiguous."""
    wide = np.repeat(array, 2, axis=-1)
    return wide[..., ::2]


def source(x=None, dy=0, dx=0, first=0, channels=16, activity=None):
    return (plane() if x is None else x, dy, dx, first, channels, activity)


def half_plane(lines=1):
    return plane(32 * lines, dtype=np.uint16)


def half_source(x=None, dy=0, dx=0, lines=1):
    return (half_plane() if x is None else x, dy, dx, lines)


def chain(weights=None, bias=None, out=None, relu=False):
    weights = np.zeros((1, 16, 16), np.float32) if weights is None else weights
    return (weights, bias, plane() if out is None else out, relu)


def arguments(function):
    """Return arguments that are good."""
    size = {"height": SIZE[0], "width": SIZE[1]}
    activity = activity_of(np.ones(SIZE, bool))
    return {
        "winograd": size
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
        "half_rows": size
        | {
            "runs": index_list(0, 7),
            "sources": [half_source()],
            "weights": np.zeros((1, 1, 16, 16, 2), np.uint16),
            "out": half_plane(),
        },
        "compose": {
            "lq": np.zeros((1, *SIZE), np.float32),
            "residual": plane(),
            "taps": np.zeros((2, 5), np.float32),
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
        "details": {"lq": np.zeros((1, *SIZE), np.float32), "levels": 255.0, "out": plane()},
    }[function]


def resampled(count, low=0):
    return np.full(count, low, np.int32), np.zeros(count, np.int32), np.zeros(count, np.float32)


AT_TILES = ["strided", "maximum", "attend", "details"]
FUNCTIONS = ["winograd", "rows", "half_rows", "compose", "decide", "list_active", *AT_TILES]


@pytest.fixture(autouse=True)
def _only_where_the_kernel_is(request):
    parameters = getattr(getattr(request.node, "callspec", None), "params", {})
    if parameters.get("function") == "half_rows" and not kernels.has_half():
        pytest.skip("this processor has no bfloat16 kernels")


def check(function, error, message, changes):
    with pytest.raises(error, match=message):
        getattr(kernels, function)(**(arguments(function) | changes))


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_arguments_that_are_changed_below_are_good(function):
    getattr(kernels, function)(**arguments(function))


SIZED = [name for name in FUNCTIONS if name not in ("compose", *AT_TILES)]


@pytest.mark.parametrize("function", SIZED)
@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"height": 0}, "must be positive"),
        ({"width": -1}, "must be positive"),
        ({"height": 12}, "shape|must be in"),
        ({"height": INT_MAX}, "too many pixels"),
        ({"height": INT_MAX, "width": INT_MAX}, "too many pixels"),
        ({"width": 1 << 20, "height": 1 << 20}, "too many pixels"),
        ({"width": 1, "height": 300_000_000}, "too many pixels"),  # with what a run is filled up
    ],
)
def test_bad_sizes(function, changes, message):
    check(function, ValueError, message, changes)


@pytest.mark.parametrize("function", FUNCTIONS)
@pytest.mark.parametrize("threads", [0, -1, -(2**31)])
def test_threads_must_be_positive(function, threads):
    check(function, ValueError, "threads must be positive", {"threads": threads})


@pytest.mark.parametrize("function", ["winograd", "rows", "half_rows", "compose", *AT_TILES])
@pytest.mark.parametrize("isa", ["", "sse9", "AVX2"])
def test_unknown_instruction_sets(function, isa):
    check(function, ValueError, f"no kernels named {isa}", {"isa": isa})


def test_an_instruction_set_without_bfloat16():
    assert not kernels.has_half("baseline")
    check("half_rows", ValueError, "no bfloat16 kernel for baseline", {"isa": "baseline"})


@pytest.mark.parametrize(
    ("function", "weights"),
    [
        ("winograd", np.zeros((36, 1, 8, 16, 2), np.uint16)),
        ("rows", np.zeros((1, 8, 16, 2), np.uint16)),
    ],
)
def test_products_in_bfloat16(function, weights):
    message = "no bfloat16 products for baseline"
    check(function, ValueError, message, {"isa": "baseline", "weights": weights})
    if not kernels.has_half():
        pytest.skip("this processor has no bfloat16 kernels")
    halves = {"weights": weights}
    getattr(kernels, function)(**(arguments(function) | halves))
    of_halves = halves | half_inputs(function)
    for out in (half_plane(), plane()):
        getattr(kernels, function)(**(arguments(function) | of_halves | {"out": out}))
    for shape in (weights.shape[:-1], (*weights.shape[:-1], 1), (0, *weights.shape[1:])):
        changed = halves | {"weights": np.zeros(shape, np.uint16)}
        check(function, ValueError, "dimensions|must have shape|outputs", changed)
    misaligned = halves | {"weights": copy_at(weights, byte=1)}
    check(function, ValueError, "weights must be aligned", misaligned)


def half_inputs(function):
    """Return the inputs of a good call whose weights are in bfloat16."""
    if function == "winograd":
        return {"x": half_plane()}
    return {"sources": [source(half_plane())]}


X = plane()
HALF_STRIDED = {"x": half_plane(), "weights": np.zeros((1, 72, 16, 2), np.uint16)}
HALF_WINOGRAD = {"weights": np.zeros((36, 1, 8, 16, 2), np.uint16)}
HALF_ROWS = {"weights": np.zeros((1, 8, 16, 2), np.uint16)}


@pytest.mark.skipif(not kernels.has_half(), reason="this processor has no bfloat16 kernels")
@pytest.mark.parametrize(
    ("function", "changes", "message"),
    [
        ("winograd", {"out": half_plane()}, "out must hold float32"),
        ("winograd", {"x": half_plane(), "out": half_plane()}, "out must hold float32"),
        ("winograd", HALF_WINOGRAD | {"out": half_plane()}, "out must hold float32"),
        ("winograd", {"x": half_plane(), "isa": "baseline"}, "no bfloat16 for baseline"),
        ("winograd", HALF_WINOGRAD | {"residual": half_plane()}, "dtype of out"),
        (
            "winograd",
            {"x": half_plane(), "rest": np.zeros(16, np.float32)},
            "rest must be of the dtype of x",
        ),
        ("strided", {"x": half_plane()}, "weights must be of the dtype of x"),
        ("strided", {"weights": np.zeros((1, 72, 16, 2), np.uint16)}, "dtype of x"),
        ("strided", HALF_STRIDED | {"weights": np.zeros((1, 72, 16), np.uint16)}, "four dim"),
        ("strided", HALF_STRIDED | {"weights": np.zeros((1, 71, 16, 2), np.uint16)}, "nine taps"),
        ("strided", HALF_STRIDED | {"x": half_plane(2), "first": 24}, "or within one"),
        ("strided", HALF_STRIDED | {"first": 17}, "fewer channels"),
        ("strided", HALF_STRIDED | {"isa": "baseline"}, "no bfloat16 products for baseline"),
        ("attend", {"row": half_plane()}, "of the dtype of the weights"),
        ("attend", {"weights": np.zeros((1, 8, 16, 2), np.uint16)}, "of the dtype of the weights"),
        ("winograd", {"x": half_plane(), "k_dense": 16}, "k_dense"),
        ("winograd", {"x": half_plane(), "k_dense": 64}, "k_dense"),
        (
            "winograd",
            HALF_WINOGRAD | {"x": half_plane(), "pool": True, "out": half_plane()},
            "pooled outputs are float32",
        ),
        ("rows", {"sources": [source(half_plane())]}, "weights must hold uint16"),
        ("rows", {"sources": [source(), source(half_plane())]}, "sources must be of one dtype"),
        ("rows", HALF_ROWS | {"out": half_plane()}, "out must hold float32"),
        ("rows", HALF_ROWS | {"residual": half_plane()}, "dtype of out"),
        (
            "rows",
            HALF_ROWS | {"sources": [source(plane(64, dtype=np.uint16), first=16)]},
            "begin with a line of 32 channels",
        ),
        ("rows", {"chain": chain(HALF_ROWS["weights"])}, "must be of the weights' dtype"),
        ("rows", {"chain": chain(out=half_plane())}, "must be of one dtype"),
        ("rows", {"out": half_plane(), "chain": chain(out=half_plane())}, "must be of one dtype"),
    ],
)
def test_float32_and_bfloat16_that_do_not_go_together(function, changes, message):
    check(function, ValueError, message, changes)


ARRAYS = [
    (function, name)
    for function in FUNCTIONS
    for name, value in arguments(function).items()
    if isinstance(value, np.ndarray)
]


@pytest.mark.parametrize(("function", "name"), ARRAYS)
@pytest.mark.parametrize("bad", ["float64", "bool", "list", "none", "strided", "flat", "empty"])
def test_arrays_of_another_kind(function, name, bad):
    good = arguments(function)[name]
    changed = {
        "float64": good.astype(np.float64),
        "bool": good.astype(bool),
        "list": good.tolist(),
        "none": None,
        "strided": every_other(good),
        "flat": good[None],
        "empty": good[:0],
    }[bad]
    if name in ("tiles", "pixels", "runs") and bad == "empty":
        return  # an empty list is a good one
    of_shape = bad in ("flat", "empty")
    any_dtype = (function, name) in [
        ("half_rows", "out"),
        *(("winograd", name) for name in ("weights", "x", "out")),
        *(("rows", name) for name in ("weights", "out")),
        *(("strided", name) for name in ("weights", "x")),
        *(("attend", name) for name in ("weights", "x", "row", "out")),
    ]
    any_array = any_dtype and bad not in ("list", "none")
    error = ValueError if of_shape or any_array else TypeError
    message = "must|have" if error is ValueError else "incompatible function arguments"
    check(function, error, message, {name: changed})


@pytest.mark.parametrize(
    ("function", "name"),
    [("winograd", "out"), ("rows", "out"), ("half_rows", "out"), ("compose", "sr"),
     ("decide", "activity"), *((function, "out") for function in AT_TILES)],
)  # fmt: skip
def test_an_output_that_cannot_be_written(function, name):
    locked = arguments(function)[name]
    locked.setflags(write=False)
    check(function, ValueError, "not writeable", {name: locked})


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
    check("winograd", ValueError, message, changes)


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
    check("winograd", ValueError, message, WITH_POOLED | changes)


def test_pooled_outputs_apart_from_the_others():
    kernels.winograd(**(arguments("winograd") | WITH_POOLED))
    memory = plane(size=(16, 6))
    small, large = plane(size=(4, 3)), plane()
    pooled = memory.ravel()[: small.size].reshape(small.shape)
    out = memory.ravel()[: large.size].reshape(large.shape)
    changes = WITH_POOLED | {"pooled": (pooled, 16)}
    check("winograd", ValueError, "must not overlap", changes | {"out": out})
    check("winograd", ValueError, "must not overlap", changes | {"x": out})


@pytest.mark.skipif(not kernels.has_half(), reason="this processor has no bfloat16 kernels")
def test_a_call_that_pools_is_good():
    kernels.half_rows(**(arguments("half_rows") | POOLED))


@pytest.mark.parametrize("function", ["winograd", "half_rows"])
def test_pooling_an_odd_size(function):
    out = plane(32, (4, 4))
    check(function, ValueError, "even size", {"width": 7, "pool": True, "out": out})


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
        ({"sources": [source(plane().astype(np.float16))]}, "source must hold float32 or uint16"),
        ({"sources": [source(every_other(plane()))]}, "source must hold .*C-contiguous"),
        ({"chain": chain(out=plane().astype(np.float16))}, "chain's out must hold float32 or"),
        ({"chain": chain(out=every_other(plane()))}, "chain's out must hold .*C-contiguous"),
        ({"out": half_plane(), "isa": "baseline"}, "no bfloat16 for baseline"),
    ],
)
def test_bad_calls_of_rows(changes, message):
    check("rows", ValueError, message, changes)


#: Changes that make a good call that pools.
POOLED = {"pool": True, "out": plane(16, (4, 3)), "runs": index_list(6, 7, 0, 1)}


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
@pytest.mark.skipif(not kernels.has_half(), reason="this processor has no bfloat16 kernels")
def test_bad_calls_of_half_rows(changes, message):
    check("half_rows", ValueError, message, changes)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lq": np.zeros((1, 0, 6), np.float32)}, "must be positive"),
        ({"lq": np.zeros(SIZE, np.float32)}, "lq must have shape"),
        ({"taps": np.zeros((5, 5), np.float32)}, "residual has too few channels"),
        ({"residual": plane(size=(4, 6))}, "residual must have shape"),
        ({"taps": np.zeros((0, 5), np.float32)}, "taps must have shape"),
        ({"taps": np.zeros((65, 5), np.float32)}, "taps must have shape"),
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
        ("details", {"lq": np.zeros((8, *SIZE), np.float32)}, "too few channels"),
        ("details", {"lq": np.zeros((0, *SIZE), np.float32)}, "lq must have shape"),
        ("details", {"out": plane(size=(12, 6))}, "out must have shape"),
        ("winograd", {"rest": np.zeros(15, np.float32)}, r"rest must have shape \(16\)"),
    ],
)
def test_bad_calls_of_the_kernels_at_tiles(function, changes, message):
    check(function, ValueError, message, changes)


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("rows", {"sources": None}),
        ("rows", {"sources": [None]}),
        ("rows", {"sources": [source()[:5]]}),
        ("rows", {"sources": [source(dy=0.5)]}),
        ("rows", {"sources": [source(first=2**40)]}),
        ("rows", {"sources": [source(plane().tolist())]}),
        ("rows", {"sources": [source(activity=np.ones(SHAPE, bool))]}),
        ("rows", {"chain": chain()[:3]}),
        ("half_rows", {"sources": [half_source(half_plane().astype(np.uint8))]}),
        ("half_rows", {"sources": [half_source(half_plane().astype(np.int16))]}),
        ("half_rows", {"sources": [source()]}),
        ("half_rows", {"dense_lines": 0.5}),
        ("half_rows", {"activity": np.ones(SHAPE, bool)}),
        ("winograd", {"bias": np.zeros(16)}),
        ("winograd", {"height": 8.5}),
        ("winograd", {"height": 2**40}),
        ("winograd", {"relu": "yes"}),
        ("decide", {"bias": "much"}),
    ],
)
def test_arguments_of_another_type(function, changes):
    check(function, TypeError, "incompatible function arguments", changes)


def shifted_views(array):
    """Return two arrays of equal shape in one memory, the second a pixel further on."""
    step = array.shape[-1]  # within a line
    memory = np.zeros(array.size + step, array.dtype)
    return memory[: array.size].reshape(array.shape), memory[step:].reshape(array.shape)


HALF_X, SMALL = half_plane(), plane(size=HALF)
FIRST_VIEW, SECOND_VIEW = shifted_views(plane())
FIRST_HALF, SECOND_HALF = shifted_views(half_plane())


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("winograd", {"x": X, "out": X}),
        ("winograd", {"x": FIRST_VIEW, "out": SECOND_VIEW}),
        ("winograd", {"residual": FIRST_VIEW, "out": SECOND_VIEW}),
        ("rows", {"sources": [source(X)], "out": X}),
        ("rows", {"sources": [source(X, dx=1)], "out": X}),
        ("rows", {"sources": [source(FIRST_VIEW)], "out": SECOND_VIEW}),
        ("rows", {"out": X, "chain": chain(out=X)}),
        ("rows", {"sources": [source(X, dy=1)], "chain": chain(out=X)}),
        ("rows", {"residual": X, "chain": chain(out=X)}),
        ("half_rows", {"sources": [half_source(HALF_X, dy=-1)], "out": HALF_X}),
        ("half_rows", {"sources": [half_source(FIRST_HALF)], "out": SECOND_HALF}),
        ("half_rows", {"residual": FIRST_HALF, "out": SECOND_HALF}),
        ("strided", {"size": HALF, "x": SMALL, "out_size": (2, 2), "out": SMALL[:, :6]}),
        ("attend", {"row": FIRST_VIEW, "out": SECOND_VIEW}),
        ("attend", {"x": FIRST_VIEW, "out": SECOND_VIEW}),
    ],
)
def test_outputs_that_other_pixels_would_read(function, changes):
    check(function, ValueError, "must not overlap", changes)


def list_within(array, values):
    """Return a list of indices in the memory of `array`, where it would be overwritten."""
    indices = array.reshape(-1).view(np.int32)[: len(values)]
    indices[:] = values
    return indices


TILED, LISTED = plane(), plane()
LISTED_HALF = half_plane()
PIXEL = 3 * SHAPE[1] + 3


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("winograd", {"tiles": list_within(TILED, [0]), "out": TILED}),
        ("rows", {"pixels": list_within(LISTED, [PIXEL]), "out": LISTED}),
        ("rows", {"pixels": list_within(LISTED, [PIXEL]), "chain": chain(out=LISTED)}),
        ("half_rows", {"runs": list_within(LISTED_HALF, [3]), "out": LISTED_HALF}),
    ],
)
def test_lists_that_the_output_would_overwrite(function, changes):
    check(function, ValueError, "must not overlap", changes)


def misaligned(array):
    """Return a copy that begins at an odd byte."""
    memory = np.zeros(array.nbytes + 1, np.uint8)[1:].view(array.dtype).reshape(array.shape)
    memory[...] = array
    return memory


@pytest.mark.parametrize(
    ("function", "changes"),
    [
        ("winograd", {"x": misaligned(plane())}),
        ("winograd", {"tiles": misaligned(np.zeros(1, np.int32))}),
        ("rows", {"out": misaligned(plane())}),
        ("rows", {"pixels": misaligned(np.full(1, PIXEL, np.int32))}),
        ("half_rows", {"out": misaligned(half_plane())}),
        ("half_rows", {"runs": misaligned(np.zeros(1, np.int32))}),
        ("compose", {"lq": misaligned(np.zeros((3, *SIZE), np.float32))}),
    ],
)
def test_arrays_that_begin_at_an_odd_byte(function, changes):
    check(function, ValueError, "must be aligned", changes)


def run_script(*arguments):
    """Run the fuzzing script, in a process of its own, because a crash would end this one."""
    done = subprocess.run(
        [sys.executable, str(FUZZ), *arguments], capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, f"exit status {done.returncode}\n{done.stdout}{done.stderr}"
    return done.stdout


def test_no_combination_of_arguments_crashes():
    raised, returned = (int(word) for word in run_script("calls").split())
    assert raised > 1000
    assert returned > 100


def test_more_threads_than_the_system_has_do_not_end_the_process():
    pytest.importorskip("resource", reason="needs limits on memory")
    assert run_script("threads").strip() == "alive"


def test_no_memory_is_an_error_on_every_thread():
    if not Path("/proc/self/statm").exists():
        pytest.skip("needs limits on memory, as Linux has them")
    assert run_script("memory").strip() == "MemoryError"
