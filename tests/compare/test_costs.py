from __future__ import annotations

import pytest
from networks import tiny_smsr
from smsr_cost import SMSRCost, dense_channels
from torch import nn

from smsr_plugin.compare.costs import CostCounter
from smsr_plugin.complexity.counter import profile
from smsr_plugin.networks.source import NetworkSource

HD = (360, 640)


def test_a_dense_network_costs_the_same_whatever_the_masks():
    source = NetworkSource("registry", "PAN", 2, options={"num_block": 1})
    counter, net = CostCounter(source), source.load()
    assert counter.params == sum(p.numel() for p in net.parameters())
    for size, cost in ((HD, counter.dense), ((9, 10), counter.of_image((9, 10), None))):
        counted = profile(net, size)
        assert cost == (counted.macs, counted.activations)


def test_a_sparse_smsr_costs_what_its_masks_keep(smsr_file):
    source = NetworkSource("smsr", "SMSR", 2, smsr_file, form="sparse")
    counter, net = CostCounter(source), tiny_smsr(num_feat=16)
    cost = SMSRCost(net.config, dense_channels(net))
    densities = [0.25, 0.5]
    assert counter.dense.macs == cost.dense_macs(HD[0] * HD[1])
    assert counter.kept(densities).macs == cost.macs(densities, HD[0] * HD[1])
    assert counter.of_image((8, 6), densities) == (
        cost.macs(densities, 48),
        cost.activations(densities, 48),
    )
    masks = sum(block.ch_mask.numel() for block in net.blocks)
    assert counter.params == sum(p.numel() for p in net.parameters()) - masks


def test_other_forms_of_an_smsr_cost_every_pixel(smsr_file):
    masked, twin = (
        CostCounter(NetworkSource("smsr", "SMSR", 2, smsr_file, form=form))
        for form in ("masked", "twin")
    )
    densities = [0.25, 0.5]
    assert masked.kept(densities) == masked.dense
    net = tiny_smsr(num_feat=16)
    cost = SMSRCost(net.config)
    assert masked.dense.macs == cost.dense_macs(HD[0] * HD[1])
    # The twin has no mask predictors, and its bicubic upsample is a 5×5 convolution.
    without = cost.dense_macs(HD[0] * HD[1]) - cost.mask * HD[0] * HD[1]
    assert twin.dense.macs == pytest.approx(without + 25 * 3 * 12 * (HD[0] * HD[1]))


def test_what_cannot_be_counted_is_unknown(monkeypatch):
    class Odd(nn.Module):
        def forward(self, x):
            raise RuntimeError("only on Sundays")

    monkeypatch.setattr(NetworkSource, "load", lambda self: Odd())
    assert CostCounter(NetworkSource("registry", "Odd", 2)).dense == (None, None)
