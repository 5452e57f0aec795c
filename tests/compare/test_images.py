from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.compare.images import ImageSource, list_cases, load_case
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError


def write(path, height=13, width=18, mode="RGB"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(0).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).convert(mode).save(path)
    return pixels


def test_sets_are_called_as_their_folders(tmp_path):
    for place in ("Set5/HR/b.png", "Set5/HR/a.bmp", "Urban100/c.png", "Set14/GTmod12/d.jpg"):
        write(tmp_path / place)
    folders = [tmp_path / place for place in ("Urban100", "Set5/HR", "Set14/GTmod12")]
    assert [str(image) for image in list_cases([str(folder) for folder in folders])] == [
        *("Urban100/c", "Set5/a", "Set5/b", "Set14/d")
    ]


def test_names_must_tell_images_apart(tmp_path):
    for place in ("a/Set5/HR/x.png", "b/Set5/x.png", "c/y.png", "c/y.jpg"):
        write(tmp_path / place)
    with pytest.raises(DataError, match="would both be called Set5"):
        list_cases([str(tmp_path / "a/Set5/HR"), str(tmp_path / "b/Set5")])
    with pytest.raises(DataError, match=r"y.png and y.jpg have the same name"):
        list_cases([str(tmp_path / "c")])


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_lq_is_matlabs_bicubic_of_the_cut_image(tmp_path, scale):
    pixels = write(tmp_path / "a.png")
    case = load_case(ImageSource("s", "a", tmp_path / "a.png", is_gt=True), scale)
    height, width = 13 // scale, 18 // scale
    assert np.array_equal(case.gt, pixels[: height * scale, : width * scale])
    assert case.lq.shape == (1, 3, height, width)
    assert np.array_equal((case.lq[0] * 255).round().transpose(1, 2, 0), downscale(pixels, scale))


def test_grey_images_become_rgb(tmp_path):
    write(tmp_path / "a.png", mode="L")
    gt = load_case(ImageSource("s", "a", tmp_path / "a.png", is_gt=True), 2).gt
    assert gt.shape == (12, 18, 3)
    assert (gt[..., :1] == gt).all()


def test_images_that_cannot_be_used_are_named(tmp_path):
    write(tmp_path / "small.png", 3, 9)
    (tmp_path / "empty.png").touch()
    for name, message in (("small", "too small for scale 4"), ("empty", "the file is empty")):
        with pytest.raises(DataError, match=rf"{name}.png: .*{message}"):
            load_case(ImageSource("s", name, tmp_path / f"{name}.png", is_gt=True), 4)
    with pytest.raises(DataError, match=r"absent.png: cannot be read \(No such file"):
        load_case(ImageSource("s", "absent", tmp_path / "absent.png", is_gt=True), 4)
