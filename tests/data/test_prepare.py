"""Preparation end to end on small images: what is made of them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from prepared_data import VALID, pixels, read_lmdb, small_request, snapshot, states

from smsr_plugin.data.lmdb_store import find_fault, read_meta_info
from smsr_plugin.data.prepare import own_name, prepare
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError


def test_training_gets_sub_images_of_aligned_pairs(root):
    prepare(small_request(root))
    hr = pixels(root / "DIV2K_train_HR" / "0001.png")
    # 50×38 is cropped to 48×36; the sub-images start at rows 0, 12, 24 and columns 0, 12.
    corners = [(top, left) for top in (0, 12, 24) for left in (0, 12)]
    names = {1: "HR_sub", 2: "LR_bicubic_X2_sub", 3: "LR_bicubic_X3_sub"}
    for scale, name in names.items():
        image = hr if scale == 1 else downscale(hr, scale)
        found = read_lmdb(root / f"DIV2K_train_{name}.lmdb")
        assert sorted(found) == [f"0001_s{i:03d}" for i in range(1, 7)] + ["0002_s001"]
        for i, (top, left) in enumerate(corners, start=1):
            expected = image[top // scale : (top + 24) // scale, left // scale :][:, : 24 // scale]
            np.testing.assert_array_equal(found[f"0001_s{i:03d}"], expected)


def test_validation_gets_whole_images(root):
    prepare(small_request(root))
    hr = {Path(name).stem: pixels(root / "DIV2K_valid_HR" / name) for name in VALID}
    found = {name: read_lmdb(root / f"DIV2K_valid_{name}.lmdb") for name in ("HR", "LR_bicubic_X3")}
    assert found["HR"].keys() == found["LR_bicubic_X3"].keys() == hr.keys()
    for key, image in hr.items():
        np.testing.assert_array_equal(found["HR"][key], image)
        np.testing.assert_array_equal(found["LR_bicubic_X3"][key], downscale(image, 3))


def test_given_lr_images_are_used(root, make_images):
    given = make_images(
        root / "DIV2K_train_LR_bicubic" / "X2", {"0001x2.png": (25, 19), "0002x2.png": (12, 12)}
    )
    prepare(small_request(root))
    lr = pixels(given / "0001x2.png")
    found = read_lmdb(root / "DIV2K_train_LR_bicubic_X2_sub.lmdb")
    np.testing.assert_array_equal(found["0001_s002"], lr[:12, 6:18])
    made = read_lmdb(root / "DIV2K_train_LR_bicubic_X3_sub.lmdb")
    hr = pixels(root / "DIV2K_train_HR" / "0002.png")
    np.testing.assert_array_equal(made["0002_s001"], downscale(hr, 3))


def test_other_folders_of_images_and_grey_ones_work(tmp_path, make_images):
    photos = make_images(tmp_path / "photos", {"a.bmp": (36, 36)})
    Image.fromarray(np.full((30, 40), 7, np.uint8)).save(photos / "grey.png")
    root = tmp_path / "new" / "root"
    results = prepare(small_request(root, train_hr=photos))
    assert set(states(results)) == {
        "photos_train_HR_sub.lmdb",
        "photos_train_LR_bicubic_X2_sub.lmdb",
        "photos_train_LR_bicubic_X3_sub.lmdb",
    }
    grey = read_lmdb(root / "photos_train_HR_sub.lmdb")["grey_s001"]
    assert grey.shape == (24, 24, 3)
    assert (grey == 7).all()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("photos", "photos"),
        ("Set5/HR", "Set5"),
        ("my photos!/train", "my_photos"),
        ("日本", "images"),
    ],
)
def test_data_are_called_as_their_folder(tmp_path, make_images, folder, name):
    assert own_name(tmp_path / folder) == name
    photos = make_images(tmp_path / folder, {"a.png": (36, 36)})
    prepare(small_request(tmp_path / "root", valid_hr=photos, scales=(2,)))
    assert read_lmdb(tmp_path / f"root/{name}_valid_HR.lmdb").keys() == {"a"}
    prepare(small_request(tmp_path / "root", valid_hr=photos, scales=(2,), name="mine"))
    assert read_lmdb(tmp_path / "root/mine_valid_LR_bicubic_X2.lmdb").keys() == {"a"}
    for wrong in ("", "../x", "a b"):
        with pytest.raises(ValueError, match="the name must be of letters"):
            small_request(tmp_path, name=wrong)


def test_small_images_are_left_out_if_asked_for_and_the_smallest_is_named(root, make_images):
    small = {"small.png": (23, 99), "smaller.png": (40, 20), "s3.png": (23, 23)}
    make_images(root / "DIV2K_train_HR", small)
    message = (
        r"^3 images are too small, the smallest .*smaller\.png: 40×20 \(height×width\), but at "
        "least 24×24 is needed; --skip-small leaves them out, a smaller --crop-size fits$"
    )
    with pytest.raises(DataError, match=message):
        prepare(small_request(root))
    prepared = prepare(small_request(root, skip_small=True))
    (note,) = prepared.notes
    assert note.startswith("left out, 3 images are too small, the smallest ")
    assert len(read_lmdb(root / "DIV2K_train_HR_sub.lmdb")) == 7  # as without them
    for path in (root / "DIV2K_train_HR").glob("000?.png"):
        path.unlink()
    with pytest.raises(DataError, match=r"^3 images are too small"):  # none is left
        prepare(small_request(root, skip_small=True))


def test_folders_inside_are_named_or_searched(root, make_images):
    make_images(root / "DIV2K_valid_HR" / "inside", {"0801.png": (24, 26)})
    (root / "DIV2K_valid_HR" / "phone.heic").touch()
    prepared = prepare(small_request(root))
    assert [note.partition(": ")[0] for note in prepared.notes] == [
        "left out, of kinds that are not read",
        "left out, folders inside, which only --recursive searches",
    ]
    assert read_lmdb(root / "DIV2K_valid_HR.lmdb").keys() == {"0801", "0802"}
    prepared = prepare(small_request(root, recursive=True, overwrite=True))
    assert len(prepared.notes) == 1
    found = read_lmdb(root / "DIV2K_valid_HR.lmdb")
    assert found.keys() == {"0801", "0802", "inside_0801"}
    assert (found["inside_0801"] == pixels(root / "DIV2K_valid_HR/inside/0801.png")).all()


def test_photographs_are_prepared_as_they_are_seen(tmp_path):
    stored = np.random.default_rng(0).integers(0, 256, (30, 50, 3), dtype=np.uint8)
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "photos").mkdir()
    Image.fromarray(stored).save(tmp_path / "photos" / "a.png", exif=exif)
    prepare(small_request(tmp_path, valid_hr=tmp_path / "photos", scales=(2,)))
    seen = np.rot90(stored, -1)
    assert (read_lmdb(tmp_path / "photos_valid_HR.lmdb")["a"] == seen).all()
    lq = read_lmdb(tmp_path / "photos_valid_LR_bicubic_X2.lmdb")["a"]
    assert (lq == downscale(np.ascontiguousarray(seen), 2)).all()


def test_dots_in_names_become_underscores(tmp_path, make_images):
    make_images(tmp_path / "DIV2K_valid_HR", {"my.photo.1.png": (24, 24)})
    prepare(small_request(tmp_path))
    assert list(read_meta_info(tmp_path / "DIV2K_valid_HR.lmdb")) == ["my_photo_1"]


def test_several_workers_make_the_same(root):
    prepare(small_request(root))
    alone = snapshot(root)
    prepare(small_request(root, workers=2, overwrite=True))
    together = snapshot(root)
    assert alone.keys() == together.keys()
    for name in alone:
        if name.endswith("meta_info.txt"):
            assert together[name] == alone[name]
    for folder in root.glob("*.lmdb"):
        assert find_fault(folder) is None


def test_reduced_copies_of_training_images_are_taken_as_well(root):
    prepare(small_request(root, reduced=(0.8, 0.5)))
    entries = read_lmdb(root / "DIV2K_train_HR_sub.lmdb")
    # 0002 (24×24) is too small to be reduced, 0001 (50×38) to be halved.
    assert {key.rsplit("_s", 1)[0] for key in entries} == {"0001", "0002", "0001_r800"}
    hr = Image.open(root / "DIV2K_train_HR" / "0001.png")
    reduced = np.array(hr.resize((round(38 * 0.8), 40), Image.Resampling.LANCZOS))
    np.testing.assert_array_equal(entries["0001_r800_s001"], reduced[:24, :24])
    lq = read_lmdb(root / "DIV2K_train_LR_bicubic_X2_sub.lmdb")
    expected = downscale(reduced, 2)[:12, :12]
    np.testing.assert_array_equal(lq["0001_r800_s001"], expected)
    assert set(read_lmdb(root / "DIV2K_valid_HR.lmdb")) == {"0801", "0802"}  # whole, as they are
