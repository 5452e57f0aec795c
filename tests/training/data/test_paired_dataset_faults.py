"""The data set names the image or the option that it cannot use."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from paired_data import GT_SIZE, SCALE, as_png, replace_entry, train_folder, train_lmdb
from PIL import Image

from smsr_plugin.images.files import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BasicSR imports from old places
    from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset


def flipped_byte(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]


FAULTS = {
    "missing": (lambda _: None, "cannot be read|does not hold it"),
    "empty": (lambda _: b"", "the file is empty"),
    "no image": (lambda _: b"GIF89a or so", "is damaged or not an image of a known kind"),
    "cut": (lambda content: content[:-20], "the PNG is cut short"),
    "damaged": (flipped_byte, "the PNG is damaged"),
    "grey": (as_png(Image.new("L", (24, 24))), "is grey, but training expects RGB"),
    "alpha": (as_png(Image.new("RGBA", (24, 24))), "transparency"),
    "16 bits": (as_png(Image.new("I;16", (24, 24))), "16 bits per value"),
}


@pytest.mark.parametrize("build", [train_lmdb, train_folder])
@pytest.mark.parametrize("role", ["gt", "lq"])
@pytest.mark.parametrize("fault", FAULTS)
def test_a_bad_image_is_named_with_its_role(root, build, role, fault):
    change, message = FAULTS[fault]
    opt = build(root)
    folder = Path(opt[f"dataroot_{role}"])
    dataset = CheckedPairedImageDataset(opt)
    [index] = [i for i, pair in enumerate(dataset.paths) if "a_s002" in pair["gt_path"]]
    replace_entry(folder, "a_s002", change)
    with pytest.raises(DataError, match=message) as error:
        dataset[index]
    text = str(error.value)
    assert text.startswith(f"{role} image ")
    assert "a_s002" in text
    assert str(folder) in text
    # Others can still be read.
    assert dataset[index - 1]["lq"].shape == (3, GT_SIZE // SCALE, GT_SIZE // SCALE)


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize(("role", "size"), [("gt", (22, 24)), ("lq", (12, 11)), ("gt", (26, 24))])
def test_pairs_that_do_not_fit_are_named(root, phase, role, size):
    opt = train_folder(root, phase=phase)
    image = as_png(Image.new("RGB", size))
    replace_entry(Path(opt[f"dataroot_{role}"]), "b_s001", image)
    dataset = CheckedPairedImageDataset(opt)
    [index] = [i for i, pair in enumerate(dataset.paths) if "b_s001" in pair["gt_path"]]
    message = r"gt image .*b_s001.png and lq image .*b_s001.png: gt is .* does not fit scale 2"
    with pytest.raises(DataError, match=message):
        dataset[index]


def test_images_smaller_than_a_patch_are_named(root):
    dataset = CheckedPairedImageDataset(train_lmdb(root, gt_size=26))
    with pytest.raises(DataError, match=r"'a_s001' of .*24×24.*smaller than .* gt_size 26"):
        dataset[0]


def test_errors_that_are_not_the_images_fault_stay_as_they_are(root):
    dataset = CheckedPairedImageDataset(train_lmdb(root))
    dataset.opt |= {"mean": "nonsense", "std": [1]}
    with pytest.raises(TypeError):
        dataset[0]


def without(option: str) -> Callable[[Path], dict[str, Any]]:
    return lambda root: {k: v for k, v in train_lmdb(root).items() if k != option}


def with_unlike_keys(root: Path) -> dict[str, Any]:
    return train_lmdb(root) | {"dataroot_lq": str(root / "DIV2K_valid_HR.lmdb")}


def with_cut_data(root: Path) -> dict[str, Any]:
    os.truncate(root / "DIV2K_train_HR_sub.lmdb" / "data.mdb", 20000)
    return train_lmdb(root)


def with_no_meta_info(root: Path) -> dict[str, Any]:
    (root / "DIV2K_train_HR_sub.lmdb" / "meta_info.txt").unlink()
    return train_lmdb(root)


def with_empty_folder(root: Path) -> dict[str, Any]:
    (root / "empty").mkdir()
    return train_folder(root) | {"dataroot_gt": str(root / "empty")}


def with_missing_lq(root: Path) -> dict[str, Any]:
    (root / "DIV2K_train_LR_bicubic" / "X2_sub" / "b_s001.png").unlink()
    return train_folder(root)


def with_empty_list(root: Path) -> dict[str, Any]:
    (root / "list.txt").touch()
    return train_folder(root, meta_info_file=str(root / "list.txt"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (without("dataroot_gt"), "dataroot_gt: expected a path, got nothing"),
        (without("gt_size"), "gt_size: expected a whole number above 0, got nothing"),
        (lambda r: train_lmdb(r, mean="nonsense"), "mean: expected a list, each a number or ~"),
        (without("io_backend"), "io_backend: expected a section .*, got nothing"),
        (
            lambda r: train_lmdb(r) | {"io_backend": "lmdb"},
            "io_backend: expected a section with type disk or lmdb, got 'lmdb'",
        ),
        (lambda r: train_lmdb(r, gt_size=15), "gt_size 15 is not a multiple of scale 2"),
        (
            lambda r: train_lmdb(r, gt_size="16"),
            "gt_size: expected a whole number above 0, got '16'",
        ),
        (lambda r: train_lmdb(r) | {"dataroot_lq": "nowhere"}, "dataroot_lq: nowhere is not"),
        (lambda r: train_folder(r) | {"io_backend": {"type": "lmdb"}}, "does not end in .lmdb"),
        (lambda r: train_lmdb(r) | {"io_backend": {"type": "disk"}}, "is an LMDB, but io_backend"),
        (with_unlike_keys, r"7 images are in only one of .*DIV2K_valid_HR\.lmdb, such as 'a_s001'"),
        (with_cut_data, r"DIV2K_train_HR_sub\.lmdb: data\.mdb is cut short"),
        (with_no_meta_info, "meta_info.txt"),
        (with_empty_folder, "dataroot_gt: .*empty holds no files"),
        (with_missing_lq, r"X2_sub holds no b_s001\.png for the gt image b_s001\.png"),
        (with_empty_list, "no image pairs"),
        (lambda r: train_folder(r, meta_info_file="nowhere.txt"), "nowhere.txt"),
    ],
)
def test_wrong_options_and_roots_are_named_at_construction(root, build, message):
    with pytest.raises(DataError, match=f"^data set tiny: .*{message}"):
        CheckedPairedImageDataset(build(root))


@pytest.mark.parametrize("draws", [0, 101, True, "6"])
def test_detail_draws_out_of_range_are_refused(root, draws):
    with pytest.raises(DataError, match="detail_draws: expected a whole number from 1 to 100"):
        CheckedPairedImageDataset(train_lmdb(root, detail_draws=draws))
