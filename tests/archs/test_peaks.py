"""Peaks are those with the least squared error, by brute force, over what a network computes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import literal_forward, split_channels, tiny_smsr

from smsr_plugin.archs.peaks import ANY, MARGIN, choose_peak, choose_peaks

SHARES = np.arange(100, 24, -3) / 100


def errors_of(values: np.ndarray, levels: int) -> dict[float, float]:
    """Return the squared error of the nearest level for each peak that can be chosen."""
    magnitudes = np.abs(values.astype(np.float64)).ravel()
    errors = {}
    for peak in SHARES * magnitudes.max():
        allowed = np.arange(levels + 1) * peak / levels
        nearest = allowed[np.searchsorted((allowed[1:] + allowed[:-1]) / 2, magnitudes)]
        errors[peak] = ((magnitudes - nearest) ** 2).sum()
    return errors


def check(found: float, values: np.ndarray, levels: int) -> float:
    """Check a peak, whose values were counted by bins; return it as a share of the largest."""
    errors = errors_of(values, levels)
    nearest = min(errors, key=lambda peak: abs(peak - found))
    assert found == pytest.approx(nearest, rel=1e-6)
    assert errors[nearest] <= min(errors.values()) * (1 + 1e-3)
    return found / max(errors)


@pytest.mark.parametrize("levels", [255, 127, 3])
def test_the_peak_chosen_has_the_least_squared_error(levels):
    values = torch.randn(200, 300, generator=torch.Generator().manual_seed(0))
    assert check(choose_peak(values, levels), values.numpy(), levels) < 0.96
    padded = torch.cat([values, torch.zeros(900, 300)])  # what is masked costs nothing
    assert choose_peak(padded, levels) == choose_peak(values, levels)
    exact = (values.abs() / values.abs().max() * levels).round()
    assert choose_peak(exact, levels) == levels


def test_a_plane_of_zeros_has_a_peak_above_0():
    assert choose_peak(torch.zeros(3, 4), 255) == ANY > 0


def test_peaks_of_a_network_are_those_of_the_planes_of_the_papers_formula_with_a_margin():
    dense = [[[0, 3], [], [1]], [[2], [4, 5], []]]
    net = split_channels(tiny_smsr(2), dense)
    lq = torch.rand(3, 3, 12, 14, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    masks = net(lq, return_masks=True)
    assert 0.2 < masks.spa_mask.mean() < 0.8
    planes: list[list[torch.Tensor]] = []
    literal_forward(net, lq, masks.spa_mask, masks.ch_mask, planes)
    peaks = choose_peaks(net, lq)
    assert peaks.shape == (2, 4)
    assert peaks.dtype == torch.float32
    for row, of_block in zip(peaks.tolist(), planes, strict=True):
        for number, (peak, plane) in enumerate(zip(row, of_block, strict=True)):
            check(peak / MARGIN, plane.detach().numpy(), 255 if number else 127)
    assert not any(block._forward_pre_hooks for block in net.blocks)
