from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch

from smsr_plugin import to_sparse
from smsr_plugin.images.pixels import luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.report.speed import (
    EVERY_PIXEL,
    MOST_TIMES,
    THRESHOLDS,
    measure_curve,
    measure_parts,
    thresholds_with,
)


@pytest.fixture
def x():
    return torch.rand(1, 3, 10, 12, generator=torch.Generator().manual_seed(0))


def nothing():
    pass


def test_the_picture_is_clamped_and_rounded():
    sr = torch.tensor([-0.2, 0.4, 0.5019, 1.3]).view(1, 1, 2, 2).expand(1, 3, 2, 2)
    picture = to_image(sr.numpy())
    assert picture.dtype == np.uint8
    assert picture[..., 2].tolist() == [[0, 102], [128, 255]]


def test_each_point_is_what_the_network_of_that_threshold_gives(net, x):
    reference = luma(np.random.default_rng(0).integers(0, 256, (20, 24, 3), dtype=np.uint8))
    curve = measure_curve(to_sparse(net, threshold=0.5), x, reference, 1, nothing).points
    assert [point.threshold for point in curve] == list(thresholds_with(0.5))
    assert len(curve) == len(THRESHOLDS) + 1
    assert len({point.density for point in curve}) > 3
    for point in curve:
        sr, stats = to_sparse(net, threshold=point.threshold)(x, return_stats=True)
        assert point.density == pytest.approx(float(stats.spa_density.mean()))
        assert point.kept == pytest.approx(stats.kept)
        assert point.psnr == pytest.approx(psnr_inside(luma(to_image(sr.numpy())), reference, 2))
        assert point.times.median > 0
    assert curve[0].threshold == EVERY_PIXEL
    assert curve[0].kept == 1


def test_without_ground_truth_results_are_compared_with_that_at_zero(net, x):
    curve = measure_curve(to_sparse(net, threshold=2.0), x, None, 1, nothing).points
    at_zero = to_image(to_sparse(net)(x).numpy())
    for point in curve:
        result = to_image(to_sparse(net, threshold=point.threshold)(x).numpy())
        assert point.psnr == pytest.approx(psnr_inside(luma(result), luma(at_zero), 2))
    assert next(point for point in curve if point.threshold == 0).psnr == math.inf


class Clock:
    """A clock by which each run takes the next of some seconds."""

    def __init__(self, monkeypatch, lasting):
        self.now, self.starting, self.lasting = 0.0, True, lasting
        monkeypatch.setattr("smsr_plugin.report.speed.perf_counter", self)

    def __call__(self):
        if not self.starting:
            self.now += next(self.lasting)
        self.starting = not self.starting
        return self.now


def test_thresholds_take_turns_and_the_networks_own_comes_back(net, x, monkeypatch):
    sparse, seen, turns = to_sparse(net, threshold=1.0), [], []
    Clock(monkeypatch, itertools.repeat(1.0))
    handle = sparse.register_forward_pre_hook(lambda *_: seen.append(sparse.threshold))
    measure_curve(sparse, x, None, 2, lambda: turns.append(len(seen)))
    handle.remove()
    assert seen == 3 * list(THRESHOLDS)
    assert turns == [len(THRESHOLDS) * turn for turn in (1, 2, 3)]
    assert sparse.threshold == 1.0

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        measure_curve(sparse, x, None, 1, stop)
    assert sparse.threshold == 1.0


def test_runs_are_repeated_until_they_agree_and_else_have_no_time(net, x, monkeypatch):
    sparse, width, turns = to_sparse(net), len(THRESHOLDS), []
    Clock(monkeypatch, itertools.chain([1.0] * width, [2.0] * width, itertools.repeat(1.0)))
    curve = measure_curve(sparse, x, None, 2, lambda: turns.append(1))
    assert curve.runs == 5  # of 1, 2, 1, 1, 1 the quartiles agree
    assert len(turns) == 3
    assert [point.seconds for point in curve.points] == [1.0] * width
    wild = itertools.cycle([1.0] * (width - 1) + [1.0, *[1.0] * (width - 1), 2.0])
    Clock(monkeypatch, wild)
    curve = measure_curve(sparse, x, None, 2, nothing)
    assert curve.runs == 2 * MOST_TIMES
    assert [point.seconds for point in curve.points] == [1.0] * (width - 1) + [None]
    assert curve.unsteady == 1
    assert curve.spread == pytest.approx(1 / 1.5)


def test_parts_are_told_by_block_and_for_the_rest(net, x, has_kernels):
    if not has_kernels:
        pytest.skip("the native kernels were not built")
    parts = measure_parts(to_sparse(net), x, runs=3)
    assert [list(block) for block in parts.blocks] == 2 * [["masks", "sparse layers", "fuse"]]
    assert list(parts.others) == ["head", "collect", "tail", "bicubic"]
    every = [*parts.others.values(), *(v for block in parts.blocks for v in block.values())]
    assert parts.whole.median > max(every)
    assert all(seconds > 0 for block in parts.blocks for seconds in block.values())


def test_the_reference_has_no_parts(net, x):
    assert measure_parts(to_sparse(net, backend="reference"), x, runs=1) is None
