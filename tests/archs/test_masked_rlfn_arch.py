from __future__ import annotations

import numpy as np
import pytest
import torch
from literal import CLOSE, seeded
from masked_networks import LiteralMaskedRLFN, tiny_masked_rlfn

from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.complexity.masked_cost import masked_cost

SIZES = [(16, 20), (15, 33), (1, 1), (5, 18)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("options", [{}, {"num_narrow": 3, "upscale": 4}])
def test_network_equals_its_formula(size, options):
    net = tiny_masked_rlfn(**options)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    out = net(x, return_masks=True)
    literal = LiteralMaskedRLFN(net)
    masks = literal.masks(x.numpy())
    np.testing.assert_array_equal(out.spa_mask.numpy(), masks)
    scores = torch.from_numpy(literal.scores(x.numpy()))
    torch.testing.assert_close(out.logits[:, :, ::4, ::4], scores, **CLOSE)
    expected = literal.network(x.numpy(), masks, net.config.upscale)
    torch.testing.assert_close(out.sr.detach(), torch.from_numpy(expected), **CLOSE)
    assert out.ch_mask.shape == (1, 6, 5, 3)
    assert out.ch_mask.all()


def test_masks_are_neither_empty_nor_full_in_these_tests():
    x = torch.rand(1, 3, 64, 64, dtype=torch.float64)
    densities = tiny_masked_rlfn()(x, return_masks=True).spa_mask.mean((0, 2, 3))
    assert ((densities > 0.1) & (densities < 0.9)).all()


@pytest.mark.parametrize("img_range", [1, 255])
def test_with_all_tiles_it_is_the_dense_network(img_range):
    dense = seeded(lambda: RLFN(num_feat=5, upscale=3, img_range=img_range))
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    net = MaskedRLFN.from_dense(dense)
    x = torch.rand(2, 3, 17, 22, dtype=torch.float64)
    torch.testing.assert_close(net(x, threshold=-np.inf), dense(x), **CLOSE)
    ones = torch.ones(2, 6, 17, 22, dtype=torch.float64)
    torch.testing.assert_close(net(x, spa_mask=ones), dense(x), **CLOSE)
    assert all(torch.equal(dense.state_dict()[name], value) for name, value in before.items())


def test_published_size_costs_what_was_counted():
    # Per lq pixel of RLFN-S x2: 55,632 at every pixel, 373,248 at computed ones, 34,560 in a
    # narrow path of 12 channels at the others, 450 for the predictor.
    with torch.device("meta"):
        net = MaskedRLFN(num_feat=48, upscale=2, num_narrow=12)
    cost, pixels = masked_cost(net.program()), 36 * 100
    for density in (0.0, 0.3, 1.0):
        expected = 55_632 + 450 + 373_248 * density + 34_560 * (1 - density)
        assert cost.macs([density] * 6, pixels) == pytest.approx(expected * pixels, rel=1e-12)


def test_one_threshold_sets_the_density_of_all_blocks_together():
    net = tiny_masked_rlfn()
    x = torch.rand(1, 3, 160, 160, dtype=torch.float64)
    net.density_curve = density_curve(net.predictor(x).detach().reshape(1, 1, -1, 1)).double()
    before = net(x, return_masks=True).logits
    for density in (1.0, 0.3, 0.7, 0.0):
        net.set_density(density)
        out = net(x, return_masks=True)
        assert out.spa_mask.mean().item() == pytest.approx(density, abs=0.02)
        shift = before - out.logits
        torch.testing.assert_close(shift, torch.full_like(shift, shift.mean().item()))


def test_a_density_needs_the_curve_and_must_be_a_share():
    net = tiny_masked_rlfn()
    with pytest.raises(ValueError, match="smsr sparsify"):
        net.set_density(0.5)
    net.density_curve = torch.linspace(1, -1, 41, dtype=torch.float64)[None]
    with pytest.raises(ValueError, match="density must be in 0…1"):
        net.set_density(1.5)


def test_weights_come_with_a_curve_or_without():
    net, other = tiny_masked_rlfn(), tiny_masked_rlfn(1)
    net.density_curve = torch.linspace(1, -1, 41, dtype=torch.float64)[None]
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.density_curve, net.density_curve)
    other.load_state_dict(tiny_masked_rlfn(2).state_dict())
    assert other.density_curve is None


def test_every_parameter_learns():
    net = tiny_masked_rlfn(num_narrow=2).train()
    net(torch.rand(2, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


@pytest.mark.parametrize("shape", [(3, 20, 20), (1, 1, 20, 20), (1, 3, 0, 4)])
def test_wrong_input_says_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"MaskedRLFN takes a batch of shape \(B, 3, H, W\)"):
        tiny_masked_rlfn()(torch.zeros(shape))
