from __future__ import annotations

import csv
import math

import numpy as np
import pytest
import torch

import smsr_plugin.training  # noqa: F401  before the first import of basicsr

# isort: split
from basicsr.metrics import calculate_psnr, calculate_ssim
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.lib.stride_tricks import sliding_window_view
from skimage.metrics import peak_signal_noise_ratio

from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.checkpoints.files import load_weights
from smsr_plugin.compare.images import ImageSource, load_case
from smsr_plugin.images.pixels import luma, to_image
from smsr_plugin.images.quality import compare, psnr, psnr_inside, ssim

#: BasicSR computes Y in float32: 24 bits of 255, squared and averaged.
FLOAT32_Y = 1e-5


def photograph(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Return a smooth random image with some noise, (H, W, 3) of uint8."""
    rng = np.random.default_rng(seed)
    waves = np.sin(np.arange(height)[:, None] / 7 + np.arange(width) / 5)[..., None]
    return np.clip(128 + 90 * waves + rng.normal(0, 20, (height, width, 3)), 0, 255).astype(
        np.uint8
    )


def literal_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Return SSIM of two (H, W) images in 0…255 by its formula, window by window."""
    position = np.arange(11) - 5
    line = np.exp(-(position**2) / (2 * 1.5**2))
    window = np.outer(line, line) / line.sum() ** 2
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    values = []
    for wa, wb in zip(
        sliding_window_view(a, (11, 11)).reshape(-1, 11, 11),
        sliding_window_view(b, (11, 11)).reshape(-1, 11, 11),
        strict=True,
    ):
        mean_a, mean_b = (window * wa).sum(), (window * wb).sum()
        var_a, var_b = (window * (wa - mean_a) ** 2).sum(), (window * (wb - mean_b) ** 2).sum()
        covariance = (window * (wa - mean_a) * (wb - mean_b)).sum()
        values.append(
            (2 * mean_a * mean_b + c1)
            * (2 * covariance + c2)
            / ((mean_a**2 + mean_b**2 + c1) * (var_a + var_b + c2))
        )
    return float(np.mean(values))


@pytest.mark.parametrize(
    ("rgb", "y"),
    [((0, 0, 0), 16), ((255, 255, 255), 235), ((255, 0, 0), 81.481), ((0, 255, 0), 144.553)],
)
def test_luma_is_that_of_bt601(rgb, y):
    assert luma(np.array(rgb, float)) == pytest.approx(y)


def test_psnr_of_a_known_difference():
    zeros = np.zeros((4, 5))
    assert psnr(zeros, zeros + 5) == pytest.approx(20 * math.log10(255 / 5))
    half = zeros.copy()
    half[:2] = 10
    assert psnr(half, zeros) == pytest.approx(10 * math.log10(255**2 / 50))
    assert psnr(zeros, zeros) == math.inf


@pytest.mark.parametrize("size", [(11, 11), (12, 17), (24, 13)])
def test_ssim_equals_its_formula(size):
    a, b = (luma(photograph(*size, seed)) for seed in (0, 1))
    assert ssim(a, b) == pytest.approx(literal_ssim(a, b), abs=1e-12)
    assert ssim(a, a) == pytest.approx(1, abs=1e-12)


@given(
    height=st.integers(19, 40),
    width=st.integers(19, 40),
    border=st.integers(0, 4),
    seed=st.integers(0, 99),
)
@settings(max_examples=15)
def test_agrees_with_basicsr(height, width, border, seed):
    sr, gt = photograph(height, width, seed), photograph(height, width, seed + 100)
    found = compare(sr, gt, border)
    bgr = sr[..., ::-1], gt[..., ::-1]
    for y, psnr_found, ssim_found in (
        (True, found.psnr_y, found.ssim_y),
        (False, found.psnr_rgb, found.ssim_rgb),
    ):
        options = {"crop_border": border, "test_y_channel": y}
        assert psnr_found == pytest.approx(calculate_psnr(*bgr, **options), abs=FLOAT32_Y)
        assert ssim_found == pytest.approx(calculate_ssim(*bgr, **options), abs=FLOAT32_Y)


def test_the_border_does_not_count():
    gt = photograph(20, 24)
    sr = gt.copy()
    sr[:3] = sr[-3:] = 0
    sr[:, :3] = sr[:, -3:] = 255
    assert compare(sr, gt, 3) == (math.inf, pytest.approx(1), math.inf, pytest.approx(1))
    assert compare(sr, gt, 2).psnr_y < 20


def test_what_cannot_be_compared_is_told():
    with pytest.raises(ValueError, match=r"14×16 is too small.*11×11 pixels inside a border of 2"):
        compare(photograph(16, 14), photograph(16, 14), 2)
    with pytest.raises(ValueError, match=r"got \(16, 16, 3\) and \(16, 17, 3\)"):
        compare(photograph(16, 16), photograph(16, 17), 1)


def test_outputs_become_images_by_clamping_and_rounding():
    values = np.array([-0.1, 0, 0.499 / 255, 0.501 / 255, 1, 1.2], np.float32)
    image = to_image(values.reshape(1, 1, 2, 3).repeat(3, 1))
    assert image.shape == (2, 3, 3)
    assert image[..., 0].tolist() == [[0, 0, 0], [1, 255, 255]]
    with pytest.raises(ValueError, match="NaN"):
        to_image(np.full((1, 3, 2, 2), np.nan, np.float32))


@pytest.mark.reference
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(
    ("set_name", "name"), [("Set5", "butterfly"), ("Set14", "bridge"), ("Set14", "comic")]
)
def test_reproduces_what_the_authors_of_pan_logged(test_data, scale, set_name, name):
    with (test_data / "oracles" / f"pan_x{scale}_per_image.csv").open() as file:
        rows = {(row["dataset"], row["image"]): row for row in csv.DictReader(file)}
    net = PAN(upscale=scale).eval()
    load_weights(net, test_data / "weights" / f"pan_x{scale}.pth")
    path = test_data / "data" / set_name / "HR" / f"{name}.png"
    pair = load_case(ImageSource(set_name, name, path, is_gt=True), scale)
    with torch.inference_mode():
        sr = to_image(net(torch.from_numpy(pair.lq)).numpy())
    found, expected = compare(sr, pair.gt, scale), rows[set_name, name]
    for measure, tolerance in (("psnr", 1e-3), ("ssim", 1e-4)):
        for channels in ("y", "rgb"):
            key = f"{measure}_{channels}"
            assert getattr(found, key) == pytest.approx(float(expected[key]), abs=tolerance), key


def test_psnr_inside_a_border_is_that_of_scikit_image():
    a, b = (luma(photograph(12, 9, seed)) for seed in (0, 1))
    for border in (0, 3):
        inside = (slice(border, 12 - border), slice(border, 9 - border))
        expected = peak_signal_noise_ratio(b[inside], a[inside], data_range=255)
        assert psnr_inside(a, b, border) == pytest.approx(expected)
    assert psnr_inside(a, a, 2) == math.inf
    assert psnr_inside(a, b, 5) is None
