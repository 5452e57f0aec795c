from __future__ import annotations

import base64
from io import BytesIO

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.report.rendering import MAX_SIDE, exact, grey, heat_map, overlay, thumbnail


def decoded(picture):
    head, _, content = picture.uri.partition(";base64,")
    image = Image.open(BytesIO(base64.b64decode(content, validate=True)))
    assert head == f"data:image/{image.format.lower()}"
    assert image.size == (picture.width, picture.height)
    return np.array(image.convert("RGB"))


@pytest.fixture
def noise():
    return np.random.default_rng(0).integers(0, 256, (21, 34, 3), dtype=np.uint8)


def test_what_is_compared_is_embedded_without_loss(noise):
    picture = exact(noise, "some noise")
    np.testing.assert_array_equal(decoded(picture), noise)
    assert picture.alt == "some noise"


def test_images_too_long_for_webp_are_embedded_all_the_same():
    line = np.random.default_rng(0).integers(0, 256, (1, MAX_SIDE + 1, 3), dtype=np.uint8)
    np.testing.assert_array_equal(decoded(exact(line, "")), line)
    decoded(overlay(line, ""))


def test_grey_is_near_the_luminance():
    y = np.linspace(16, 235, 32 * 40).reshape(32, 40)
    assert np.abs(decoded(grey(y, "")).mean(-1) - y).max() < 4


def test_a_map_runs_through_the_colours_of_the_masks():
    values = np.zeros((32, 96))
    values[:, 32:64], values[:, 64:] = 4.0, 8.0
    picture = heat_map(values, "")
    assert picture.top == 8.0
    colours = decoded(picture)
    viridis = {16: (68, 1, 84), 48: (33, 145, 140), 80: (253, 231, 37)}
    for column, colour in viridis.items():
        assert np.abs(colours[16, column].astype(int) - colour).max() < 12
    assert heat_map(np.zeros((2, 2)), "").top == 1.0
    rare = np.zeros((40, 40))
    rare[0, 0] = 3.0
    assert heat_map(rare, "").top == 3.0


def test_thumbnails_are_small(noise):
    picture = thumbnail(noise.repeat(20, 0).repeat(20, 1), "")
    assert picture.width <= 144
    assert picture.height <= 96
