from __future__ import annotations

import numpy as np
import pytest
import torch
from literal import seeded
from masked_networks import tiny_masked_rlfn

from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.archs.tile_predictor import of_tiles
from smsr_plugin.sparsify import fit
from smsr_plugin.sparsify.fit import LeastSquares, fit_substitutes, keep_curve
from smsr_plugin.sparsify.run import SparsifyError, masked_form


def fresh():
    """Return an unfitted float64 network and pieces for it."""
    net = tiny_masked_rlfn()
    with torch.no_grad():
        net.constants.zero_()
    pieces = torch.rand(11, 3, 24, 20, dtype=torch.float64)
    return net.requires_grad_(False), pieces


def test_least_squares_is_numpys():
    torch.manual_seed(0)
    x, y = torch.randn(3, 4, 6, 5), torch.randn(3, 4, 6, 5)
    chosen = (torch.rand(3, 1, 6, 5) < 0.6).float()
    sums, linear = LeastSquares(4), torch.nn.Conv2d(4, 4, 1)
    for part in range(3):
        sums.add(x[part : part + 1], y[part : part + 1], chosen[part : part + 1])
    sums.solve_into(linear)
    where = chosen[:, 0].numpy() > 0
    inputs = x.double().numpy().transpose(0, 2, 3, 1)[where]
    inputs = np.concatenate([inputs, np.ones((len(inputs), 1))], 1)
    targets = y.double().numpy().transpose(0, 2, 3, 1)[where]
    expected = np.linalg.lstsq(inputs, targets, rcond=None)[0]
    found = torch.cat([linear.weight[..., 0, 0].T, linear.bias[None]]).detach().numpy()
    np.testing.assert_allclose(found, expected, atol=2e-5)


def test_nothing_chosen_changes_nothing():
    linear = torch.nn.Conv2d(4, 4, 1)
    before = linear.weight.clone()
    sums = LeastSquares(4)
    sums.add(torch.randn(1, 4, 3, 3), torch.randn(1, 4, 3, 3), torch.zeros(1, 1, 3, 3))
    sums.solve_into(linear)
    assert torch.equal(linear.weight, before)


def test_constants_and_substitutes_are_those_of_their_definitions(monkeypatch):
    net, pieces = fresh()
    monkeypatch.setattr(fit, "BATCH", 4)
    shares = torch.linspace(0.3, 0.9, len(pieces), dtype=torch.float64)
    scores = net.predictor(pieces)
    limits = torch.quantile(scores.flatten(), 1 - shares)
    masks = of_tiles((scores > limits.view(-1, 1, 1, 1)).double(), 24, 20)
    assert len(list(fit_substitutes(net, pieces))) == 6
    dense = masked = net.head(pieces)
    for k in range(6):
        mask = masks[:, k : k + 1]
        check_constants(net, k, masked, mask[:, 0] > 0)
        y = net.dense_join(k, dense)
        # No linear map does better at the skipped pixels: what is left is orthogonal to the input.
        left = ((y - net.substitute(k)(masked)) * (1 - mask)).movedim(1, -1).flatten(0, -2)
        inputs = masked.movedim(1, -1).flatten(0, -2)
        size = (1 - mask).sum() * y.abs().max() * masked.abs().max()
        assert (left.T @ inputs).abs().max() < 1e-4 * size
        assert left.sum(0).abs().max() < 1e-4 * (1 - mask).sum() * y.abs().max()
        dense, masked = net.after(k, dense, y), net.block(k, masked, mask)


def check_constants(net, k, x, important):
    """Check a block's constants, given its input and its mask (N, H, W)."""
    height, width = important.shape[1:]
    seen = torch.zeros_like(important)
    for n, i, j in (~important).nonzero().tolist():
        rows, columns = slice(max(0, i - 1), i + 2), slice(max(0, j - 1), j + 2)
        seen[n, i, j] = important[n, rows, columns].any()
    assert seen.any()
    assert (height, width) == (24, 20)
    for layer in range(2):
        x = net.conv(k, layer, x)
        expected = x.movedim(1, -1)[seen].mean(0)
        torch.testing.assert_close(net.constants[k, layer], expected, rtol=1e-5, atol=1e-6)


def test_a_fitted_network_is_nearer_to_the_dense_one():
    net, pieces = fresh()
    before = net(pieces, threshold=0)
    list(fit_substitutes(net, pieces))
    dense = net(pieces, threshold=-np.inf)
    assert (net(pieces) - dense).square().mean() < 0.2 * (before - dense).square().mean()


def test_the_curve_is_of_all_blocks_together():
    net, pieces = fresh()
    keep_curve(net, pieces)
    ordered = net.predictor(pieces).flatten().sort(descending=True).values
    assert net.density_curve.shape == (1, 41)
    places = [round(n * (len(ordered) - 1) / 40) for n in range(41)]
    torch.testing.assert_close(net.density_curve[0].double(), ordered[places], rtol=1e-6, atol=1e-6)


def test_only_known_networks_get_masks():
    with pytest.raises(SparsifyError, match="masks are known for RLFN, SRVGGNetCompact, not for C"):
        masked_form(torch.nn.Conv2d(3, 3, 3), 0)
    dense = seeded(lambda: RLFN(num_feat=4))
    assert masked_form(dense, 0).config.num_narrow == 0
    assert masked_form(dense, 10).config.num_narrow == 12
