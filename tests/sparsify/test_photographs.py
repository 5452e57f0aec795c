from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError
from smsr_plugin.images.rgb import read_rgb
from smsr_plugin.sparsify.photographs import read_photographs


def test_pieces_and_what_is_kept_aside(tmp_path, make_images):
    folder = make_images(tmp_path / "photos", {f"{n}.png": (200 + n, 230) for n in range(9)})
    photographs = read_photographs(folder, 2, pieces=10)
    assert photographs.pieces.shape == (10, 3, 96, 96)
    assert 0 <= photographs.pieces.min() < photographs.pieces.max() <= 1
    (pair,) = photographs.judged
    assert pair.gt.shape == (2 * pair.lq.shape[0], 2 * pair.lq.shape[1], 3)
    whole = [read_rgb(path) for path in folder.iterdir()]
    assert any(np.array_equal(pair.lq, downscale(image, 2)) for image in whole)
    again = read_photographs(folder, 2, pieces=10)
    assert (again.pieces == photographs.pieces).all()


def test_pieces_show_detail(tmp_path):
    image = np.full((700, 700, 3), 100, np.uint8)
    image[:200, :200] = np.random.default_rng(0).integers(0, 256, (200, 200, 3))
    for name in "ab":
        Image.fromarray(image).save(tmp_path / f"{name}.png")
    pieces = read_photographs(tmp_path, 2, pieces=12).pieces
    flat = sum(float(piece.std()) < 0.01 for piece in pieces)
    assert flat < 6  # of single places two thirds are flat


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"a.png": (300, 300)}, "at least 2 photographs"),
        ({"a.png": (300, 300), "b.png": (300, 191)}, "at least 192 pixels a side, got 191×300"),
    ],
)
def test_too_few_or_too_small_photographs(tmp_path, make_images, sizes, message):
    with pytest.raises(DataError, match=message):
        read_photographs(make_images(tmp_path / "photos", sizes), 2)
