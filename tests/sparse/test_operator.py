"""The sparse network as one operator of PyTorch, on both backends."""

from __future__ import annotations

import copy
import gc
import io
import pickle

import pytest
import torch
from networks import tiny_smsr
from torch.utils.flop_counter import FlopCounterMode

from smsr_plugin import to_sparse
from smsr_plugin.sparse.native.kernels import load_kernels

kernels = load_kernels()


def native(precision):
    able = kernels is not None and (precision == "fp32" or kernels.has_half())
    reason = f"no native kernels for {precision} here"
    return pytest.param(("native", precision), marks=pytest.mark.skipif(not able, reason=reason))


@pytest.fixture(params=[native("fp32"), native("bf16"), ("reference", "fp32")], ids="-".join)
def sparse(request):
    backend, precision = request.param
    return to_sparse(tiny_smsr(), precision, backend=backend)


def lq(batch=2, size=(7, 6), seed=0):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def some_mask(x):
    return torch.rand(len(x), 2, *x.shape[2:], generator=torch.Generator().manual_seed(1)) < 0.5


def handle(sparse):
    return sparse._handle


@pytest.mark.parametrize("with_mask", [False, True])
@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_torch_finds_no_fault_with_the_operator(sparse, with_mask, layout):
    x = lq().to(memory_format=layout)
    arguments = (x, some_mask(x) if with_mask else None, handle(sparse))
    torch.library.opcheck(torch.ops.smsr_plugin.sparse_network.default, arguments)


def test_the_operator_accepts_inputs_that_require_gradients(sparse):
    x = lq().requires_grad_()
    sr = sparse(x)
    assert not sr.requires_grad
    assert torch.equal(sr, sparse(x.detach()))


@pytest.mark.parametrize("backend", ["eager", "aot_eager"])
@pytest.mark.parametrize("with_mask", [False, True])
def test_a_compiled_network_equals_the_eager_one(sparse, backend, with_mask):
    torch._dynamo.reset()
    compiled = torch.compile(sparse, fullgraph=True, backend=backend)
    for size in [(7, 6), (5, 9)]:
        x = lq(size=size)
        mask = some_mask(x) if with_mask else None
        assert torch.equal(compiled(x, spa_mask=mask), sparse(x, spa_mask=mask))


def test_a_network_within_a_compiled_function(sparse):
    torch._dynamo.reset()

    @torch.compile(fullgraph=True, backend="aot_eager")
    def clamped(x):
        return sparse(x * 0.5).clamp(0, 1)

    assert torch.equal(clamped(lq()), sparse(lq() * 0.5).clamp(0, 1))


@pytest.mark.parametrize("density", [0.0, 0.4, 1.0, None])
def test_the_flop_counter_counts_what_is_kept(sparse, density):
    x = lq()
    mask = None if density is None else (torch.rand(2, 2, 7, 6) < density).float()
    with FlopCounterMode(display=False) as counter:
        _, stats = sparse(x, spa_mask=mask, return_stats=True)
    assert counter.get_total_flops() == pytest.approx(2 * sum(stats.macs), abs=1)
    assert 0 < sum(stats.macs) <= 2 * stats.macs_dense * (1 + 1e-9)


def test_a_copy_is_a_network_of_its_own(sparse):
    x = lq()
    expected = sparse(x)
    twin = copy.deepcopy(sparse)
    assert handle(twin) != handle(sparse)
    assert torch.equal(twin(x), expected)
    with torch.no_grad():
        twin.load_state_dict({name: value * 0 for name, value in twin.state_dict().items()})
    assert not torch.equal(twin(x), expected)
    assert torch.equal(sparse(x), expected)


@pytest.mark.parametrize("store", ["pickle", "torch.save"])
def test_saved_and_read_again(sparse, store):
    x = lq()
    expected = sparse(x)
    if store == "pickle":
        again = pickle.loads(pickle.dumps(sparse))
    else:
        buffer = io.BytesIO()
        torch.save(sparse, buffer)
        buffer.seek(0)
        again = torch.load(buffer, weights_only=False)
    assert handle(again) != handle(sparse)
    assert torch.equal(again(x), expected)
    other = {name: value * 0 for name, value in again.state_dict().items()}
    again.load_state_dict(other)
    assert not torch.equal(again(x), expected)


def test_loaded_weights_are_the_ones_that_run(sparse):
    x, mask = lq(), some_mask(lq())
    before = sparse(x, spa_mask=mask)  # packs the weights
    state = copy.deepcopy(sparse.state_dict())
    sparse.load_state_dict({name: value * 0.5 for name, value in state.items()})
    changed = sparse(x, spa_mask=mask)
    assert not torch.equal(changed, before)
    fresh = copy.deepcopy(sparse)
    assert torch.equal(fresh(x, spa_mask=mask), changed)
    sparse.load_state_dict(state)
    assert torch.equal(sparse(x, spa_mask=mask), before)


@torch.inference_mode()
def test_loaded_weights_are_the_ones_that_run_without_version_counters(sparse):
    sparse, x = copy.deepcopy(sparse), lq()  # tensors made in inference mode
    mask = some_mask(x)
    before = sparse(x, spa_mask=mask)
    sparse.load_state_dict({name: value * 0.5 for name, value in sparse.state_dict().items()})
    changed = sparse(x, spa_mask=mask)
    assert not torch.equal(changed, before)
    assert torch.equal(copy.deepcopy(sparse)(x, spa_mask=mask), changed)


def test_weights_changed_in_place_are_the_ones_that_run(sparse):
    x, mask = lq(), some_mask(lq())
    before = sparse(x, spa_mask=mask)
    with torch.no_grad():
        next(sparse.parameters()).mul_(0.5)
    changed = sparse(x, spa_mask=mask)
    assert not torch.equal(changed, before)
    assert torch.equal(copy.deepcopy(sparse)(x, spa_mask=mask), changed)


def test_another_dtype_after_a_run(sparse):
    x = lq()
    before = sparse(x)
    sparse.backend = "auto"
    double = sparse.to(torch.float64)
    sr = double(x.double())
    assert sr.dtype == torch.float64
    torch.testing.assert_close(sr.float(), before, rtol=0, atol=0.02)
    assert double(x).dtype == torch.float32


def test_there_and_back_to_bfloat16_after_a_run(sparse):
    x, mask = lq(), some_mask(lq())
    if kernels is not None and not kernels.has_half():
        sparse.backend = "auto"
    before, dtype = sparse(x, spa_mask=mask), sparse.dtype
    for other in (torch.bfloat16, torch.float32):
        sparse.to(other)
        assert torch.equal(sparse(x, spa_mask=mask), copy.deepcopy(sparse)(x, spa_mask=mask))
        assert torch.equal(sparse(x, spa_mask=mask), before) == (dtype == torch.bfloat16 == other)


def test_contexts_of_autograd_change_nothing(sparse):
    x = lq()
    expected = sparse(x)
    with torch.no_grad():
        assert torch.equal(sparse(x), expected)
    with torch.enable_grad():
        assert torch.equal(sparse(x), expected)
    with torch.inference_mode():
        sr = sparse(x)
        assert sr.is_inference()
        assert torch.equal(sr, expected)
        assert torch.equal(copy.deepcopy(sparse)(lq()), expected)


def test_networks_do_not_live_longer_than_their_users(sparse):
    from smsr_plugin.sparse import operator

    twin = copy.deepcopy(sparse)
    number = handle(twin)
    twin(lq())
    assert number in operator._networks
    del twin
    gc.collect()
    assert number not in operator._networks
