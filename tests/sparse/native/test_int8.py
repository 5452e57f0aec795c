"""Networks in int8 on the native kernels against all roundings spelled out in float64."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from native_networks import CLOSE, image, loud_smsr, random_masks
from networks import split_channels, tiny_smsr
from quantised import simulate

from smsr_plugin import to_sparse
from smsr_plugin.archs.steps import MaskedConv
from smsr_plugin.runtime import Runtime
from smsr_plugin.sparse.native import bands, engine, layers
from smsr_plugin.sparse.native.levels import input_units, units_of

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

pytestmark = pytest.mark.skipif(
    not kernels.has_bytes(), reason="this processor has no kernels for bytes"
)


def program_of(net):
    """Return a network's program as it is computed: in float64, of weights in float32."""
    return net.program().map(lambda _, weight: weight.float().double().numpy())


def with_peaks(net, x, masks, share=0.999):
    """Give a network the peaks of an image: what so many of the values do not exceed."""
    planes = simulate(program_of(net), x[0].numpy(), masks[0].numpy() > 0)[1]
    peaks = torch.ones(net.config.num_block, 1 + net.config.num_layer)
    for step in net.program().steps:
        if isinstance(step, MaskedConv):
            layer = int(step.out.rpartition("layer")[2])
            peaks[step.mask, 1 + layer] = np.quantile(planes[step.out], share) + 1e-3
            if layer == 0:
                peaks[step.mask, 0] = np.quantile(np.abs(planes[step.x]), share) + 1e-3
    net.feature_peaks = peaks
    return net


def assert_equal_but_where_rounded(found, expected):
    """Compare sr with a simulation.

    Seldom float32 rounds another way than float64: a level or the last bit of a bfloat16 is another
    one then, and so are the pixels that see it, by no more than bfloat16 may. All others are equal.
    """
    error = np.abs(found - expected)
    assert error.max() < CLOSE["bf16"]["atol"]
    assert np.median(error) < 1e-6


def assert_simulated(net, x, masks, sr, banded=False):
    """Compare sr with the simulation of each image."""
    program = program_of(net)
    for picture, mask, found in zip(x.numpy(), masks.numpy() > 0, sr.numpy(), strict=True):
        expected, _ = simulate(
            program, picture, mask, units_of(program), input_units(program), banded
        )
        assert_equal_but_where_rounded(found, expected)


@pytest.mark.parametrize("plan", ["tiles", "pixels"])
@pytest.mark.parametrize("seed", range(5))
def test_equals_the_simulation_for_any_split_and_mask(seed, plan, monkeypatch):
    """Of any features, layers with any dense channels, sizes, batches and masks."""
    draw = np.random.default_rng(seed)
    num_feat = int(draw.choice([6, 16]))
    counts = [[0, num_feat, draw.integers(num_feat)] for _ in range(2)]
    dense = [
        [draw.choice(num_feat, count, replace=False).tolist() for count in draw.permutation(each)]
        for each in counts
    ]
    net = loud_smsr(seed, num_feat=num_feat, upscale=2 + seed % 3)
    x = image(*draw.integers(1, (14, 36)).tolist(), batch=1 + seed % 2, seed=seed)
    masks = random_masks(net, x, [0.0, 0.1, 0.5, 0.9, 1.0][seed], seed)
    with_peaks(split_channels(net, dense), x, masks)
    monkeypatch.setattr(layers, "tiles_are_cheaper", lambda *_: plan == "tiles")
    assert_simulated(net, x, masks, to_sparse(net, "int8")(x, spa_mask=masks))


@pytest.mark.parametrize("blocks", [3, 4])
def test_even_and_odd_numbers_of_blocks(blocks):
    net, x = tiny_smsr(num_block=blocks), image(9, 18)
    masks = random_masks(net, x)
    with_peaks(net, x, masks)
    assert_simulated(net, x, masks, to_sparse(net, "int8")(x, spa_mask=masks))


@pytest.mark.parametrize("in_bands", [False, True], ids=["whole", "in bands"])
def test_what_exceeds_the_peaks_is_the_largest_level(in_bands, monkeypatch):
    """A tenth of the values does; a network that held them would be far off."""
    net = split_channels(loud_smsr(num_feat=16), [[range(5), [], range(16)]] * 2)
    x = image(45, 19)
    masks = random_masks(net, x, 0.5)
    with_peaks(net, x, masks, share=0.9)
    if in_bands:
        monkeypatch.setattr(engine, "WHOLE", 0)
        monkeypatch.setattr(bands, "ROWS", 16)
    sr = to_sparse(net, "int8")(x, spa_mask=masks)
    assert_simulated(net, x, masks, sr, banded=in_bands)
    held = simulate(program_of(net), x[0].numpy(), masks[0].numpy() > 0)[0]
    assert np.mean(np.abs(sr[0].numpy() - held) > 1e-2) > 0.2


@pytest.mark.parametrize(("height", "density"), [(1, 1.0), (17, 0.02), (41, 0.5), (53, 1.0)])
def test_any_height_in_bands(height, density, monkeypatch):
    net = split_channels(loud_smsr(num_feat=16), [[range(3), [], range(16)]] * 2)
    x = image(height, 21, seed=height)
    masks = random_masks(net, x, density, height)
    with_peaks(net, x, masks)
    monkeypatch.setattr(engine, "WHOLE", 0)
    monkeypatch.setattr(bands, "ROWS", 16)
    assert_simulated(net, x, masks, to_sparse(net, "int8")(x, spa_mask=masks), banded=True)


def test_predicted_masks_are_those_of_a_run_with_them_given():
    net = loud_smsr(num_feat=20, num_block=3)
    x = image(14, 18, batch=2)
    sparse = to_sparse(with_peaks(net, x, random_masks(net, x)), "int8")
    sr, stats = sparse(x, return_stats=True)
    assert 0 < stats.spa_mask.float().mean() < 1
    assert torch.equal(sparse(x, spa_mask=stats.spa_mask.double()), sr)
    assert torch.equal(torch.cat([sparse(picture[None]) for picture in x]), sr)
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    assert torch.equal(sparse(x), sr)
    torch.set_num_threads(before)


def test_runs_after_each_other_leave_nothing_behind(monkeypatch):
    """Of another size, of other masks, in bands and not: the memory is the same."""
    net = split_channels(loud_smsr(num_feat=20), [[range(7), [], range(20)], [[0], [1], range(9)]])
    with_peaks(net, image(9, 9), random_masks(net, image(9, 9)))
    used = to_sparse(net, "int8")
    monkeypatch.setattr(bands, "ROWS", 16)
    for seed, size in enumerate([(40, 33), (9, 5), (21, 40), (40, 33)]):
        x = image(*size, seed=seed)
        masks = random_masks(net, x, 0.4, seed)
        monkeypatch.setattr(engine, "WHOLE", (seed % 2) << 20)
        assert torch.equal(used(x, spa_mask=masks), to_sparse(net, "int8")(x, spa_mask=masks))


@pytest.mark.parametrize("in_bands", [False, True], ids=["whole", "in bands"])
def test_without_pytorch_and_with_peaks_of_some_blocks_alone(in_bands, monkeypatch):
    """The planes of the others hold bfloat16, as many lines of it as others of bytes."""
    net = loud_smsr(num_feat=20, num_block=3)
    x = image(37, 19)
    program = program_of(with_peaks(net, x, random_masks(net, x)))
    if in_bands:
        monkeypatch.setattr(engine, "WHOLE", 0)
        monkeypatch.setattr(bands, "ROWS", 16)
    sr, found, _ = Runtime(program, "int8")(x[0].numpy())
    assert np.array_equal(sr, to_sparse(net, "int8")(x)[0].numpy())
    steps = [
        replace(step, peaks=None) if step.writes == "block1.layer2" else step
        for step in program.steps
    ]
    program = replace(program, steps=tuple(steps))
    runtime = Runtime(program, "int8")
    for _ in range(2):
        sr, found, _ = runtime(x[0].numpy())
        units = units_of(program)
        assert len(units) == 6
        expected, _ = simulate(program, x[0].numpy(), found, units, input_units(program), in_bands)
        assert_equal_but_where_rounded(sr, expected)


@pytest.mark.parametrize("whole", [True, False], ids=["whole", "in bands"])
@pytest.mark.parametrize("size", [(31, 64), (80, 90)])
def test_the_memory_needed_is_no_less_than_what_is_taken(whole, size, monkeypatch):
    monkeypatch.setattr(engine, "WHOLE", (1 << 20) * whole)
    monkeypatch.setattr(bands, "ROWS", 16)
    net = loud_smsr(num_feat=64)
    x = image(*size)
    small = x[..., :9, :9]
    sparse = to_sparse(with_peaks(net, small, random_masks(net, small)), "int8")
    sparse(x, spa_mask=torch.ones(1, 2, *size))
    planes = sparse._engine().pool._idle[0]
    taken = sum(memory.nbytes for memory in planes._memory.values())
    assert taken <= sparse.bytes_needed(*size)
    # Of three layers' planes, or of their last rows, a line each in place of two; and a block's
    # input is there in levels too.
    rows = size[0] if whole else min(16 + 2 * 4 + 4, -(-size[0] // 4) * 4)
    saved = to_sparse(net, "bf16").bytes_needed(*size) - sparse.bytes_needed(*size)
    assert saved == 3 * 64 * rows * size[1] - 64 * size[0] * size[1]


def test_what_is_not_finite_in_an_image_stays_in_it():
    net = loud_smsr()
    x = image(20, 24)
    sparse = to_sparse(with_peaks(net, x, random_masks(net, x)), "int8")
    whole = sparse(x)
    for value in (float("nan"), float("-inf")):
        broken = x.clone()
        broken[0, :, 3, 4] = value
        sparse(broken)
    assert torch.equal(sparse(x), whole)
