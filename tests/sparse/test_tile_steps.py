"""The steps of networks with masks at tiles, on the reference, against the network in NumPy."""

from __future__ import annotations

import pytest
import torch
from masked_networks import LiteralMaskedRLFN, tiny_masked_rlfn

from smsr_plugin.sparse import to_sparse


@pytest.mark.parametrize("size", [(16, 20), (15, 33), (1, 1), (6, 19), (40, 8)])
@pytest.mark.parametrize("num_narrow", [0, 3])
def test_reference_equals_the_formula(size, num_narrow):
    net = tiny_masked_rlfn(num_narrow=num_narrow)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    sr, stats = to_sparse(net, "fp64", backend="reference")(x, return_stats=True)
    literal = LiteralMaskedRLFN(net)
    masks = literal.masks(x.numpy())
    assert torch.equal(stats.spa_mask, torch.from_numpy(masks > 0))
    expected = torch.from_numpy(literal.network(x.numpy(), masks, net.config.upscale))
    torch.testing.assert_close(sr, expected, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("density", [0.0, 0.3, 1.0])
def test_given_masks_of_any_shape(density):
    net = tiny_masked_rlfn(num_narrow=2)
    x = torch.rand(2, 3, 18, 23, dtype=torch.float64)
    masks = torch.rand(2, 6, 18, 23, dtype=torch.float64) < density
    sr = to_sparse(net, "fp64", backend="reference")(x, spa_mask=masks)
    expected = LiteralMaskedRLFN(net).network(x.numpy(), masks.numpy(), net.config.upscale)
    torch.testing.assert_close(sr, torch.from_numpy(expected), rtol=1e-9, atol=1e-10)


def test_float32_images_on_whatever_backend_there_is():
    net = tiny_masked_rlfn(num_narrow=2)
    x = torch.rand(1, 3, 24, 21)
    sr, stats = to_sparse(net)(x, return_stats=True)
    assert sr.dtype == torch.float32
    masks = stats.spa_mask.double().numpy()
    expected = LiteralMaskedRLFN(net).network(x.double().numpy(), masks, net.config.upscale)
    torch.testing.assert_close(sr.double(), torch.from_numpy(expected), rtol=1e-4, atol=1e-4)
