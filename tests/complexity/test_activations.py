from __future__ import annotations

import itertools

import pytest
import torch
import torch.nn.functional as F
from networks import split_channels, tiny_smsr
from smsr_cost import SMSRCost, dense_channels
from torch import nn

from smsr_plugin.complexity.counter import profile
from smsr_plugin.training.registration import build_architecture


def hooked(net: nn.Module, x: torch.Tensor) -> int:
    """Add up the outputs of convolution modules as they are run."""
    total = 0

    def add(module, inputs, output):
        nonlocal total
        total += output.numel()

    kinds = (nn.Conv2d, nn.ConvTranspose2d)
    hooks = [m.register_forward_hook(add) for m in net.modules() if isinstance(m, kinds)]
    with torch.no_grad():
        net(x)
    for hook in hooks:
        hook.remove()
    return total


@pytest.mark.parametrize("name", ["RLFN", "IMDN", "PAN", "CARN", "EDSR", "MSRResNet", "RCAN"])
def test_networks_of_modules(name):
    options = {"num_in_ch": 3, "num_out_ch": 3, "num_group": 1} if name == "RCAN" else {}
    net = build_architecture(name, options, 3).net.eval()
    assert profile(net, (16, 18)).activations == hooked(net, torch.zeros(1, 3, 16, 18))


def test_only_convolutions_count_also_without_a_module():
    class Net(nn.Module):
        def forward(self, x):
            x = F.conv2d(x, torch.ones(5, 3, 1, 1, device=x.device), stride=2)
            return F.relu(x) * x

    assert profile(Net(), (6, 7)).activations == 5 * 3 * 4
    up = nn.Sequential(nn.ConvTranspose2d(3, 2, 2, stride=2), nn.Linear(14, 1))
    assert profile(up, (6, 7)).activations == 2 * 12 * 14


def test_inference_mode_makes_no_difference():
    class Net(nn.Conv2d):
        @torch.inference_mode()
        def forward(self, x):
            return super().forward(x)

    assert profile(Net(3, 2, 3), (6, 7)).activations == 2 * 4 * 5


def test_ecbsr_counts_as_deployed():
    options = {"num_block": 2, "num_channel": 8}
    net = build_architecture("ECBSR", options, 2).net
    assert profile(net, (5, 6)).activations == 30 * (3 * 8 + 12)


@pytest.mark.parametrize("options", [{}, {"upscale": 3, "num_feat": 12}, {"num_layer": 1}])
def test_dense_smsr_is_the_sum_of_its_layers(options):
    net = tiny_smsr(**options).float()
    c, layers = net.config.num_feat, net.config.num_layer
    x, feature = torch.zeros(1, 3, 6, 8), torch.zeros(1, c, 6, 8)
    expected = hooked(net.head, x) + hooked(net.tail, feature)
    expected += hooked(net.collect, feature.repeat(1, net.config.num_block, 1, 1))
    for block in net.blocks:
        expected += hooked(block.spa_mask, feature) + hooked(block.attention, feature)
        expected += (layers + 1) * c * 48  # the layers and the fuse
    assert profile(net, (6, 8)).activations == expected


def test_masked_smsr_counts_what_is_computed():
    net = split_channels(tiny_smsr(), [[[0, 2, 3], [], [5]], [[1], [0, 1], []]])
    masks = (torch.rand(2, 6, 8, generator=torch.Generator().manual_seed(0)) > 0.6).double()
    every = SMSRCost(net.config)
    layers = 0
    for k, block in enumerate(dense_channels(net)):
        for row, column in itertools.product(range(6), range(8)):
            layers += sum(6 if masks[k, row, column] else dense for dense in block)
    outside = every.activations([1, 1], 48) - 2 * 3 * 6 * 48
    cost = SMSRCost(net.config, dense_channels(net))
    assert cost.activations(masks.mean((1, 2)).tolist(), 48) == outside + layers


def test_input_that_does_not_fit_is_told():
    with pytest.raises(
        ValueError, match=r"Conv2d cannot be run on an input of shape \(1, 4, 5, 5\)"
    ):
        profile(nn.Conv2d(3, 1, 1), (5, 5), 4)
