"""Resizing against exact fractions of MATLAB's formula, and against the published LR images."""

from __future__ import annotations

from fractions import Fraction
from math import floor

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from smsr_plugin.images.bicubic import MAX_SCALE, downscale, mod_crop, upscale

SCALES = st.integers(2, 5)


def keys_cubic(x: Fraction) -> Fraction:
    x = abs(x)
    if x <= 1:
        return Fraction(3, 2) * x**3 - Fraction(5, 2) * x**2 + 1
    if x <= 2:
        return -Fraction(1, 2) * x**3 + Fraction(5, 2) * x**2 - 4 * x + 2
    return Fraction(0)


def resize_matrix(size: int, factor: Fraction) -> np.ndarray:
    """Return MATLAB's weights (output, input) along one axis, in fractions."""
    matrix = np.full((int(size * factor), size), Fraction(0))
    stretch = min(factor, Fraction(1))
    reach = floor(2 / stretch) + 1
    for row in range(matrix.shape[0]):
        centre = (row + Fraction(1, 2)) / factor - Fraction(1, 2)
        for column in range(floor(centre) - reach, floor(centre) + reach + 2):
            mirrored = column % (2 * size)
            mirrored = min(mirrored, 2 * size - 1 - mirrored)
            matrix[row, mirrored] += keys_cubic((column - centre) * stretch)
    return matrix / matrix.sum(axis=1, keepdims=True)


def to_uint8(values: np.ndarray) -> np.ndarray:
    rounded = [min(max(floor(v + Fraction(1, 2)), 0), 255) for v in values.flat]
    return np.array(rounded, dtype=np.uint8).reshape(values.shape)


def resize_exactly(image: np.ndarray, factor: Fraction) -> np.ndarray:
    rows = to_uint8(resize_matrix(image.shape[0], factor) @ image.astype(object))
    columns = resize_matrix(image.shape[1], factor).T
    return to_uint8(rows.astype(object) @ columns)


def random_image(seed: int, *shape: int) -> np.ndarray:
    # Values at the ends of the range make the kernel overshoot, so that clipping matters.
    values = np.random.default_rng(seed).integers(-64, 320, shape)
    return values.clip(0, 255).astype(np.uint8)


@settings(max_examples=40)
@given(st.integers(1, 17), st.integers(1, 17), SCALES, st.integers(0, 999))
def test_downscale_is_exact(height, width, scale, seed):
    hr = random_image(seed, max(height, scale), max(width, scale))
    cropped = hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]
    expected = resize_exactly(cropped, Fraction(1, scale))
    np.testing.assert_array_equal(downscale(hr, scale), expected)


@settings(max_examples=40)
@given(st.integers(1, 7), st.integers(1, 7), SCALES, st.integers(0, 999))
def test_upscale_is_exact(height, width, scale, seed):
    lr = random_image(seed, height, width)
    np.testing.assert_array_equal(upscale(lr, scale), resize_exactly(lr, Fraction(scale)))


@pytest.mark.parametrize("resize", [downscale, upscale])
@given(value=st.integers(0, 255), scale=st.integers(2, MAX_SCALE))
@settings(max_examples=25)
def test_constant_images_stay_constant(resize, value, scale):
    result = resize(np.full((37, 21, 3), value, np.uint8), scale)
    assert (result == value).all()


@pytest.mark.parametrize("resize", [downscale, upscale])
@pytest.mark.parametrize("scale", [2, 3, 4])
def test_channels_are_independent(resize, scale):
    image = random_image(0, 30, 41, 3)
    whole = resize(image, scale)
    assert whole.flags.c_contiguous
    for channel in range(3):
        np.testing.assert_array_equal(resize(image[..., channel], scale), whole[..., channel])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_large_images_are_worked_on_in_slabs_without_seams(scale):
    hr = random_image(1, 24 * scale, 6000 * scale)
    expected = np.concatenate(
        [
            downscale(hr[:, start : start + 1200 * scale], scale)
            for start in range(0, 6000 * scale, 1200 * scale)
        ],
        axis=1,
    )
    result = downscale(hr, scale)
    inner = np.arange(6000) % 1200
    inner = (inner >= 4) & (inner < 1196)  # away from the borders of the parts
    np.testing.assert_array_equal(result[:, inner], expected[:, inner])


def test_mod_crop_cuts_bottom_and_right():
    image = random_image(2, 11, 13, 3)
    np.testing.assert_array_equal(mod_crop(image, 4), image[:8, :12])
    np.testing.assert_array_equal(mod_crop(image[:8, :12], 4), image[:8, :12])


@pytest.mark.parametrize("function", [downscale, upscale, mod_crop])
@pytest.mark.parametrize(
    ("image", "scale", "error", "message"),
    [
        (np.zeros((8, 8)), 2, TypeError, "uint8 values, got float64"),
        ([[0]], 2, TypeError, "got list"),
        (np.zeros(8, np.uint8), 2, ValueError, r"\(H, W, C\), got \(8,\)"),
        (np.zeros((1, 3, 8, 8), np.uint8), 2, ValueError, r"got \(1, 3, 8, 8\)"),
        (np.zeros((8, 0, 3), np.uint8), 2, ValueError, "empty"),
        (np.zeros((8, 8), np.uint8), 2.0, TypeError, "integer, got 2.0"),
        (np.zeros((8, 8), np.uint8), True, TypeError, "integer, got True"),
        (np.zeros((8, 8), np.uint8), 1, ValueError, "from 2 to 16, got 1"),
        (np.zeros((99, 99), np.uint8), 17, ValueError, "from 2 to 16, got 17"),
    ],
)
def test_bad_arguments_are_named(function, image, scale, error, message):
    with pytest.raises(error, match=message):
        function(image, scale)


@pytest.mark.parametrize("function", [downscale, mod_crop])
def test_images_smaller_than_the_scale_are_refused(function):
    with pytest.raises(ValueError, match="height 3 and width 9 is too small for scale 4"):
        function(np.zeros((3, 9), np.uint8), 4)


@pytest.mark.reference
@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize(("name", "count"), [("Set5", 5), ("Set14", 14)])
def test_published_lr_images_are_reproduced_bit_for_bit(test_data, name, count, scale):
    files = sorted((test_data / "data" / name / "HR").iterdir())
    assert len(files) == count
    for file in files:
        lr_file = (
            test_data / "data" / name / "LR_bicubic" / f"X{scale}" / f"{file.stem}x{scale}.png"
        )
        hr, lr = np.array(Image.open(file)), np.array(Image.open(lr_file))
        np.testing.assert_array_equal(downscale(hr, scale), lr, err_msg=str(lr_file))
