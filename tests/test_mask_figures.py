"""The figures of masks against numpy's own, and on masks that do and do not follow an image."""

from __future__ import annotations

import numpy as np
import pytest
from mask_figures import mask_figures


@pytest.fixture
def lq():
    """Return an image whose right half has detail."""
    rng = np.random.default_rng(0)
    image = np.full((24, 40, 3), 128, np.uint8)
    image[:, 20:] = rng.integers(0, 256, (24, 20, 3))
    return image


def test_they_are_what_numpy_says(lq):
    rng = np.random.default_rng(1)
    masks = rng.random((3, 24, 40)) < np.array([0.2, 0.5, 0.9])[:, None, None]
    found = mask_figures(lq, masks)
    grey = lq.astype(float) @ [65.481, 128.553, 24.966] / 255 + 16
    down, right = np.gradient(grey)
    level = np.log1p(np.sqrt(down**2 + right**2))
    for k in range(3):
        assert found.density[k] == pytest.approx(masks[k].mean())
        assert found.deviation[k] == pytest.approx(masks[k].astype(float).std())
        expected = np.corrcoef(masks[k].ravel(), level.ravel())[0, 1]
        assert found.correlation[k] == pytest.approx(expected)


def test_a_mask_of_the_detail_follows_and_all_or_none_do_not(lq):
    masks = np.zeros((4, 24, 40), bool)
    masks[0, :, 20:] = True
    masks[1, :12] = True
    masks[2] = True
    found = mask_figures(lq, masks)
    assert found.correlation[0] > 0.9
    assert abs(found.correlation[1]) < 0.1
    assert found.correlation[2:].tolist() == found.deviation[2:].tolist() == [0, 0]
    assert found.density.tolist() == [0.5, 0.5, 1, 0]


def test_a_flat_image_has_nothing_to_follow():
    flat = np.full((6, 6, 3), 9, np.uint8)
    assert mask_figures(flat, np.eye(6, dtype=bool)[None]).correlation.tolist() == [0]


def test_sizes_that_do_not_fit_are_refused(lq):
    with pytest.raises(ValueError, match=r"expected masks \(K, 24, 40\)"):
        mask_figures(lq, np.ones((2, 24, 41), bool))
