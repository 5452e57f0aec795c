"""What preparation refuses, and how it names it."""

from __future__ import annotations

import os

import pytest
from PIL import Image
from prepared_data import small_request, snapshot

from smsr_plugin.data.entries import Grid
from smsr_plugin.data.prepare import prepare
from smsr_plugin.images.files import DataError


def test_given_lr_images_must_be_complete_and_fit(root, make_images):
    make_images(root / "DIV2K_valid_LR_bicubic" / "X2", {"0801x2.png": (15, 15)})
    with pytest.raises(DataError) as error:
        prepare(small_request(root))
    assert "0801x2.png is 15×15 (height×width), but 0801.png at scale 2 is 14×15" in str(
        error.value
    )
    assert "0802x2.png, the X2 image of 0802.png, is missing" in str(error.value)


@pytest.mark.parametrize("names", [("a.jpg", "a.png"), ("a.b.png", "a_b.png")])
def test_names_that_share_a_key_are_refused(tmp_path, make_images, names):
    make_images(tmp_path / "DIV2K_valid_HR", dict.fromkeys(names, (24, 24)))
    with pytest.raises(DataError, match=rf"{names[1]} and {names[0]} would share the key 'a"):
        prepare(small_request(tmp_path))


def test_a_name_with_the_end_of_a_line_is_named_in_one_line(tmp_path, make_images):
    make_images(tmp_path / "DIV2K_valid_HR", {"a\nb.png": (30, 30)})
    with pytest.raises(DataError, match=r"a\\nb\.png: the name must be plain ASCII") as error:
        prepare(small_request(tmp_path))
    assert "\n" not in str(error.value)


def test_all_bad_headers_are_named_at_once_and_nothing_is_written(root, make_images):
    folder = make_images(root / "DIV2K_train_HR", {"small.png": (23, 99), "é.png": (30, 30)})
    (folder / "empty.png").touch()
    (folder / "text.jpg").write_text("hello")
    Image.new("RGBA", (30, 30)).save(folder / "alpha.png")
    before = snapshot(root)
    with pytest.raises(DataError) as error:
        prepare(small_request(root))
    for fault in (
        "alpha.png: expected an 8-bit",
        "empty.png: the file is empty",
        "small.png is 23×99 (height×width), but at least 24×24 is needed; --skip-small leaves",
        "text.jpg: is damaged or not an image of a known kind",
        "é.png: the name must be plain ASCII",
    ):
        assert fault in str(error.value)
    assert snapshot(root) == before


def test_long_lists_of_faults_are_counted(tmp_path, make_images):
    folder = make_images(tmp_path / "DIV2K_train_HR", {"a.png": (30, 30)})
    for number in range(8):
        (folder / f"{number:02d}.png").touch()
    with pytest.raises(DataError, match=r"04\.png: the file is empty; and 3 more$"):
        prepare(small_request(tmp_path))


@pytest.mark.parametrize("workers", [1, 2])
def test_all_images_that_cannot_be_decoded_are_named_at_once(root, make_images, workers):
    folder = root / "DIV2K_train_HR"
    make_images(folder, {"0003.png": (30, 30)})
    for name in ("0001.png", "0003.png"):
        os.truncate(folder / name, (folder / name).stat().st_size - 5)
    before = snapshot(root)
    with pytest.raises(DataError, match=r"0001\.png: the PNG is cut short; .*0003\.png: the PNG"):
        prepare(small_request(root, workers=workers))
    assert snapshot(root) == before


def test_reduced_copies_that_are_called_as_another_image_are_refused(root, make_images):
    for reduced in ((0.8, 0.8001), (0.8,)):
        if len(reduced) == 1:
            make_images(root / "DIV2K_train_HR", {"0001_r800.png": (50, 38)})
        with pytest.raises(DataError, match=r"reduced copies would be called as another .* 0001_r"):
            prepare(small_request(root, reduced=reduced))
    assert prepare(small_request(root, reduced=(0.9, 0.7))).outputs


def test_nothing_to_prepare_is_an_error(tmp_path):
    with pytest.raises(DataError, match=r"nothing to prepare: .* neither DIV2K_train_HR nor"):
        prepare(small_request(tmp_path))


def test_a_named_folder_must_exist(tmp_path):
    with pytest.raises(DataError, match="nowhere is not a folder"):
        prepare(small_request(tmp_path, valid_hr=tmp_path / "nowhere"))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scales": (5,)}, "scales must be some of"),
        ({"scales": ()}, "scales must be some of"),
        ({"workers": 0}, "workers must be at least 1"),
        ({"grid": Grid(25, 12)}, "crop_size 25 is not a multiple of scale 2"),
    ],
)
def test_bad_requests_are_refused(tmp_path, options, message):
    with pytest.raises(ValueError, match=message):
        small_request(tmp_path, **options)


@pytest.mark.parametrize("reduced", [(0.0,), (1.0,), (0.5, 0.5), (float("nan"),)])
def test_factors_that_reduce_nothing_are_refused(root, reduced):
    with pytest.raises(ValueError, match="reduced must be different factors"):
        small_request(root, reduced=reduced)
