from __future__ import annotations

import os

import numpy as np
import pytest
from PIL import Image

from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError
from smsr_plugin.report.cases import Source, find_sources, load_case

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
    sources = find_sources([tmp_path / "b.png", tmp_path / "a"], None, is_gt=False)
    assert [source.path.name for source in sources] == ["b.png", "1.png", "2.png"]


def test_paths_that_lead_nowhere_are_refused(tmp_path):
    write(tmp_path / "a.png", 4, 4)
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match=r"none\.png: there is no such file"):
        find_sources([tmp_path / "none.png"], None, is_gt=False)
    with pytest.raises(DataError, match="holds no images"):
        find_sources([tmp_path / "empty"], None, is_gt=False)
    with pytest.raises(DataError, match="gt: there is no such file"):
        find_sources([tmp_path / "a.png"], tmp_path / "gt", is_gt=False)
    with pytest.raises(DataError, match=r"a\.png is one image for 2"):
        find_sources([tmp_path / "a.png"] * 2, tmp_path / "a.png", is_gt=False)


def test_the_ground_truth_may_have_the_name_with_or_without_the_scale(tmp_path):
    lq = write(tmp_path / "lq" / "0801x3.png", 5, 4)
    gt = write(tmp_path / "gt" / "0801.bmp", 17, 12, seed=1)
    case = load_case(Source(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 3, PLENTY)
    np.testing.assert_array_equal(case.lq, lq)
    np.testing.assert_array_equal(case.gt, gt[:15])
    assert case.whole == (5, 4)
    with pytest.raises(DataError, match=r"no image called 0801x3 in .*gt"):
        load_case(Source(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 2, PLENTY)
    write(tmp_path / "gt" / "0801x3.png", 15, 12)
    with pytest.raises(DataError, match="2 images called 0801 or 0801x3"):
        load_case(Source(tmp_path / "lq" / "0801x3.png", tmp_path / "gt"), 3, PLENTY)


@pytest.mark.parametrize("size", [(9, 8), (12, 8), (10, 7)])
def test_a_ground_truth_of_another_size_is_refused(tmp_path, size):
    write(tmp_path / "lq.png", 5, 4)
    write(tmp_path / "gt.png", *size)
    with pytest.raises(DataError, match=rf"gt\.png: expected 8×10 .*got {size[1]}×{size[0]}"):
        load_case(Source(tmp_path / "lq.png", tmp_path / "gt.png"), 2, PLENTY)


def test_the_lq_image_is_made_from_the_ground_truth(tmp_path):
    hr = write(tmp_path / "hr.png", 13, 9)
    case = load_case(Source(tmp_path / "hr.png", is_gt=True), 2, PLENTY)
    np.testing.assert_array_equal(case.lq, downscale(hr, 2))
    np.testing.assert_array_equal(case.gt, hr[:12, :8])
    write(tmp_path / "one.png", 1, 9)
    with pytest.raises(DataError, match=r"one\.png: too small to be reduced by 2"):
        load_case(Source(tmp_path / "one.png", is_gt=True), 2, PLENTY)


def test_of_a_large_image_the_middle_is_taken_and_the_same_of_its_ground_truth(tmp_path):
    hr = write(tmp_path / "hr.png", 40, 80)
    case = load_case(Source(tmp_path / "hr.png", is_gt=True), 2, max_pixels=200)
    assert case.whole == (20, 40)
    np.testing.assert_array_equal(case.lq, downscale(hr, 2)[5:15, 10:30])
    np.testing.assert_array_equal(case.gt, hr[10:30, 20:60])


def test_a_thin_image_keeps_a_row(tmp_path):
    write(tmp_path / "thin.png", 1, 400)
    case = load_case(Source(tmp_path / "thin.png"), 2, max_pixels=4)
    assert case.lq.shape == (1, 40, 3)


def test_bad_files_are_named(tmp_path):
    path = tmp_path / "cut.png"
    write(path, 40, 40)
    path.write_bytes(path.read_bytes()[:-30])
    with pytest.raises(DataError, match=r"cut\.png: .*cut short"):
        load_case(Source(path), 2, PLENTY)


@pytest.mark.skipif(os.name != "posix", reason="names of files are text here")
def test_a_name_of_bytes_that_are_no_text_becomes_text(tmp_path):
    write(tmp_path / "a.png", 4, 4)
    strange = os.fsdecode(os.fsencode(tmp_path) + b"/\xff.png")
    (tmp_path / "a.png").rename(strange)
    (source,) = find_sources([tmp_path], None, is_gt=False)
    assert load_case(source, 2, PLENTY).name == r"\udcff.png"
