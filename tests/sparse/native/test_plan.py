"""The choice between tiles and pixels, with a clock that the test turns."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

from smsr_plugin.sparse.native import mixed, packing, plan


class Kernels(SimpleNamespace):
    """Kernels as a key of a cache, as modules are."""

    __hash__ = object.__hash__


def fake_kernels(monkeypatch, seconds_per_tile, seconds_per_pixel):
    """Return kernels that only take time, and a list of the calls they got."""
    clock, calls = [0.0], []

    def take(name, elements, seconds_per_element):
        calls.append(name)
        clock[0] += len(elements) * seconds_per_element

    monkeypatch.setattr(plan.time, "perf_counter", lambda: clock[0])
    kernels = Kernels(
        winograd=lambda h, w, tiles, *_, **__: take("tiles", tiles, seconds_per_tile),
        rows=lambda h, w, pixels, *_, **__: take("pixels", pixels, seconds_per_pixel),
    )
    return kernels, calls


def winograd_weights(depth, width):
    return packing.winograd(np.zeros((width, depth, 3, 3)))


def test_what_takes_less_time_is_chosen(monkeypatch):
    kernels, _ = fake_kernels(monkeypatch, seconds_per_tile=8.0, seconds_per_pixel=2.0)

    def cheaper(tiles, pixels):
        lists = np.zeros(tiles, np.int32), np.zeros(pixels, np.int32)
        return plan.tiles_are_cheaper(kernels, winograd_weights(20, 40), *lists)

    assert cheaper(tiles=10, pixels=41)  # 80 against 82 seconds
    assert not cheaper(tiles=10, pixels=39)
    assert cheaper(tiles=1, pixels=16)
    assert not cheaper(tiles=1, pixels=1)
    assert not cheaper(tiles=0, pixels=0)


@pytest.mark.parametrize(
    "other",
    [winograd_weights(16, 32), winograd_weights(32, 16), mixed.winograd(np.zeros((16, 16, 3, 3)))],
    ids=["more outputs", "more inputs", "bfloat16"],
)
def test_each_number_of_lines_is_measured_once(monkeypatch, other):
    kernels, calls = fake_kernels(monkeypatch, 1.0, 1.0)
    nothing = np.zeros(0, np.int32)
    for depth, width in [(16, 16), (1, 1), (16, 9)]:
        plan.tiles_are_cheaper(kernels, winograd_weights(depth, width), nothing, nothing)
    measured = len(calls)
    assert set(calls) == {"tiles", "pixels"}
    assert measured == 2 * plan.REPEATS
    plan.tiles_are_cheaper(kernels, other, nothing, nothing)
    assert len(calls) == 2 * measured
