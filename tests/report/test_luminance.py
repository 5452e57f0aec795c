from __future__ import annotations

import math

import numpy as np
import pytest
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio

from smsr_plugin.report.luminance import luma, psnr


@pytest.fixture
def images():
    return np.random.default_rng(0).integers(0, 256, (2, 12, 9, 3), dtype=np.uint8)


def test_luma_is_that_of_scikit_image(images):
    np.testing.assert_allclose(luma(images[0]), rgb2ycbcr(images[0])[..., 0], rtol=0, atol=1e-10)


def test_psnr_is_that_of_scikit_image_inside_the_border(images):
    a, b = map(luma, images)
    expected = peak_signal_noise_ratio(b[3:-3, 3:-3], a[3:-3, 3:-3], data_range=255)
    assert psnr(a, b, 3) == pytest.approx(expected)
    assert psnr(a, b, 0) == pytest.approx(peak_signal_noise_ratio(b, a, data_range=255))


def test_psnr_of_equal_images_and_of_none(images):
    y = luma(images[0])
    assert psnr(y, y, 2) == math.inf
    assert psnr(y, y + 1, 5) is None
