"""A density is asked for, not a logit: curves of logits, and what a network makes of them."""

from __future__ import annotations

import copy

import numpy as np
import pytest
import torch
from networks import tiny_smsr

from smsr_plugin.archs.density import POINTS, density_curve, logits_at
from smsr_plugin.archs.gumbel import straight_through_mask
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.sparse import to_sparse


def with_curve(x, **options):
    """Return a network that keeps the curves of its own logits for `x`."""
    net = tiny_smsr(**options)
    net.density_curve = density_curve(net(x, return_masks=True).logits.detach()).double()
    return net


def lq(seed=0):
    torch.manual_seed(seed)
    return torch.rand(2, 3, 24, 20, dtype=torch.float64)


def test_a_curve_holds_the_quantiles_of_each_block():
    torch.manual_seed(0)
    logits = torch.randn(3, 2, 40, 30) * torch.tensor([1.0, 5.0]).view(1, 2, 1, 1)
    curve = density_curve(logits)
    assert curve.shape == (2, POINTS)
    for k in range(2):
        expected = np.quantile(logits[:, k].numpy(), 1 - np.linspace(0, 1, POINTS))
        np.testing.assert_allclose(curve[k].numpy(), expected, atol=0.01)


@pytest.mark.parametrize("density", [0.0, 0.05, 0.3, 0.5125, 0.975, 1.0])
def test_logits_at_a_density_let_that_share_of_pixels_pass(density):
    torch.manual_seed(1)
    logits = torch.randn(2, 3, 50, 60)
    thresholds = logits_at(density_curve(logits), density)
    passed = (logits > thresholds.view(1, -1, 1, 1)).float().mean((0, 2, 3))
    assert passed.tolist() == pytest.approx([density] * 3, abs=0.005)


@pytest.mark.parametrize("density", [-0.1, 1.1, float("nan")])
def test_a_density_outside_0_and_1_is_refused(density):
    with pytest.raises(ValueError, match="density must be in 0…1"):
        logits_at(torch.zeros(1, POINTS), density)


def test_a_network_set_to_a_density_keeps_that_share_and_its_curve_follows():
    x = lq()
    net = with_curve(
        x, num_feat=12, num_block=1
    )  # later blocks see other features once masks change
    for density in (0.2, 0.7, 0.5):  # from wherever it is
        net.set_density(density)
        assert net(x, return_masks=True).spa_mask.mean().item() == pytest.approx(density, abs=0.02)
    net.set_density(1)
    assert net(x, return_masks=True).spa_mask.min() == 1
    net.set_density(0)
    assert net(x, return_masks=True).spa_mask.max() == 0


def test_to_sparse_at_a_density_equals_the_network_set_to_it():
    x = lq()
    net = with_curve(x)
    as_before = copy.deepcopy(net.state_dict())
    for density in (0.25, 1.0):
        set_net = copy.deepcopy(net)
        set_net.set_density(density)
        expected = set_net(x, return_masks=True)
        sr, stats = to_sparse(net, "fp64", density=density)(x, return_stats=True)
        torch.testing.assert_close(sr, expected.sr, rtol=0, atol=1e-10)
        assert torch.equal(stats.spa_mask, expected.spa_mask > 0)
    assert all(torch.equal(value, as_before[key]) for key, value in net.state_dict().items())


def test_a_network_without_curves_takes_no_density():
    with pytest.raises(ValueError, match="takes a threshold"):
        to_sparse(tiny_smsr(), density=0.5)


def test_the_curve_is_saved_with_the_weights_and_loaded_by_any_network(tmp_path):
    x = lq()
    net = with_curve(x).float()
    path = tmp_path / "net.safetensors"
    save(net, path)
    loaded = load(path)
    torch.testing.assert_close(loaded.density_curve, net.density_curve)
    # Weights without a curve take that of the network away.
    plain = tiny_smsr().float()
    loaded.load_state_dict(plain.state_dict())
    assert loaded.density_curve is None
    plain.load_state_dict(net.state_dict())
    torch.testing.assert_close(plain.density_curve, net.density_curve)


def test_straight_through_masks_are_hard_and_have_the_centred_gradient_of_the_sigmoid():
    torch.manual_seed(2)
    logits = torch.randn(2, 1, 5, 6, dtype=torch.float64, requires_grad=True)
    weights = torch.randn(2, 1, 5, 6, dtype=torch.float64)
    mask = straight_through_mask(logits)
    torch.testing.assert_close(mask, (logits > 0).double(), rtol=0, atol=1e-15)
    (mask * weights).sum().backward()
    sigmoid = torch.sigmoid(logits.detach())
    slope = weights * sigmoid * (1 - sigmoid)
    torch.testing.assert_close(logits.grad, slope - slope.mean())


def test_all_sparse_blocks_compute_the_same_in_training_by_one_convolution_a_layer():
    net = tiny_smsr()
    with torch.no_grad():
        for block in net.blocks:
            block.ch_mask.copy_(torch.tensor([-1.0, 1.0]))
    x = lq()
    expected = net(x, return_masks=True)
    found = net.train()(x, return_masks=True, straight_through=True)
    torch.testing.assert_close(found.sr, expected.sr, rtol=0, atol=1e-12)
    torch.testing.assert_close(found.logits, expected.logits)
