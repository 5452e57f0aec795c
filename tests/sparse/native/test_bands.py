"""Blocks in bands of rows against the network's formula, and against planes of the whole image."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_networks import CLOSE, image, loud_smsr, native, per_precision, random_masks
from networks import literal_forward, split_channels

from smsr_plugin.sparse.native import bands, engine
from smsr_plugin.sparse.native.bands import Band, Ring
from smsr_plugin.sparse.native.planes import Planes

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Rows of a band in these tests, and of a ring: those of the layers that lag behind by so much.
ROWS, LAG = 16, 8


@pytest.fixture(autouse=True)
def _small_bands(monkeypatch):
    monkeypatch.setattr(bands, "ROWS", ROWS)


def in_bands(net, monkeypatch, x, **options):
    """Return sr and statistics of a run in bands."""
    with monkeypatch.context() as patch:
        patch.setattr(engine, "WHOLE", 0)
        return net(x, return_stats=True, **options)


def some_dense(net, seed):
    """Make some channels of every layer dense, none in one of them."""
    draw = np.random.default_rng(seed)
    config = net.config
    dense = [
        [
            sorted(draw.choice(config.num_feat, draw.integers(0, config.num_feat), replace=False))
            for _ in range(config.num_layer)
        ]
        for _ in range(config.num_block)
    ]
    dense[0][-1] = []
    return split_channels(net, dense)


@per_precision
@pytest.mark.parametrize("density", [0.0, 0.02, 0.5, 1.0])
@pytest.mark.parametrize(
    "height",
    [1, 3, LAG, ROWS - 1, ROWS, ROWS + 1, ROWS + LAG, ROWS + LAG + 1, 2 * ROWS, 5 * ROWS + 3, 117],
)
def test_any_height_is_the_formula(height, density, precision, monkeypatch):
    net = some_dense(loud_smsr(num_feat=20, num_layer=3), height)
    x = image(height, 21, seed=height)
    masks = random_masks(net, x, density, height)
    sr, _ = in_bands(native(net, precision), monkeypatch, x, spa_mask=masks)
    expected = literal_forward(net, x.double(), masks, net.channel_masks())
    bound = CLOSE[precision]["atol"] * (1 if precision == "fp32" else 4)
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=bound)


@settings(max_examples=20)
@given(
    height=st.integers(1, 90),
    width=st.integers(1, 40),
    layers=st.integers(1, 6),
    threshold=st.sampled_from([-1e9, -0.02, 0.0, 0.02, 1e9]),
    upscale=st.integers(2, 4),
    seed=st.integers(0, 99),
)
def test_equals_planes_of_the_whole_image(height, width, layers, threshold, upscale, seed):
    net = loud_smsr(seed, num_feat=16, num_layer=layers, num_block=3, upscale=upscale)
    sparse = native(some_dense(net, seed), threshold=threshold)
    x = image(height, width, seed=seed)
    whole, stats = sparse(x, return_stats=True)
    with pytest.MonkeyPatch.context() as monkeypatch:
        monkeypatch.setattr(bands, "ROWS", ROWS)
        sr, banded = in_bands(sparse, monkeypatch, x)
    assert torch.equal(stats.spa_mask, banded.spa_mask)
    assert stats.macs == banded.macs
    # Each is off by its own roundings, which six loud layers make larger.
    torch.testing.assert_close(sr, whole, rtol=0, atol=4 * CLOSE["fp32"]["atol"])


@per_precision
def test_runs_after_each_other_leave_nothing_behind(precision, monkeypatch):
    """Of another size, of other masks, in bands and not: the memory is the same."""
    net = some_dense(loud_smsr(num_feat=40), 3)
    used, sizes = native(net, precision), [(70, 33), (41, 60), (70, 33), (9, 5), (64, 33)]
    for seed, size in enumerate(sizes * 2):
        x = image(*size, seed=seed)
        masks = random_masks(net, x, 0.4, seed)
        fresh = in_bands(native(net, precision), monkeypatch, x, spa_mask=masks)[0]
        used(image(50, 20), spa_mask=random_masks(net, image(50, 20), 0.9, seed))
        again = in_bands(used, monkeypatch, x, spa_mask=masks)[0]
        assert torch.equal(again, fresh)


def test_the_number_of_threads_changes_nothing(monkeypatch):
    net = native(loud_smsr(num_feat=20))
    x, before = image(75, 50), torch.get_num_threads()
    results = []
    for threads in (1, 2, 3):
        torch.set_num_threads(threads)
        results.append(in_bands(net, monkeypatch, x)[0])
    torch.set_num_threads(before)
    assert torch.equal(results[0], results[1])
    assert torch.equal(results[0], results[2])


def test_large_images_need_less_than_planes_of_their_size(monkeypatch):
    net = native(loud_smsr(num_feat=64, num_layer=4, num_block=5))
    whole = net.bytes_needed(1080, 1920)
    monkeypatch.setattr(engine, "WHOLE", 1 << 40)
    assert whole < 0.6 * net.bytes_needed(1080, 1920)


@given(height=st.integers(1, 200), step=st.sampled_from([4, 12, 20]), seed=st.integers(0, 9))
def test_a_ring_holds_the_rows_that_are_read(height, step, seed):
    """Row numbers written in steps through a ring are read back with a row around each piece."""
    lag, rows = 8, step + 12
    planes = Planes()
    planes.resize(height, 3)
    plane = planes.plane("ring", 16, size=(rows, 3))
    plane[:] = -np.random.default_rng(seed).random(plane.shape)  # left by others
    ring = Ring(plane, rows)
    read: list[int] = []
    for start in range(0, height, step):
        stop = start + step
        if stop >= height:
            ring.close(height)
        band = Band(start, min(stop, height))
        for piece in ring.pieces(band):
            for y in range(piece.start, piece.stop):
                ring.plane(piece)[:, y - piece.start + 1] = y + 1
            ring.written(piece)
        behind = Band(max(0, start - lag), height if stop >= height else max(0, stop - lag))
        for piece in ring.pieces(behind):
            found = ring.plane(piece)[0, :, 1, 0]
            around = np.arange(piece.start - 1, piece.stop + 1)
            expected = np.where((around >= 0) & (around < height), around + 1, 0)
            assert found[: len(expected)].tolist() == expected.tolist()
            assert not found[len(expected) :].any() or piece.stop < height
            read += around[1:-1].tolist()
    assert read == list(range(height))
