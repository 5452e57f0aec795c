"""What inference does in a process that was forked, or spawned: it works, or says what to do."""

from __future__ import annotations

import multiprocessing

import pytest
import torch
from networks import tiny_smsr
from other_process import (
    converted,
    copied,
    dense,
    given_masks,
    half_precision,
    plain,
    run_in,
    with_stats,
)

from smsr_plugin import to_sparse
from smsr_plugin.sparse.native.kernels import load_kernels

#: Large enough that PyTorch spreads operations on it, and on the weights, over threads.
SIZE, FEATURES = (200, 220), 64

needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the system cannot fork"
)
pytestmark = pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
BACKENDS = ["reference", *(["native"] if load_kernels() is not None else [])]


def network():
    return tiny_smsr(num_feat=FEATURES, num_block=1, num_layer=2).float()


def lq():
    return torch.rand(1, 3, *SIZE, generator=torch.Generator().manual_seed(0))


@pytest.fixture(scope="module")
def subjects():
    net = network()
    return net, {backend: to_sparse(net, backend=backend) for backend in BACKENDS}, lq()


@pytest.fixture(autouse=True)
def _threads():
    """Let PyTorch's threads exist, as they do in a program that has computed something."""
    torch.set_num_threads(2)
    torch.rand(500, 500) @ torch.rand(500, 500)
    torch.rand(1_000_000).sigmoid()


@needs_fork
@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize(
    "call", [plain, with_stats, given_masks, half_precision, converted, copied, dense]
)
def test_a_forked_process_computes_the_same(subjects, backend, call):
    net, networks, x = subjects
    torch.set_num_threads(1)
    expected = call(net, networks[backend], x)
    torch.set_num_threads(2)
    call(net, networks[backend], x)
    sent = run_in("fork", call, net, networks[backend], x)
    assert sent == expected.numpy().tobytes()


@needs_fork
def test_a_forked_process_that_asks_for_threads_is_told_at_once(subjects):
    def call(net, sparse, x):
        torch.set_num_threads(2)
        return sparse(x)

    def convert(net, sparse, x):
        torch.set_num_threads(2)
        return to_sparse(net)(x)

    net, networks, x = subjects
    for ask in (call, convert):
        sent = run_in("fork", ask, net, networks["reference"], x)
        assert sent.startswith(b"RuntimeError: this process was forked")
        assert b"set_num_threads at 1, or start it with multiprocessing's spawn" in sent


@pytest.mark.slow
@pytest.mark.parametrize("backend", BACKENDS)
def test_a_spawned_process_computes_the_same(monkeypatch, subjects, backend):
    net, networks, x = subjects
    expected = with_stats(net, networks[backend], x)
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    sent = run_in("spawn", with_stats, net, networks[backend], x)
    found = torch.frombuffer(bytearray(sent), dtype=torch.float32)
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5)
