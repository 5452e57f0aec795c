from __future__ import annotations

import numpy as np
import torch
from masked_networks import tiny_masked_rlfn

from smsr_plugin.sparsify import finetune as module
from smsr_plugin.sparsify.finetune import Finetuning
from smsr_plugin.sparsify.fit import keep_curve


def unfitted():
    net = tiny_masked_rlfn(num_narrow=2).float().requires_grad_(False)
    for substitute in net.substitutes:
        substitute.widen.weight.zero_()
    torch.manual_seed(1)
    pieces = torch.rand(8, 3, 24, 24)
    keep_curve(net, pieces)
    return net, pieces


def difference(net, pieces, dense, density):
    limit = torch.quantile(net.predictor(pieces), 1 - density)
    return (net(pieces, threshold=float(limit)) - dense).abs().mean()


def test_it_comes_nearer_to_the_dense_network_and_leaves_its_ends_and_masks(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 16)
    net, pieces = unfitted()
    ends = [net.dense.conv_1.weight.clone(), net.dense.upsampler[0].weight.clone()]
    scores = net.predictor(pieces)
    dense = net(pieces, threshold=-np.inf)
    before = difference(net, pieces, dense, 0.5)
    training = Finetuning(net, pieces, 240)
    course = [training.step() for _ in range(240)]
    assert np.mean(course[-60:]) < np.mean(course[:60])
    assert difference(net, pieces, dense, 0.5) < 0.6 * before
    assert all(substitute.widen.weight.any() for substitute in net.substitutes)
    assert torch.equal(net.dense.conv_1.weight, ends[0])
    assert torch.equal(net.dense.upsampler[0].weight, ends[1])
    assert torch.equal(net.predictor(pieces), scores)  # masks stay those that follow the image
    assert not any(parameter.requires_grad for parameter in net.parameters())


def test_it_is_the_same_with_the_same_seed(monkeypatch):
    monkeypatch.setattr(module, "SIDE", 16)
    trainings = [Finetuning(*unfitted(), 3, seed) for seed in (0, 0, 1)]
    courses = [[training.step() for _ in range(3)] for training in trainings]
    assert courses[0] == courses[1] != courses[2]
