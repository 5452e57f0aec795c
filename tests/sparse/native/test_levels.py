"""Which planes hold bytes, what their levels count, and how weights become levels."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest
import torch
from byte_products import packed_rows, packed_tiles
from native_networks import KernelsOf
from networks import split_channels, tiny_smsr

from smsr_plugin import to_sparse
from smsr_plugin.archs.steps import Fuse, Hourglass, MaskedConv, Peaks
from smsr_plugin.runtime import Runtime, UnsuitedError
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.levels import input_units, units_of
from smsr_plugin.sparse.native.limits import obstacle_to

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


class WithBytes:
    """Kernels that have everything, whatever the processor."""

    MAX_CHANNELS = 1024

    def __init__(self, half=True, in_bytes=True):
        self.half, self.in_bytes = half, in_bytes

    def isa(self):
        return "the stub"

    def has_half(self):
        return self.half

    def has_bytes(self):
        return self.in_bytes


def net_with_peaks():
    """Two blocks of three layers; the last layer of each is dense, as wide as the block."""
    net = split_channels(tiny_smsr(), [[[0], [], range(6)]] * 2)
    net.feature_peaks = torch.arange(1, 9).reshape(2, 4) / 2
    return net


def program_of(net):
    return net.program().map(lambda _, weight: weight.double().numpy())


PROGRAM = program_of(net_with_peaks())
BLOCKS = [{f"block{k}.layer{i}": (4 * k + i + 2) / 2 / 255 for i in range(3)} for k in range(2)]


def changed(name, **changes):
    """Return the program with another step in place of the one that writes a plane."""
    steps = [replace(step, **changes) if step.writes == name else step for step in PROGRAM.steps]
    return replace(PROGRAM, steps=tuple(steps))


def with_step(step, **changes):
    """Return the program with one more step, before the last."""
    return replace(PROGRAM, steps=(*PROGRAM.steps[:-1], step, PROGRAM.steps[-1]), **changes)


def conv(x, out):
    weight = np.zeros((6, 6, 3, 3))
    return MaskedConv(x, out, 0, weight, 6, peaks=Peaks(1.0, 1.0))


def test_the_planes_between_a_blocks_input_and_its_fuse_hold_bytes():
    units = units_of(PROGRAM)
    assert units == pytest.approx(BLOCKS[0] | BLOCKS[1])
    assert units_of(program_of(tiny_smsr())) == {}


@pytest.mark.parametrize(
    "changes",
    [{"peaks": None}, {"slope": 0.1}, {"slope": None}, {"slope": np.full(6, 0.1)}],
    ids=str,
)
def test_all_planes_of_a_fuse_do_or_none(changes):
    assert units_of(changed("block0.layer1", **changes)) == pytest.approx(BLOCKS[1])


def test_none_does_where_others_read_one():
    """A convolution that makes no plane of the fuse, another fuse, a mask, or the fuse itself."""
    last = next(step for step in PROGRAM.steps if isinstance(step, Fuse))
    first = next(step for step in PROGRAM.steps if isinstance(step, Hourglass))
    programs = [
        with_step(conv("block0.layer2", "other")),
        with_step(replace(last, xs=("block0.layer2",), out="other", weight=np.zeros((6, 6)))),
        with_step(replace(first, x="block0.layer2", mask=2), num_masks=3),
        changed("block0", add="block0.layer2"),
    ]
    for program in programs:
        assert units_of(program) == pytest.approx(BLOCKS[1])


def test_the_inputs_of_blocks_that_a_fuse_makes_are_held_in_levels_of_either_sign():
    """Beside bfloat16; but not where a convolution reads them that stores no levels."""
    assert input_units(PROGRAM) == pytest.approx({"block0": 5 / 2 / 127})
    assert input_units(changed("block1.layer1", peaks=None)) == {}
    assert input_units(with_step(conv("block0", "other"))) == {}
    assert input_units(program_of(tiny_smsr())) == {}


@pytest.mark.parametrize(
    ("stub", "program", "message"),
    [
        (WithBytes(), PROGRAM, ""),
        (WithBytes(half=False), PROGRAM, "the stub.* has no bfloat16 instructions"),
        (WithBytes(in_bytes=False), PROGRAM, r"matrix tiles \(AMX\), .*the stub.* has none"),
        (WithBytes(), program_of(tiny_smsr()), "smsr convert IN OUT --calibrate DIR"),
    ],
)
def test_what_is_in_the_way_of_int8(stub, program, message, monkeypatch):
    obstacle = obstacle_to(program, stub, "int8")
    assert re.fullmatch(f".*{message}.*" if message else "", obstacle)
    if message:
        monkeypatch.setattr("smsr_plugin.runtime.load_kernels", lambda: stub)
        with pytest.raises(UnsuitedError, match=message):
            Runtime(program, "int8")


@pytest.mark.parametrize("backend", ["auto", "native"])
def test_a_network_says_what_is_in_the_way(backend, monkeypatch):
    named = 'precision="int8"' if backend == "auto" else 'backend="native"'
    x = torch.rand(1, 3, 4, 5)
    held = KernelsOf("baseline", isa=lambda: "baseline", has_bytes=lambda: False)
    monkeypatch.setattr("smsr_plugin.sparse.network.load_kernels", WithBytes)
    sparse = to_sparse(net_with_peaks(), "int8", backend=backend)
    assert sparse.runs_native
    monkeypatch.setattr("smsr_plugin.sparse.network.load_kernels", lambda: held)  # elsewhere
    with pytest.raises(RuntimeError, match=f"{named} cannot be used: .*AMX.*baseline has none"):
        sparse(x)
    assert not sparse.runs_native
    with pytest.raises(RuntimeError, match=f"{named} cannot be used: there are no kernels for"):
        sparse(x.double())


def test_the_reference_has_no_int8():
    with pytest.raises(ValueError, match=r'int8.* is for the native kernels, got .*"reference"'):
        to_sparse(net_with_peaks(), "int8", backend="reference")


@pytest.mark.parametrize(
    ("depths", "count"), [([1], 1), ([64], 16), ([65, 6, 64], 33), ([0, 3], 5)]
)
def test_weights_of_rows_become_levels(depths, count):
    rng = np.random.default_rng(count)
    parts = [rng.standard_normal((depth, count)) for depth in depths]
    for part in parts:
        part[:, count // 2 :][:, 2:3] = 0  # an output that sees nothing
    packed, unit = packing.in_levels(parts)
    largest = np.abs(np.concatenate(parts)).max(0)
    expected = np.where(largest > 0, largest, 1) / 127
    assert unit.dtype == np.float32
    np.testing.assert_allclose(unit[:count], expected, rtol=1e-7)
    assert np.array_equal(packed, packed_rows([np.rint(part / expected) for part in parts]))
    assert packed.min() >= -127
    assert packed.ctypes.data % 64 == 0
    found = packed.transpose(1, 3, 0, 2).reshape(-1, len(unit)) * unit.astype(np.float64)
    begin = 0
    for part in parts:
        assert (np.abs(found[begin : begin + len(part), :count] - part) <= 0.501 * expected).all()
        begin += packing.padded(len(part), 64)


def test_weights_that_are_all_zero_or_not_there_are_levels_of_zero():
    for depth in (0, 3):
        packed, unit = packing.in_levels([np.zeros((depth, 20))])
        assert packed.shape == (2, packing.padded(depth, 64) // 4, 16, 4)
        assert not packed.any()
        assert np.isfinite(unit).all()


@pytest.mark.parametrize(("count", "depth"), [(1, 1), (16, 64), (33, 65), (5, 0)])
def test_weights_of_tiles_are_those_of_rows_in_nine_parts(count, depth):
    kernel = np.random.default_rng(count).standard_normal((count, depth, 3, 3))
    packed, unit = packing.tile_levels(kernel)
    expected = np.abs(kernel).max((1, 2, 3), initial=0) / 127 if depth else np.full(count, 1 / 127)
    np.testing.assert_allclose(unit[:count], expected, rtol=1e-7)
    assert np.array_equal(packed, packed_tiles(np.rint(kernel / expected[:, None, None, None])))
