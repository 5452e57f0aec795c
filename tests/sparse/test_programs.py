"""Programs of random steps, on both backends, against their literal evaluation."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_networks import KernelsOf
from programs import ProgramMaker, literal

from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.sparse.network import SparseNetwork

kernels = load_kernels()
BACKENDS = [
    pytest.param("fp64", "reference", 1e-9, id="reference"),
    pytest.param("fp32", "native", 2e-4, id="native-fp32"),
    pytest.param("bf16", "native", 0.15, id="native-bf16"),
    pytest.param("fp32", "bands", 2e-4, id="native-fp32-in-bands"),
    pytest.param("bf16", "bands", 0.15, id="native-bf16-in-bands"),
    pytest.param("bf16", "avx512_bf16", 0.15, id="native-bf16-without-matrix-tiles"),
]
DTYPES = {"fp64": torch.float64, "fp32": torch.float32, "bf16": torch.bfloat16}


@dataclass
class Config:
    num_in_ch: int
    num_out_ch: int
    upscale: int
    num_block: int
    num_feat: int = 0
    num_layer: int = 0


@contextmanager
def network(program, precision, backend):
    """Yield a network of a program."""
    if backend != "reference" and (
        kernels is None
        or (precision == "bf16" and not kernels.has_half())
        or (backend == "avx512_bf16" and backend not in kernels.available())
    ):
        pytest.skip("there are no native kernels for this here")
    config = Config(program.num_in_ch, program.num_out_ch, program.upscale, program.num_masks)
    with pytest.MonkeyPatch.context() as patch:
        if backend == "avx512_bf16":
            held = KernelsOf(backend, isa=lambda: "avx512_bf16")
            patch.setattr("smsr_plugin.sparse.network.load_kernels", lambda: held)
            backend = "native"
        if backend == "bands":
            patch.setattr("smsr_plugin.sparse.native.engine.WHOLE", 0)
            patch.setattr("smsr_plugin.sparse.native.bands.ROWS", 4)
            backend = "native"
        net = SparseNetwork(program, config, precision, 0.0, backend)
        yield net.to(DTYPES[precision])


@pytest.mark.parametrize(("precision", "backend", "tolerance"), BACKENDS)
@given(
    seed=st.integers(0, 10_000),
    at_tiles=st.booleans(),
    channels=st.sampled_from([3, 20, 33]),
    size=st.tuples(st.one_of(st.integers(1, 9), st.integers(20, 50)), st.integers(1, 20)),
    density=st.sampled_from([0.0, 0.2, 0.6, 1.0]),
)
@settings(max_examples=60)
def test_any_program_with_given_masks(
    precision, backend, tolerance, seed, at_tiles, channels, size, density
):
    program = ProgramMaker(seed, channels, at_tiles).program()
    x = torch.rand(2, program.num_in_ch, *size, dtype=torch.float64)
    masks = torch.rand(2, program.num_masks, *size) < density
    expected, _, _ = literal(program, x, masks)
    with network(program, precision, backend) as net:
        sr = net(x if backend == "reference" else x.float(), spa_mask=masks)
    scale = 1 + expected.abs().max()
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=(tolerance * scale).item())


@pytest.mark.parametrize(("precision", "backend", "tolerance"), BACKENDS[:2])
@given(
    seed=st.integers(0, 10_000),
    at_tiles=st.booleans(),
    size=st.tuples(st.integers(1, 9), st.integers(1, 20)),
)
@settings(max_examples=30)
def test_any_program_decides_its_masks(precision, backend, tolerance, seed, at_tiles, size):
    program = ProgramMaker(seed, at_tiles=at_tiles).program()
    x = torch.rand(1, program.num_in_ch, *size, dtype=torch.float64)
    with network(program, precision, backend) as net:
        sr, stats = net(x.to(DTYPES[precision]), return_stats=True)
    # What it decided is taken as given: a logit within rounding of 0 may be decided either way.
    expected, _, logits = literal(program, x, stats.spa_mask)
    decided = logits.abs() > 1e-4 * (1 + logits.abs().amax())
    assert torch.equal(stats.spa_mask[decided], logits[decided] > 0)
    scale = 1 + expected.abs().max()
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=(tolerance * scale).item())
