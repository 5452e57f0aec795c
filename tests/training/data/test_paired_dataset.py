"""The data set gives what BasicSR's gives."""

from __future__ import annotations

import pickle
import random
import re
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from paired_data import (
    GT_SIZE,
    SCALE,
    assert_same,
    options,
    samples,
    train_folder,
    train_lmdb,
    valid_lmdb,
)
from PIL import Image
from training_process import CONTEXT

from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import DataError

with warnings.catch_warnings():
    warnings.simplefilter("ignore", DeprecationWarning)  # BasicSR imports from old places
    from smsr_plugin.training.data.image_sets import (
        CheckedPairedImageDataset,
        PairedImageDataset,
    )


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


@pytest.mark.parametrize("start", [CONTEXT, "fork"], ids=["forkserver", "fork"])
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
