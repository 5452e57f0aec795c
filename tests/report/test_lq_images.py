from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError
from smsr_plugin.report.lq_images import LqFile, find_files, load_lq

PLENTY = 10**9


def write(path, height, width, seed=0):
    path.parent.mkdir(exist_ok=True)
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(path)
    return pixels


def test_files_and_folders_are_listed_in_the_order_given(tmp_path):
    for name in ("a/2.png", "a/1.png", "b.png"):
        write(tmp_path / name, 4, 4)
    (tmp_path / "a" / "notes.txt").write_text("no image")
    files = find_files([tmp_path / "b.png", tmp_path / "a"], None, is_gt=False)
    assert [file.path.name for file in files] == ["b.png", "1.png", "2.png"]


def test_paths_that_lead_nowhere_are_refused(tmp_path):
    write(tmp_path / "a.png", 4, 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"none\.png: there is no such file"):
        find_files([tmp_path / "none.png"], None, is_gt=False)
    with pytest.raises(DataError, match="holds no images"):
        find_files([tmp_path / "empty"], None, is_gt=False)
    with pytest.raises(DataError, match="gt: there is no such file"):
        find_files([tmp_path / "a.png"], tmp_path / "gt", is_gt=False)
    with pytest.raises(DataError, match=r"a\.png is one image for 2"):
        find_files([tmp_path / "a.png"] * 2, tmp_path / "a.png", is_gt=False)


def test_the_ground_truth_may_have_the_name_with_or_without_the_scale(tmp_path):
    lq = write(tmp_path / "lq" / "0801x3.png", 5, 4)
    gt = write(tmp_path / "gt" / "0801.bmp", 17, 12, seed=1)
    image = load_lq(LqFile(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 3, PLENTY)
    np.testing.assert_array_equal(image.lq, lq)
    np.testing.assert_array_equal(image.gt, gt[:15])
    assert image.whole == (5, 4)
    with pytest.raises(DataError, match=r"no image called 0801x3 in .*gt"):
        load_lq(LqFile(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 2, PLENTY)
    write(tmp_path / "gt" / "0801x3.png", 15, 12)
    with pytest.raises(DataError, match="2 images called 0801 or 0801x3"):
        load_lq(LqFile(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 3, PLENTY)


@pytest.mark.parametrize("size", [(9, 8), (12, 8), (10, 7)])
def test_a_ground_truth_of_another_size_is_refused(tmp_path, size):
    write(tmp_path / "lq.png", 5, 4)
    write(tmp_path / "gt.png", *size)
    with pytest.raises(DataError, match=rf"gt\.png: expected 8×10 .*got {size[1]}×{size[0]}"):
        load_lq(LqFile(tmp_path / "lq.png", tmp_path / "gt.png"), 2, PLENTY)


def test_the_lq_image_is_made_from_the_ground_truth(tmp_path):
    hr = write(tmp_path / "hr.png", 13, 9)
    image = load_lq(LqFile(tmp_path / "hr.png", is_gt=True), 2, PLENTY)
    np.testing.assert_array_equal(image.lq, downscale(hr, 2))
    np.testing.assert_array_equal(image.gt, hr[:12, :8])
    write(tmp_path / "one.png", 1, 9)
    with pytest.raises(DataError, match=r"one\.png: too small to be reduced by 2"):
        load_lq(LqFile(tmp_path / "one.png", is_gt=True), 2, PLENTY)


def test_of_a_large_image_the_middle_is_taken_and_the_same_of_its_ground_truth(tmp_path):
    hr = write(tmp_path / "hr.png", 40, 80)
    image = load_lq(LqFile(tmp_path / "hr.png", is_gt=True), 2, max_pixels=200)
    assert image.whole == (20, 40)
    np.testing.assert_array_equal(image.lq, downscale(hr, 2)[5:15, 10:30])
    np.testing.assert_array_equal(image.gt, hr[10:30, 20:60])


def test_a_thin_image_keeps_a_row(tmp_path):
    write(tmp_path / "thin.png", 1, 400)
    image = load_lq(LqFile(tmp_path / "thin.png"), 2, max_pixels=4)
    assert image.lq.shape == (1, 40, 3)


def test_sixteen_bits_transparency_and_grey_are_shown_as_8_bit_rgb_and_said(tmp_path):
    grey = np.linspace(0, 65535, 24, dtype=np.uint16).reshape(4, 6)
    Image.fromarray(grey).save(tmp_path / "deep.png")
    image = load_lq(LqFile(tmp_path / "deep.png"), 2, PLENTY)
    np.testing.assert_array_equal(
        image.lq, np.rint(grey / 257.0).astype(np.uint8)[..., None] + [0] * 3
    )
    assert image.notes == ("its 16 bits became 8",)
    rgba = np.random.default_rng(0).integers(0, 256, (4, 6, 4), dtype=np.uint8)
    rgba[0, 0] = (10, 20, 30, 0)
    rgba[0, 1, 3] = 255
    Image.fromarray(rgba).save(tmp_path / "clear.png")
    image = load_lq(LqFile(tmp_path / "clear.png"), 2, PLENTY)
    assert image.lq[0, 0].tolist() == [255, 255, 255]
    assert image.lq[0, 1].tolist() == rgba[0, 1, :3].tolist()
    blended = rgba[..., :3] * (rgba[..., 3:] / 255) + 255 * (1 - rgba[..., 3:] / 255)
    assert np.abs(image.lq - blended).max() <= 0.5 + 1e-9
    assert image.notes == ("its transparency is laid on white",)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="there are no pipes here")
def test_a_pipe_is_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.png")
    for file in (LqFile(tmp_path / "pipe.png"), LqFile(tmp_path / "pipe.png", is_gt=True)):
        with pytest.raises(DataError, match=r"pipe\.png: is not a file$"):
            load_lq(file, 2, PLENTY)
    write(tmp_path / "lq.png", 4, 4)
    with pytest.raises(DataError, match=r"pipe\.png: is not a file$"):
        load_lq(LqFile(tmp_path / "lq.png", tmp_path / "pipe.png"), 2, PLENTY)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "cut.png"
    write(path, 40, 40)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.png: .*cut short"):
        load_lq(LqFile(path), 2, PLENTY)


@pytest.mark.skipif(os.name != "posix", reason="names of files are text here")
def test_a_name_of_bytes_that_are_no_text_becomes_text(tmp_path):
    write(tmp_path / "a.png", 4, 4)
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    (tmp_path / "a.png").rename(strange)
    (file,) = find_files([tmp_path], None, is_gt=False)
    assert load_lq(file, 2, PLENTY).name == r"\udcff.png"
