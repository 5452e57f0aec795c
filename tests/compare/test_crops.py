from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image as pillow

import smsr_plugin
from smsr_plugin import to_sparse
from smsr_plugin.compare.images import list_cases, load_case
from smsr_plugin.images.files import DataError

#: Mean spatial density of each crop with the released x2 weights.
DENSITIES = {"rocket": 0.286, "china": 0.540, "flower": 0.171, "small": 0.464}


def load(name):
    (image,) = list_cases([str(name)])
    return load_case(image, 2)


@pytest.mark.parametrize("mode", ["RGB", "L"])
def test_a_file_is_taken_as_it_is(tmp_path, mode):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 4, 3), dtype=np.uint8)
    image = pillow.fromarray(pixels).convert(mode)
    image.save(tmp_path / "photo.png")
    case = load(tmp_path / "photo.png")
    assert (str(case.image), case.size, case.gt) == ("lq/photo", (4, 5), None)
    assert case.lq.dtype == np.float32
    assert case.lq.flags["C_CONTIGUOUS"]
    expected = np.asarray(image.convert("RGB")).transpose(2, 0, 1)[None] / 255
    np.testing.assert_allclose(case.lq, expected, rtol=1e-6)


def test_what_is_no_image_is_named(tmp_path):
    (tmp_path / "notes.png").write_text("not an image")
    with pytest.raises(DataError, match=r"notes\.png: is damaged or not an image"):
        load(tmp_path / "notes.png")
    with pytest.raises(DataError, match="moon is not a folder, an image file or one of rocket, "):
        load("moon")


@pytest.mark.parametrize("name", ["rocket", "china", "flower", "small"])
def test_crops(name):
    pytest.importorskip("skimage" if name in ("rocket", "small") else "sklearn")
    case = load(name)
    assert case.size == ((128, 128) if name == "small" else (640, 360))
    assert 0 <= case.lq.min() < case.lq.max() <= 1
    assert case.lq.std() > 0.05


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize("name", DENSITIES)
def test_densities_of_the_crops_with_the_released_weights(name, test_data):
    pytest.importorskip("sklearn")
    net = to_sparse(smsr_plugin.load(test_data / "weights/smsr_x2_official.pt"))
    _, stats = net(torch.from_numpy(load(name).lq), return_stats=True)
    assert float(stats.spa_mask.double().mean()) == pytest.approx(DENSITIES[name], abs=0.001)
