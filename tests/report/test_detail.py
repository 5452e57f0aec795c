from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin.images.pixels import luma
from smsr_plugin.report.detail import GROUPS, Contrast, compare_detail, contrast, detail_maps


def test_contrast_is_the_mean_inside_and_outside():
    energy = np.array([[1.0, 2.0], [3.0, 10.0]])
    mask = np.array([[False, False], [True, True]])
    assert contrast(energy, mask[None]) == Contrast(6.5, 1.5, 13 / 16)
    # Two blocks together: the mean over the pixels of both masks.
    second = np.array([[False, True], [False, True]])
    both = contrast(energy, np.stack([mask, second]))
    assert both.inside == pytest.approx((3 + 10 + 2 + 10) / 4)
    assert both.outside == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert both.held == pytest.approx((13 + 12) / 2 / 16)


def test_contrast_of_full_and_empty_masks_and_of_no_energy():
    energy, every = np.ones((2, 3)), np.ones((1, 2, 3), bool)
    assert contrast(energy, every) == Contrast(1.0, None, 1.0)
    assert contrast(energy, ~every) == Contrast(None, 1.0, 0.0)
    assert contrast(0 * energy, every) == Contrast(0.0, None, None)


def test_an_edge_is_detail_and_flat_regions_are_not():
    lq = np.full((20, 40, 3), 50, np.uint8)
    lq[:, 20:] = 200
    bicubic = lq.repeat(2, 0).repeat(2, 1)
    reference = bicubic.copy()
    reference[:, 38:42] += 40  # what interpolation misses lies at the edge
    mask = np.zeros((1, 20, 40), bool)
    mask[:, :, 16:24] = True
    maps = detail_maps(lq, bicubic, reference)
    found = compare_detail(maps, mask)
    assert maps.high[:, :10].max() < 1e-9
    assert maps.high[:, 19].min() > 30
    assert maps.missed.shape == (40, 80)
    assert found.missed_contrast.held == pytest.approx(1)
    assert found.missed_contrast.outside == 0
    luma_step = luma(reference[:1, 38:39]) - luma(bicubic[:1, 38:39])
    assert maps.missed[0, 38] == pytest.approx(luma_step[0, 0])
    assert found.high_contrast.held > 0.95
    # 8 of 40 columns are kept, which are the two most detailed tenths.
    assert found.group_density == pytest.approx((0,) * 8 + (1,) * 2, abs=0.05)
    assert sum(found.group_missed[-2:]) == pytest.approx(1)


@given(
    height=st.integers(1, 7),
    width=st.integers(1, 7),
    scale=st.sampled_from([2, 3, 4]),
    blocks=st.integers(1, 3),
    seed=st.integers(0, 99),
)
def test_groups_cover_every_pixel_of_images_of_any_size(height, width, scale, blocks, seed):
    rng = np.random.default_rng(seed)
    lq = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
    bicubic, reference = rng.integers(0, 256, (2, height * scale, width * scale, 3), dtype=np.uint8)
    mask = rng.random((blocks, height, width)) < 0.5
    maps = detail_maps(lq, bicubic, reference)
    found = compare_detail(maps, mask)
    assert len(found.group_density) == len(found.group_missed) == min(GROUPS, height * width)
    assert sum(found.group_missed) == pytest.approx(1)
    assert len(found.block_contrasts) == blocks
    if height * width % GROUPS == 0:
        assert np.mean(found.group_density) == pytest.approx(mask.mean())
    total = (luma(reference) - luma(bicubic)) ** 2
    assert (maps.missed**2).sum() == pytest.approx(total.sum())
