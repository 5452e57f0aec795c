"""Runs after and beside each other: planes used again, threads, errors, forks."""

from __future__ import annotations

import copy
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from native_networks import (
    CLOSE,
    image,
    loud_smsr,
    native,
    per_precision,
    random_masks,
)
from networks import split_channels

from smsr_plugin import to_sparse
from smsr_plugin.sparse.native import layers

pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


@per_precision
def test_other_layouts_of_the_input(precision):
    net = loud_smsr()
    sparse, x = native(net, precision), image(6, 7, batch=2)
    masks = random_masks(net, x)
    expected = sparse(x, spa_mask=masks)
    wide = torch.zeros(2, 6, 6, 14)
    wide[:, ::2, :, ::2] = x
    for other in (x.to(memory_format=torch.channels_last), wide[:, ::2, :, ::2]):
        assert torch.equal(sparse(other, spa_mask=masks.bool()), expected)
    one = x[:1].expand(3, -1, -1, -1)
    assert torch.equal(sparse(one, spa_mask=masks[:1].expand(3, -1, -1, -1))[2], expected[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_inputs_in_half_precision_are_computed_in_float32(dtype):
    sparse, x = native(loud_smsr()), image(5, 6).to(dtype)
    sr = sparse(x)
    assert sr.dtype == dtype
    assert torch.equal(sr, sparse(x.float()).to(dtype))


@per_precision
def test_planes_are_used_again_for_other_sizes(precision):
    sparse = native(loud_smsr(num_feat=40), precision)
    for size in [(17, 23), (3, 2), (17, 23), (23, 17), (8, 31), (16, 22), (17, 23)]:
        x = image(*size, batch=2, seed=sum(size))
        fresh = copy.deepcopy(sparse)
        assert torch.equal(sparse(x), fresh(x)), size
        assert torch.equal(sparse(x), fresh(x)), size


@per_precision
def test_nothing_is_left_of_masks_before(precision):
    net = loud_smsr(num_feat=40, num_block=3)
    sparse, x = native(net, precision), image(11, 37)
    for seed, density in enumerate([1.0, 0.3, 0.0, 0.02, 1.0, 0.0]):
        masks = random_masks(net, x, density, seed)
        fresh = copy.deepcopy(sparse)
        assert torch.equal(sparse(x, spa_mask=masks), fresh(x, spa_mask=masks)), density


@per_precision
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_nothing_is_left_of_an_image_of_other_numbers(precision, bad):
    net = loud_smsr(num_feat=40)
    sparse, x = native(net, precision), image(11, 14)
    masks = random_masks(net, x)
    expected = sparse(x, spa_mask=masks)
    broken = x.clone()
    broken[..., 5, 6] = bad
    # Below the check of the range, which would refuse 1e38.
    sr, _ = sparse._backend_for(broken)(broken, 1 - masks, 0.0)
    if bad != 1e38:
        assert not sr.isfinite().all()
    assert torch.equal(sparse(x, spa_mask=masks), expected)


@per_precision
def test_nan_reaches_the_output(precision):
    net, x = loud_smsr(), image(9, 12)
    x[0, 1, 4, 5] = float("nan")
    assert native(net, precision)(x).isnan().any()


@per_precision
def test_an_image_whose_planes_are_stored_past_the_cache(precision):
    net = split_channels(loud_smsr(num_feat=64, num_block=1), [[range(40), range(20), range(64)]])
    x = image(200, 180)
    masks = random_masks(net, x, 0.4)
    expected = to_sparse(net, backend="reference")(x, spa_mask=masks)
    torch.set_num_threads(2)
    sr = native(net, precision)(x, spa_mask=masks)
    torch.testing.assert_close(sr, expected, **CLOSE[precision])


@per_precision
def test_threads_do_not_change_a_bit(precision):
    sparse, x = native(loud_smsr(num_feat=40), precision), image(40, 50)
    runs = []
    for threads in (1, 2, 4, 1):
        torch.set_num_threads(threads)
        runs.append(sparse(x))
    assert all(torch.equal(run, runs[0]) for run in runs)


@per_precision
def test_several_threads_may_infer_at_once(precision):
    sparse = native(loud_smsr(num_feat=20), precision)
    images = [image(8 + i % 5, 9 + i % 7, seed=i) for i in range(40)]
    expected = [copy.deepcopy(sparse)(x) for x in images]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(sparse, images))
    assert all(torch.equal(*pair) for pair in zip(results, expected, strict=True))


def test_an_error_does_not_spoil_the_next_run(monkeypatch):
    sparse, x = native(loud_smsr()), image(7, 5)
    expected = sparse(x)

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(layers.MapConv, "__call__", fail)
        with pytest.raises(MemoryError):
            sparse(x)
    assert torch.equal(sparse(x), expected)
