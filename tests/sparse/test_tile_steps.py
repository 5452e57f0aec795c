"""The steps of networks with masks at tiles, on both backends, against the network in NumPy."""

from __future__ import annotations

import pytest
import torch
from masked_networks import TILE_NETWORKS, tiny_masked_rlfn

from smsr_plugin.sparse import to_sparse
from smsr_plugin.sparse.native.kernels import load_kernels

per_kind = pytest.mark.parametrize("kind", TILE_NETWORKS)


@per_kind
@pytest.mark.parametrize("size", [(16, 20), (15, 33), (1, 1), (6, 19), (40, 8)])
@pytest.mark.parametrize("num_narrow", [0, 3])
def test_reference_equals_the_formula(kind, size, num_narrow):
    tiny, oracle = TILE_NETWORKS[kind]
    net = tiny(num_narrow=num_narrow)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    sr, stats = to_sparse(net, "fp64", backend="reference")(x, return_stats=True)
    literal = oracle(net)
    masks = literal.masks(x.numpy())
    assert torch.equal(stats.spa_mask, torch.from_numpy(masks > 0))
    expected = torch.from_numpy(literal.network(x.numpy(), masks, net.config.upscale))
    torch.testing.assert_close(sr, expected, rtol=1e-9, atol=1e-10)


@per_kind
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_given_masks_of_any_shape(kind, density):
    tiny, oracle = TILE_NETWORKS[kind]
    net = tiny(num_narrow=2)
    x = torch.rand(2, 3, 18, 23, dtype=torch.float64)
    masks = torch.rand(2, net.config.num_block, 18, 23, dtype=torch.float64) < density
    sr = to_sparse(net, "fp64", backend="reference")(x, spa_mask=masks)
    expected = oracle(net).network(x.numpy(), masks.numpy(), net.config.upscale)
    torch.testing.assert_close(sr, torch.from_numpy(expected), rtol=1e-9, atol=1e-10)


#: Rounding to 24 bits, or to 8, through some 30 layers of values of about 1.
TOLERANCES = {"fp32": 1e-5, "bf16": 0.03}


@per_kind
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("size", [(16, 20), (15, 33), (1, 1), (6, 19), (40, 8), (64, 70)])
@pytest.mark.parametrize("options", [{}, {"num_narrow": 3}, {"num_feat": 20, "upscale": 3}])
def test_native_equals_the_formula(kind, size, options, precision):
    tiny, oracle = TILE_NETWORKS[kind]
    net = tiny(**options)
    x = torch.rand(2, 3, *size)
    sr, stats = native(net, precision)(x, return_stats=True)
    literal, image = oracle(net), x.double().numpy()
    masks = stats.spa_mask.double().numpy()
    expected = torch.from_numpy(literal.network(image, masks, net.config.upscale))
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=TOLERANCES[precision])
    assert (masks != literal.masks(image)).mean() < (0.03 if precision == "bf16" else 1e-9)


@per_kind
@pytest.mark.parametrize("precision", TOLERANCES)
@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_native_takes_masks_of_any_shape(kind, density, precision):
    tiny, oracle = TILE_NETWORKS[kind]
    net = tiny(num_narrow=2, num_feat=18)
    x, masks = torch.rand(2, 3, 18, 23), torch.rand(2, net.config.num_block, 18, 23) < density
    sr = native(net, precision)(x, spa_mask=masks)
    literal = oracle(net)
    expected = literal.network(x.double().numpy(), masks.numpy(), net.config.upscale)
    tolerance = TOLERANCES[precision]
    torch.testing.assert_close(sr.double(), torch.from_numpy(expected), rtol=0, atol=tolerance)


def native(net, precision):
    kernels = load_kernels()
    if kernels is None or (precision == "bf16" and not kernels.has_half()):
        pytest.skip("there are no native kernels for this here")
    return to_sparse(net, precision, backend="native")


def test_images_of_many_sizes_take_turns():
    net = tiny_masked_rlfn(num_narrow=2)
    sparse = native(net, "fp32")
    for size in [(20, 21), (7, 40), (33, 9), (20, 21)]:
        x = torch.rand(1, 3, *size)
        torch.testing.assert_close(sparse(x), to_sparse(net, "fp64")(x.double()).float())
