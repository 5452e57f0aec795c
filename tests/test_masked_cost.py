"""The cost of a program, against SMSR's formula and against what torch's counter sees."""

from __future__ import annotations

import pytest
import torch
from networks import split_channels, tiny_smsr
from smsr_cost import SMSRCost, dense_channels

from smsr_plugin.complexity.masked_cost import masked_cost


@pytest.mark.parametrize(
    "options", [{}, {"upscale": 3, "num_feat": 10}, {"num_block": 1, "num_layer": 1}]
)
@pytest.mark.parametrize("seed", range(3))
def test_the_program_costs_what_the_formula_says(options, seed):
    net = tiny_smsr(seed, **options)
    formula, counted = SMSRCost(net.config, dense_channels(net)), masked_cost(net.program())
    assert counted.dense_channels == dense_channels(net)
    densities = torch.rand(net.config.num_block).tolist()
    for pixels in (1, 63, 640 * 360):
        assert counted.macs(densities, pixels) == formula.macs(densities, pixels)
        assert counted.dense_macs(pixels) == formula.dense_macs(pixels)
        assert counted.activations(densities, pixels) == formula.activations(densities, pixels)
    assert counted.parts["head"] == formula.head
    assert counted.parts["masks"] == formula.mask
    assert counted.parts["collect"] == formula.collect
    assert counted.parts["tail"] == formula.tail


def test_without_values_the_dense_cost_is_known():
    net = split_channels(tiny_smsr(), [[[0], [1, 2], []]] * 2)
    assert masked_cost(net.to("meta").program()).dense_macs(99) == SMSRCost(net.config).dense_macs(
        99
    )


@pytest.mark.parametrize("densities", [[0.5], [0.5, 1.1], [-0.1, 0], [0.1, 0.2, 0.3]])
def test_densities_that_do_not_fit_are_refused(densities):
    cost = masked_cost(tiny_smsr().program())
    with pytest.raises(ValueError, match="expected 2 spatial densities in 0…1"):
        cost.macs(densities, 10)
