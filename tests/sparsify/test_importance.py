from __future__ import annotations

import numpy as np
import pytest
import torch
from masked_networks import tiny_masked_rlfn

from smsr_plugin.archs.tile_predictor import of_tiles
from smsr_plugin.sparsify import importance
from smsr_plugin.sparsify.importance import losses_of_tiles, smooth_tiles, train_predictor


@pytest.mark.parametrize("masked", [False, True])
def test_losses_are_what_a_small_step_towards_the_substitute_changes(monkeypatch, masked):
    monkeypatch.setattr(importance, "DIRECTIONS", 1)
    net = tiny_masked_rlfn(num_narrow=2).requires_grad_(False)
    lq = torch.rand(1, 3, 10, 7, dtype=torch.float64)
    tiles = torch.tensor([[1, 0], [0, 1], [1, 1]], dtype=torch.float64)
    mask = of_tiles(tiles.expand(1, 6, 3, 2), 10, 7) if masked else torch.ones(1, 6, 10, 7).double()
    given = mask if masked else None
    found = losses_of_tiles(net, lq, torch.Generator().manual_seed(3), given)
    assert found.shape == (1, 6, 3, 2)
    direction = torch.randn(
        1, 3, 20, 14, generator=torch.Generator().manual_seed(3), dtype=torch.float64
    )
    step = 1e-4
    for k, rows, columns in ((0, slice(4, 8), slice(0, 4)), (5, slice(8, 10), slice(4, 7))):
        changes = []
        for i in range(rows.start, rows.stop):
            for j in range(columns.start, columns.stop):
                sr = [stepped(net, lq, mask, k, i, j, sign * step) for sign in (1, -1)]
                changes.append(((sr[0] - sr[1]) * direction).sum() / (2 * step))
        expected = torch.stack(changes).square().mean()
        tile = found[0, k, rows.start // 4, columns.start // 4]
        torch.testing.assert_close(tile.double(), expected, rtol=1e-4, atol=0)


def stepped(net, lq, mask, block, i, j, step):
    """Return sr with one pixel of a block's output moved by a share of its substitute's error."""
    features = [net.head(lq)]
    for k in range(6):
        x = features[-1]
        computed, skipped = net.dense_join(k, x), net.substitute(k)(x)
        y = torch.where(mask[:, k : k + 1] > 0, computed, skipped)
        if k == block:
            y[..., i, j] += step * (computed - skipped)[..., i, j]
        features.append(net.after(k, x, y))
    return net.tail(lq, features)


def test_smooth_tiles_are_half_and_have_least_gradient():
    lq = torch.rand(2, 3, 32, 32) * torch.linspace(0, 1, 32)
    smooth = smooth_tiles(lq)
    assert smooth.mean() == pytest.approx(0.5, abs=0.05)
    assert smooth[..., :8].mean() == 1
    assert smooth[..., 24:].mean() == 0


def test_the_predictor_learns_an_order_that_the_image_shows(monkeypatch):
    monkeypatch.setattr(importance, "STEPS", 60)
    net = tiny_masked_rlfn().float().requires_grad_(False)
    net.predictor.requires_grad_()
    torch.manual_seed(0)
    contrast = torch.rand(16, 1, 8, 8)
    pieces = 0.5 + (torch.rand(16, 3, 32, 32) - 0.5) * contrast.repeat_interleave(
        4, 2
    ).repeat_interleave(4, 3)
    losses = (contrast**2).expand(-1, 6, -1, -1)
    course = list(train_predictor(net, pieces, losses))
    assert np.mean(course[-5:]) < 0.5 * course[0]
    scores = net.predictor(pieces)[:, 0].detach().flatten()
    assert np.corrcoef(scores, losses[:, 0].flatten().log())[0, 1] > 0.8
