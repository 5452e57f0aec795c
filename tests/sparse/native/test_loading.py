"""Whether the native kernels are there and wanted, and which instruction set they use."""

from __future__ import annotations

import logging
import os
import subprocess
import sys

import pytest
import torch
from networks import tiny_smsr

import smsr_plugin
from smsr_plugin import to_sparse
from smsr_plugin.sparse.native.kernels import load_kernels, say_slow

built = pytest.mark.skipif(load_kernels() is None, reason="the native kernels were not built")
LOAD = "smsr_plugin.sparse.network.load_kernels"


@pytest.fixture
def _not_built(monkeypatch):
    """Make the import of the kernels fail, as where there was no compiler."""
    monkeypatch.setitem(sys.modules, "smsr_plugin._kernels", None)
    monkeypatch.delattr(smsr_plugin, "_kernels", raising=False)
    load_kernels.cache_clear()
    yield
    load_kernels.cache_clear()


@pytest.mark.usefixtures("_not_built")
def test_without_kernels_the_reference_runs_and_that_is_said_once(caplog):
    net, x = tiny_smsr(), torch.rand(1, 3, 6, 5)
    with caplog.at_level(logging.WARNING):
        results = [to_sparse(net)(x) for _ in range(3)]
    said = [record for record in caplog.records if "native kernels" in record.getMessage()]
    assert len(said) == 1
    assert "C++17 compiler" in said[0].getMessage()
    expected = to_sparse(net, backend="reference")(x)
    assert all(torch.equal(result, expected) for result in results)


@pytest.mark.usefixtures("_not_built")
def test_without_kernels_the_native_backend_says_why_it_cannot_run():
    with pytest.raises(RuntimeError, match='backend="native" cannot be used: they were not built'):
        to_sparse(tiny_smsr(), backend="native")(torch.rand(1, 3, 4, 4))


@built
@pytest.mark.parametrize(("precision", "dtype"), [("fp64", torch.float32), ("fp32", torch.float64)])
def test_float64_takes_the_reference_path(precision, dtype):
    net, x = tiny_smsr(), torch.rand(1, 3, 6, 5, dtype=dtype)
    sr = to_sparse(net, precision)(x)
    assert sr.dtype == dtype
    assert torch.equal(sr, to_sparse(net, precision, backend="reference")(x))
    with pytest.raises(RuntimeError, match="there are no kernels for weights in"):
        to_sparse(net, precision, backend="native")(x)


@built
def test_other_devices_take_the_reference_path():
    sparse = to_sparse(tiny_smsr(), backend="native").to("meta")
    with pytest.raises(RuntimeError, match="the kernels run on the CPU, and the input is on meta"):
        sparse.infer(torch.rand(1, 3, 4, 4, device="meta"), None)


class WithoutHalf:
    """Kernels of a processor that has no bfloat16 instructions."""

    MAX_CHANNELS = 1024

    def has_half(self):
        return False

    def isa(self):
        return "avx2"


def test_bfloat16_without_its_instructions_takes_the_reference_path(monkeypatch, caplog):
    monkeypatch.setattr(LOAD, WithoutHalf)
    say_slow.cache_clear()
    net, x = tiny_smsr(), torch.rand(1, 3, 6, 5)
    with caplog.at_level(logging.WARNING):
        expected = to_sparse(net, "bf16", backend="reference")(x)
        assert not caplog.records  # as was asked for
        for _ in range(2):
            assert torch.equal(to_sparse(net, "bf16")(x), expected)
    (said,) = caplog.records
    assert "in plain PyTorch, which is slower: this processor (avx2) has no" in said.getMessage()
    with pytest.raises(
        RuntimeError, match=r"this processor \(avx2\) has no bfloat16 instructions: take fp32"
    ):
        to_sparse(net, "bf16", backend="native")(x)


def test_too_many_features_take_the_reference_path(monkeypatch):
    few = WithoutHalf()
    few.MAX_CHANNELS = 10
    monkeypatch.setattr(LOAD, lambda: few)
    net, x = tiny_smsr(), torch.rand(1, 3, 6, 5)
    assert torch.equal(to_sparse(net)(x), to_sparse(net, backend="reference")(x))
    with pytest.raises(RuntimeError, match="a layer has 12 channels"):
        to_sparse(net, backend="native")(x)


def isa_of_a_process(wanted):
    """Return what a process that is told to use an instruction set does."""
    return subprocess.run(
        [sys.executable, "-c", "from smsr_plugin import _kernels; print(_kernels.isa())"],
        env={**os.environ, "SMSR_ISA": wanted},
        capture_output=True,
        text=True,
        timeout=60,
    )


@built
def test_smsr_isa_chooses_the_instruction_set():
    available = load_kernels().available()
    assert available[0] == "baseline"
    for name in available:
        assert isa_of_a_process(name).stdout.strip() == name
    assert isa_of_a_process("").stdout.strip() == available[-1]


@built
@pytest.mark.parametrize("wrong", ["sse9", "AVX2", "avx2 "])
def test_a_wrong_smsr_isa_is_an_error_that_names_the_right_ones(wrong):
    done = isa_of_a_process(wrong)
    assert done.returncode == 1
    names = ", ".join(load_kernels().available())
    assert f'ValueError: SMSR_ISA is "{wrong}"; this processor runs: {names}' in done.stderr
