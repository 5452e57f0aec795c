"""The network on the native kernels against the paper's formula in float64."""

from __future__ import annotations

import copy

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_networks import (
    CLOSE,
    KernelsOf,
    image,
    loud_smsr,
    native,
    per_precision,
    random_masks,
)
from networks import literal_forward, split_channels, tiny_smsr

from smsr_plugin import to_sparse
from smsr_plugin.sparse.native import layers
from smsr_plugin.sparse.native.arithmetic import BFLOAT16, BFLOAT16_MATRIX, FLOAT32, arithmetic_for

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


def channel_sets(num_feat):
    """Draw which channels of a layer are dense."""
    return st.one_of(
        st.sets(st.integers(0, num_feat - 1)), st.just(set()), st.just(set(range(num_feat)))
    )


@st.composite
def splits(draw):
    """Draw a number of features, and the dense channels of each layer of each block."""
    num_feat = draw(st.sampled_from([6, 16, 20, 40]))
    layer = channel_sets(num_feat).map(sorted)
    return num_feat, [[draw(layer) for _ in range(3)] for _ in range(2)]


def own_change(net, x, masks, expected):
    """Return how far the network's formula moves when only its weights lose bfloat16's bits.

    Random networks differ in how they pass small errors on; a fixed bound fits most of them only.
    """
    rounded = copy.deepcopy(net)
    with torch.no_grad():
        for weight in rounded.parameters():
            weight.copy_(weight.bfloat16())
    moved = literal_forward(rounded, x.double(), masks, net.channel_masks()) - expected
    return moved.abs().max().item()


def check(net, precision, size, batch, density, seed=0, atol=None):
    """Compare with the formula, the masks given; `atol` in place of the usual one."""
    x = image(*size, batch=batch, seed=seed)
    masks = random_masks(net, x, density, seed)
    sr = native(net, precision)(x, spa_mask=masks)
    assert sr.dtype == x.dtype
    expected = literal_forward(net, x.double(), masks, net.channel_masks())
    if atol is None:
        own = own_change(net, x, masks, expected) if precision == "bf16" else 0.0
        atol = CLOSE[precision]["atol"] + own
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=atol)


@per_precision
@given(
    split=splits(),
    upscale=st.integers(2, 4),
    size=st.tuples(st.integers(1, 13), st.integers(1, 35)),
    batch=st.integers(1, 3),
    density=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    plan=st.sampled_from(["by counts", "tiles", "pixels"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40)
def test_equals_the_formula_for_any_split_and_mask(
    precision, split, upscale, size, batch, density, plan, seed
):
    num_feat, dense = split
    net = split_channels(loud_smsr(seed, num_feat=num_feat, upscale=upscale), dense)
    with pytest.MonkeyPatch.context() as patch:
        if plan != "by counts":
            patch.setattr(layers, "tiles_are_cheaper", lambda *_: plan == "tiles")
        check(net, precision, size, batch, density, seed)


@per_precision
@pytest.mark.parametrize(
    "size",
    [
        (1, 1), (1, 2), (2, 1), (1, 33), (33, 1), (3, 3), (4, 4), (5, 8), (2, 15), (3, 16),
        (4, 17), (3, 32), (150, 9),
    ],
)  # fmt: skip
def test_boundaries_of_sizes(precision, size):
    check(loud_smsr(num_feat=40), precision, size, 3, 0.5)


@per_precision
@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5])
def test_even_and_odd_numbers_of_blocks(precision, blocks):
    check(tiny_smsr(num_block=blocks), precision, (6, 18), 2, 0.5)


@per_precision
@pytest.mark.parametrize("plan", ["tiles", "pixels"])
@pytest.mark.parametrize(
    "dense",
    [
        pytest.param([[], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]], id="the first layer sparse"),
        pytest.param([[0, 2], [], [1, 3, 5]], id="a sparse layer between dense ones"),
        pytest.param([[], [], [0, 1]], id="the last layer dense"),
        pytest.param([[0, 1, 2, 3, 4, 5]] * 3, id="every channel dense"),
        pytest.param([[]] * 3, id="every channel sparse"),
    ],
)
def test_boundaries_of_splits(monkeypatch, precision, plan, dense):
    monkeypatch.setattr(layers, "tiles_are_cheaper", lambda *_: plan == "tiles")
    check(split_channels(loud_smsr(), [dense] * 2), precision, (9, 11), 1, 0.4)


@per_precision
@pytest.mark.parametrize("active", [0, 1, "all but one", "all"])
def test_boundaries_of_masks(precision, active):
    net = loud_smsr()
    x = image(7, 10)
    masks = torch.full((1, 2, 7, 10), float(active in ("all", "all but one")))
    if active in (1, "all but one"):
        masks[..., 3, 4] = 1 - masks[..., 3, 4]
    sr = native(net, precision)(x, spa_mask=masks).double()
    expected = literal_forward(net, x.double(), masks.double(), net.channel_masks())
    torch.testing.assert_close(sr, expected, **CLOSE[precision])


@per_precision
@pytest.mark.parametrize(
    "options",
    [
        {"num_feat": 64, "num_layer": 4, "num_block": 5},
        {"num_feat": 1},
        {"num_layer": 1, "num_block": 1},
        {"num_layer": 17},
        {"num_block": 17},
        {"img_range": 255.0},
        {"num_in_ch": 1, "num_out_ch": 1, "rgb_mean": [0.5]},
        {"num_in_ch": 15, "num_out_ch": 15, "rgb_mean": [0.5] * 15, "upscale": 4},
    ],
    ids=lambda options: " ".join(options),
)
def test_configurations(precision, options):
    net = tiny_smsr(**options)
    x = torch.rand(1, net.config.num_in_ch, 9, 6)
    masks = random_masks(net, x)
    sr = native(net, precision)(x, spa_mask=masks).double()
    torch.testing.assert_close(sr, net(x.double(), spa_mask=masks), **CLOSE[precision])


def test_a_configuration_beyond_the_kernels_limits_runs_all_the_same():
    channels, upscale, obstacle = 70, 4, "a layer has 1120 channels, which are too many"
    ends = {"num_in_ch": channels, "num_out_ch": channels, "rgb_mean": [0.5] * channels}
    net = tiny_smsr(**ends, upscale=upscale)
    x = torch.rand(1, channels, 3, 4)
    torch.testing.assert_close(to_sparse(net)(x).double(), net(x.double()), **CLOSE["fp32"])
    with pytest.raises(RuntimeError, match=f'backend="native" cannot be used: {obstacle}'):
        native(net)(x)


@pytest.mark.parametrize(
    ("isa", "precision"),
    [
        (isa, precision)
        for isa in kernels.available()
        for precision in (["fp32", "bf16"] if kernels.has_half(isa) else ["fp32"])
    ],
)
@pytest.mark.parametrize("plan", ["by counts", "tiles", "pixels"])
def test_every_instruction_set(monkeypatch, isa, precision, plan):
    held = KernelsOf(isa, isa=lambda: isa)
    monkeypatch.setattr("smsr_plugin.sparse.network.load_kernels", lambda: held)
    if plan != "by counts":
        monkeypatch.setattr(layers, "tiles_are_cheaper", lambda *_: plan == "tiles")
    net = split_channels(loud_smsr(num_feat=40), [[range(0, 40, 2), range(36), [1]]] * 2)
    check(net, precision, (13, 17), 2, 0.6)


def test_the_arithmetic_of_each_precision_and_processor():
    def chosen(isa, precision):
        return arithmetic_for(precision, KernelsOf(isa, isa=lambda: isa))

    assert chosen("amx", "fp32") is chosen("avx2", "fp32") is FLOAT32
    assert chosen("amx", "bf16") is BFLOAT16_MATRIX
    assert chosen("avx512_bf16", "bf16") is chosen("neon_bf16", "bf16") is BFLOAT16
