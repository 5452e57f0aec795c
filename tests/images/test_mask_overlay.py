from __future__ import annotations

import numpy as np
import pytest

from smsr_plugin.images.mask_overlay import OPACITY, mask_overlay


def test_a_pixel_gets_the_colour_of_the_share_of_blocks_over_its_grey():
    matplotlib = pytest.importorskip("matplotlib")
    lq = np.full((2, 3, 3), 100, np.uint8)
    spa_mask = np.zeros((5, 2, 3), bool)
    spa_mask[:, 0, 1] = True
    spa_mask[:2, 1, 2] = True
    overlay = mask_overlay(lq, spa_mask)
    for (y, x), share in {(0, 0): 0.0, (0, 1): 1.0, (1, 2): 0.4}.items():
        viridis = 255 * np.array(matplotlib.colormaps["viridis"](share)[:3])
        expected = OPACITY * viridis + (1 - OPACITY) * 100
        np.testing.assert_allclose(overlay[y, x], expected, atol=2)


def test_sizes_that_differ_are_refused():
    with pytest.raises(ValueError, match=r"got \(4, 5, 3\) and \(5, 5, 4\)"):
        mask_overlay(np.zeros((4, 5, 3), np.uint8), np.zeros((5, 5, 4), bool))
