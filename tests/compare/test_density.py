from __future__ import annotations

import pytest
import torch
from networks import tiny_smsr

from smsr_plugin import to_sparse
from smsr_plugin.compare.oracle import TOLERANCE, mask_logits, threshold_of, thresholds_for

WANTED = (0.0, 0.25, 0.5, 0.75, 1.0)


def test_a_threshold_splits_the_logits_as_wanted():
    logits = torch.tensor([[[3.0, -1.0], [0.5, 2.0]], [[-4.0, 0.0], [7.0, 1.0]]])
    assert threshold_of(logits, 0.25) == 2.5  # 3 and 7 are above
    assert threshold_of(logits, 0.5) == 0.75
    assert threshold_of(logits, 0) == float("inf")
    assert threshold_of(logits, 1) == float("-inf")


def test_logits_are_those_that_make_the_masks():
    net = tiny_smsr()
    x = torch.rand(1, 3, 7, 9, dtype=torch.float64)
    for threshold in (0.0, 0.1):
        masks = net(x, threshold=threshold, return_masks=True).spa_mask
        logits = mask_logits(net, x, threshold)
        assert torch.equal((logits > threshold).double(), masks[0])
    assert not any(module._forward_hooks for module in net.modules())


def test_thresholds_reach_the_densities_in_the_sparse_network():
    net = tiny_smsr(num_feat=16)
    x = torch.rand(1, 3, 24, 32, dtype=torch.float64)
    found = thresholds_for(net, x, WANTED)
    for wanted, (threshold, density) in zip(WANTED, found, strict=True):
        stats = to_sparse(net, "fp64", threshold)(x, return_stats=True)[1]
        assert float(stats.spa_density.mean()) == pytest.approx(density, abs=1e-6)
        assert density == pytest.approx(wanted, abs=2 * TOLERANCE)
    assert [found[0].density, found[-1].density] == [0, 1]


def test_densities_outside_0_to_1_are_refused():
    with pytest.raises(ValueError, match=r"0…1, got \[0\.5, 1\.5\]"):
        thresholds_for(tiny_smsr(), torch.rand(1, 3, 4, 4, dtype=torch.float64), [0.5, 1.5])
