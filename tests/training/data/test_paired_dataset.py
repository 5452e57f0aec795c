"""The data set gives what BasicSR's gives, and names the image when it cannot."""

from __future__ import annotations

import os
import pickle
import random
import re
import warnings
from collections.abc import Callable
from copy import deepcopy
from pathlib import Path
from typing import Any

import lmdb
import numpy as np
import pytest
import torch
from PIL import Image, ImageOps

from smsr_plugin.data.entries import Grid
from smsr_plugin.data.prepare import Request, prepare
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BasicSR imports from old places
    from smsr_plugin.training.data.image_sets import (
        CheckedPairedImageDataset,
        PairedImageDataset,
    )

SCALE = 2
GT_SIZE = 16


@pytest.fixture
def root(tmp_path, make_images) -> Path:
    """Return a root with prepared pairs for training and validation, as LMDBs and folders."""
    make_images(tmp_path / "DIV2K_train_HR", {"a.png": (40, 36), "b.png": (24, 26)})
    make_images(tmp_path / "DIV2K_valid_HR", {"c.png": (29, 31), "d.png": (24, 24)})
    prepare(Request(tmp_path, scales=(SCALE,), grid=Grid(24, 12), folders=True, progress=False))
    return tmp_path


def options(gt: Path, lq: Path, phase: str = "train", **more) -> dict[str, Any]:
    return {
        "name": "tiny",
        "phase": phase,
        "scale": SCALE,
        "dataroot_gt": str(gt),
        "dataroot_lq": str(lq),
        "io_backend": {"type": "lmdb" if gt.suffix == ".lmdb" else "disk"},
        "gt_size": GT_SIZE,
        "use_hflip": True,
        "use_rot": True,
        **more,
    }


def train_lmdb(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_train_HR_sub.lmdb", root / "DIV2K_train_LR_bicubic_X2_sub.lmdb"
    return options(gt, lq, **more)


def train_folder(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_train_HR_sub", root / "DIV2K_train_LR_bicubic" / "X2_sub"
    return options(gt, lq, **more)


def valid_lmdb(root: Path, **more) -> dict[str, Any]:
    gt, lq = root / "DIV2K_valid_HR.lmdb", root / "DIV2K_valid_LR_bicubic_X2.lmdb"
    return options(gt, lq, phase="val", **more)


def samples(dataset: torch.utils.data.Dataset, indices: range) -> list[dict[str, Any]]:
    random.seed(0)
    return [dataset[index] for index in indices]


def assert_same(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> None:
    for one, other in zip(found, expected, strict=True):
        assert torch.equal(one["lq"], other["lq"])
        assert torch.equal(one["gt"], other["gt"])


@pytest.mark.parametrize("build", [train_lmdb, train_folder, valid_lmdb])
def test_samples_are_those_of_basicsr(root, build):
    expected = PairedImageDataset(build(root))
    assert len(expected) > 1
    everything = range(len(expected))
    wanted = samples(expected, everything)
    expected.file_client = None  # closes its LMDBs
    dataset = CheckedPairedImageDataset(build(root))
    assert len(dataset) == len(wanted)
    found = samples(dataset, everything)
    assert_same(found, wanted)
    assert [s["gt_path"] for s in found] == [s["gt_path"] for s in wanted]


def test_lmdb_and_folders_give_identical_tensors(root):
    from_lmdb = CheckedPairedImageDataset(train_lmdb(root))
    folder = CheckedPairedImageDataset(train_folder(root))
    folder.paths.sort(key=lambda pair: pair["gt_path"])
    names = [pair["gt_path"] for pair in from_lmdb.paths]
    assert [Path(pair["gt_path"]).stem for pair in folder.paths] == names
    assert names == ["a_s001", "a_s002", "a_s003", "a_s004", "b_s001"]
    assert_same(samples(from_lmdb, range(5)), samples(folder, range(5)))


def test_patches_of_gt_and_lq_show_the_same_place(root):
    # Without flips, a gt patch that is shrunk equals its lq patch away from the patch's borders.
    from smsr_plugin.images.bicubic import downscale

    opt = train_lmdb(root, gt_size=24, use_hflip=False, use_rot=False)
    sample = CheckedPairedImageDataset(opt)[0]
    gt, lq = ((sample[k] * 255).round().byte().numpy().transpose(1, 2, 0) for k in ("gt", "lq"))
    np.testing.assert_array_equal(downscale(gt, SCALE)[3:-3, 3:-3], lq[3:-3, 3:-3])


def test_validation_takes_grey_images_and_crops_the_remainder(tmp_path):
    for folder, size in (("gt", (21, 33)), ("lq", (16, 10))):  # (width, height)
        (tmp_path / folder).mkdir()
        Image.new("L", size, 51).save(tmp_path / folder / "x.png")
    Image.new("L", (33, 21), 51).save(tmp_path / "gt" / "x.png")
    sample = CheckedPairedImageDataset(options(tmp_path / "gt", tmp_path / "lq", "test"))[0]
    assert sample["gt"].shape == (3, 20, 32)
    assert sample["lq"].shape == (3, 10, 16)
    assert torch.allclose(sample["gt"], torch.tensor(0.2))


def test_options_of_the_caller_stay_as_they_are(root):
    opt = train_lmdb(root)
    before = deepcopy(opt)
    for _ in range(2):
        assert CheckedPairedImageDataset(opt)[0]["lq"].shape == (3, 8, 8)
    assert opt == before


def test_training_and_validation_on_one_lmdb_work_side_by_side(root):
    opt = train_lmdb(root)
    train, val = CheckedPairedImageDataset(opt), CheckedPairedImageDataset({**opt, "phase": "val"})
    same = CheckedPairedImageDataset({**opt, "dataroot_lq": opt["dataroot_gt"], "scale": 1})
    assert train[0]["gt"].shape == (3, GT_SIZE, GT_SIZE)
    assert val[0]["gt"].shape == (3, 24, 24)
    sample = same[0]
    assert torch.equal(sample["gt"], sample["lq"])
    assert train[1]["gt"].shape == (3, GT_SIZE, GT_SIZE)


@pytest.mark.parametrize("build", [train_lmdb, train_folder])
def test_a_used_data_set_can_be_pickled(root, build):
    dataset = CheckedPairedImageDataset(build(root))
    expected = samples(dataset, range(2))
    copy = pickle.loads(pickle.dumps(dataset))
    assert_same(samples(copy, range(2)), expected)
    assert_same(samples(dataset, range(2)), expected)


@pytest.mark.parametrize(
    "start", [pytest.param("spawn", marks=pytest.mark.slow), pytest.param("fork")]
)
def test_workers_read_a_used_data_set_and_report_its_errors(root, start):
    dataset = CheckedPairedImageDataset(valid_lmdb(root))
    expected = samples(dataset, range(2))
    dataset.paths.append({"gt_path": "lost", "lq_path": "d"})
    loader = torch.utils.data.DataLoader(
        dataset, batch_size=None, num_workers=1, multiprocessing_context=start
    )
    workers = iter(loader)
    assert_same([next(workers), next(workers)], expected)
    with pytest.raises(DataError, match=r"gt image 'lost' of .*DIV2K_valid_HR\.lmdb"):
        next(workers)
    workers._shutdown_workers()  # left to the garbage collector, torch waits five seconds


def replace_entry(folder: Path, key: str, change: Callable[[bytes], bytes | None]) -> None:
    """Change an image in an LMDB or a folder; None removes it."""
    if folder.suffix == ".lmdb":
        with lmdb.open(str(folder), lock=False) as env, env.begin(write=True) as txn:
            content = change(txn.get(key.encode()))
            if content is None:
                txn.delete(key.encode())
            else:
                txn.put(key.encode(), content)
        return
    file = folder / f"{key}.png"
    content = change(file.read_bytes())
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)


def as_png(image: Image.Image) -> Callable[[bytes], bytes]:
    from io import BytesIO

    stream = BytesIO()
    image.save(stream, "PNG")
    return lambda _: stream.getvalue()


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


def turned_pair(folder: Path, orientation: int, gt_size: tuple[int, int], lq_is: str) -> Path:
    """Make a pair whose gt has an orientation, and lq is made of gt as it is "seen" or "stored"."""
    pixels = np.random.default_rng(0).integers(0, 256, (*gt_size, 3), dtype=np.uint8)
    gt = Image.fromarray(pixels)
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ("gt", "lq"):
        (folder / name).mkdir(parents=True)
    gt.save(folder / "gt" / "a.png", exif=exif)
    with Image.open(folder / "gt" / "a.png") as image:
        seen = np.asarray(ImageOps.exif_transpose(image))
    lq = downscale(seen if lq_is == "seen" else pixels, SCALE)
    Image.fromarray(lq).save(folder / "lq" / "a.png")
    return folder


def turned_options(folder: Path, phase: str) -> dict[str, Any]:
    return options(folder / "gt", folder / "lq", phase=phase)


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_a_turned_photograph_is_paired_as_it_is_seen(tmp_path, phase, orientation):
    folder = turned_pair(tmp_path, orientation, (40, 60), "seen")
    sample = CheckedPairedImageDataset(turned_options(folder, phase))[0]
    if phase == "val":
        with Image.open(folder / "gt" / "a.png") as image:
            seen = np.asarray(ImageOps.exif_transpose(image))
        assert (sample["gt"].numpy() == seen.transpose(2, 0, 1) / np.float32(255)).all()
    stored = turned_pair(tmp_path / "stored", orientation, (40, 60), "stored")
    with pytest.raises(DataError, match=r"gt is 60×40 and lq 20×30 .*does not fit scale 2"):
        CheckedPairedImageDataset(turned_options(stored, phase))[0]


@pytest.mark.parametrize("phase", ["train", "val"])
@pytest.mark.parametrize(("orientation", "size"), [(2, (40, 60)), (3, (40, 60)), (6, (40, 40))])
@pytest.mark.parametrize("lq_is", ["seen", "stored"])
def test_where_sizes_do_not_tell_how_a_pair_was_turned_it_is_refused(
    tmp_path, phase, orientation, size, lq_is
):
    folder = turned_pair(tmp_path, orientation, size, lq_is)
    message = f"EXIF orientation of gt is {orientation} and that of lq 1: .* cannot be told"
    with pytest.raises(DataError, match=message):
        CheckedPairedImageDataset(turned_options(folder, phase))[0]


def test_a_pair_that_is_turned_alike_is_turned(tmp_path):
    folder = turned_pair(tmp_path, 3, (40, 60), "stored")
    exif = Image.Exif()
    exif[0x0112] = 3
    with Image.open(folder / "lq" / "a.png") as image:
        image.save(folder / "lq" / "a.png", exif=exif)
        upside_down = np.asarray(image)[::-1, ::-1]
    sample = CheckedPairedImageDataset(turned_options(folder, "val"))[0]
    assert (sample["lq"].numpy() == upside_down.transpose(2, 0, 1) / np.float32(255)).all()


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


def test_a_prepared_lmdb_with_a_trailing_slash_is_found(root):
    opt = train_lmdb(root)
    assert len(CheckedPairedImageDataset(opt | {"dataroot_gt": opt["dataroot_gt"] + "/"})) == 5


def test_lmdbs_written_by_basicsr_are_read(root):
    from basicsr.utils.lmdb_util import make_lmdb_from_imgs

    opt = train_folder(root)
    for role in ("gt", "lq"):
        folder = Path(opt[f"dataroot_{role}"])
        names = sorted(path.name for path in folder.iterdir())
        keys = [re.sub(r"\.png$", "", name) for name in names]
        make_lmdb_from_imgs(
            str(folder), str(root / f"{role}.lmdb"), names, keys, batch=2, map_size=1 << 24
        )
    dataset = CheckedPairedImageDataset(options(root / "gt.lmdb", root / "lq.lmdb"))
    expected = CheckedPairedImageDataset(train_lmdb(root))
    assert_same(samples(dataset, range(5)), samples(expected, range(5)))


def test_patches_with_detail_are_drawn_more_often():
    from smsr_plugin.training.data.data_order import draw_by_detail

    image = np.zeros((8, 64, 3), np.float32)
    image[:, 48:] = np.random.default_rng(0).random((8, 16, 3), np.float32)
    random.seed(0)
    for draws, least in ((1, 0.1), (6, 0.75)):
        places = [draw_by_detail(image, 8, draws) for _ in range(300)]
        assert {top for top, _ in places} == {0}
        detailed = sum(left > 40 for _, left in places) / 300
        assert least < detailed < least + 0.4


def test_detailed_patches_are_pairs_flipped_and_turned_alike(root):
    dataset = CheckedPairedImageDataset(train_lmdb(root, detail_draws=4))
    plain = CheckedPairedImageDataset(valid_lmdb(root) | {"phase": "val"})
    assert "detail_draws" not in plain.opt
    for sample in samples(dataset, range(len(dataset))):
        assert sample["lq"].shape == (3, GT_SIZE // SCALE, GT_SIZE // SCALE)
        assert sample["gt"].shape == (3, GT_SIZE, GT_SIZE)
        # The lq image is the bicubic reduction of gt, so their coarse contents agree.
        coarse = torch.nn.functional.avg_pool2d(sample["gt"], SCALE)
        assert (coarse - sample["lq"]).abs().mean() < 0.15


@pytest.mark.parametrize("draws", [0, 101, True, "6"])
def test_detail_draws_out_of_range_are_refused(root, draws):
    with pytest.raises(DataError, match="detail_draws: expected a whole number from 1 to 100"):
        CheckedPairedImageDataset(train_lmdb(root, detail_draws=draws))
