"""A bad call of any kernel raises, with a message, and never crashes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from kernel_calls import (
    INT_MAX,
    SHAPE,
    arguments,
    chain,
    check,
    every_other,
    kernels,
    plane,
    side,
    source,
)

FUZZ = Path(__file__).parent / "fuzz_kernels.py"


AT_TILES = ["strided", "maximum", "attend", "blend", "details"]


FUNCTIONS = ["tiles", "rows", "image", "compose", "decide", "list_active", *AT_TILES]


@pytest.mark.parametrize("function", FUNCTIONS)
def test_the_arguments_that_are_changed_below_are_good(function):
    getattr(kernels, function)(**arguments(function))


SIZED = [name for name in FUNCTIONS if name not in ("image", "compose", *AT_TILES)]


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


@pytest.mark.parametrize("function", ["tiles", "rows", "image", "compose", *AT_TILES])
@pytest.mark.parametrize("isa", ["", "sse9", "AVX2"])
def test_unknown_instruction_sets(function, isa):
    check(function, ValueError, f"no kernels named {isa}", {"isa": isa})


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
    if name in ("tiles", "pixels") and bad == "empty":
        return  # an empty list is a good one
    if name == "taps" and bad == "none":
        return  # they may be left out
    of_shape = bad in ("flat", "empty")
    any_dtype = (function, name) in [
        *(("tiles", name) for name in ("weights", "x", "out")),
        *(("rows", name) for name in ("weights", "out")),
        *(("strided", name) for name in ("weights", "x")),
        *(("attend", name) for name in ("weights", "x", "row", "out")),
        ("blend", "out"),
        ("image", "out"),
    ]
    any_array = any_dtype and bad not in ("list", "none")
    error = ValueError if of_shape or any_array else TypeError
    message = "must|have" if error is ValueError else "incompatible function arguments"
    check(function, error, message, {name: changed})


@pytest.mark.parametrize(
    ("function", "name"),
    [("tiles", "out"), ("rows", "out"), ("image", "out"), ("compose", "sr"),
     ("decide", "activity"), *((function, "out") for function in AT_TILES)],
)  # fmt: skip
def test_an_output_that_cannot_be_written(function, name):
    locked = arguments(function)[name]
    locked.setflags(write=False)
    check(function, ValueError, "not writeable", {name: locked})


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
        ("blend", {"active": side()[:2]}),
        ("blend", {"inactive": ([plane()], *side()[1:])}),
        ("tiles", {"bias": np.zeros(16)}),
        ("tiles", {"height": 8.5}),
        ("tiles", {"height": 2**40}),
        ("tiles", {"relu": "yes"}),
        ("decide", {"bias": "much"}),
    ],
)
def test_arguments_of_another_type(function, changes):
    check(function, TypeError, "incompatible function arguments", changes)


def run_script(*arguments):
    """Run the fuzzing script, in a process of its own, because a crash would end this one."""
    done = subprocess.run(
        [sys.executable, str(FUZZ), *arguments], capture_output=True, text=True, timeout=300
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
