from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import tiny_smsr

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.report.measurements import BINS, histogram, silent, zero_shares


def layer_outputs(net, x):
    """Evaluate the network with every pixel computed; return the features (K, L, C, H, W)."""
    state = net.state_dict()

    def conv(name, value, padding=1):
        return F.conv2d(value, state[f"{name}.weight"], state.get(f"{name}.bias"), padding=padding)

    x0 = (x - state["rgb_mean"]) * state["img_range"]
    feature, found = conv("head.2", conv("head.0", x0).relu()), []
    for k in range(net.config.num_block):
        value, layers = feature, []
        for layer in range(net.config.num_layer):
            value = conv(f"blocks.{k}.convs.{layer}", value).relu()
            layers.append(value)
        fused = conv(f"blocks.{k}.fuse", torch.cat(layers, 1), 0)
        hidden = conv(f"blocks.{k}.attention.squeeze", fused.mean((2, 3), keepdim=True), 0).relu()
        feature = feature + fused * conv(f"blocks.{k}.attention.excite", hidden, 0).sigmoid()
        found.append(torch.stack([layer[0] for layer in layers]))
    return torch.stack(found)


def test_zeros_are_counted_inside_and_outside_of_each_blocks_mask():
    net = tiny_smsr(num_block=3)
    x = torch.rand(1, 3, 7, 9, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    spa_mask = torch.rand(3, 7, 9, generator=torch.Generator().manual_seed(2)) < 0.4
    spa_mask[2] = True
    shares = zero_shares(DenseTwin(net), x, spa_mask)
    zero = layer_outputs(net, x) == 0
    assert 0.2 < zero.double().mean() < 0.8
    for k in range(3):
        inside = zero[k][..., spa_mask[k]].double().mean(-1)
        np.testing.assert_allclose(shares.important[k], inside)
    for k in range(2):
        outside = zero[k][..., ~spa_mask[k]].double().mean(-1)
        np.testing.assert_allclose(shares.unimportant[k], outside)
    assert np.isnan(shares.unimportant[2]).all()


def test_the_twin_is_left_without_hooks():
    twin = DenseTwin(tiny_smsr())
    x, spa_mask = torch.rand(1, 3, 4, 4).double(), torch.ones(2, 4, 4, dtype=torch.bool)
    first, again = zero_shares(twin, x, spa_mask), zero_shares(twin, x, spa_mask)
    np.testing.assert_array_equal(first.important, again.important)
    assert not any(block.fuse._forward_pre_hooks for block in twin.body.blocks)


def test_histogram_and_silent_channels():
    shares = np.array([[0.0, 0.01, 0.97], [1.0, np.nan, 0.52]])
    counts = histogram(shares)
    assert counts.shape == (BINS,)
    assert counts[0] == pytest.approx(2 / 5)
    assert counts[BINS // 2] == pytest.approx(1 / 5)
    assert counts[-1] == pytest.approx(2 / 5)
    assert silent(shares) == pytest.approx(2 / 5)
    assert not histogram(np.full(3, np.nan)).any()
    assert silent(np.full(3, np.nan)) is None
