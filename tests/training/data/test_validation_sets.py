"""What would only be found while a validation runs is found before anything starts."""

from __future__ import annotations

import json

import cv2
import numpy as np
import pytest
from commands import run_test, train
from option_files import (
    REMOVED,
    evaluation_options,
    train_options,
    validation,
    write_options,
    write_pairs,
)

from smsr_plugin.images.files import DataError
from smsr_plugin.training.data.loaders import build_validation_set
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.registration import build_architecture

PSNR = {"type": "calculate_psnr", "crop_border": 2, "test_y_channel": False}


def section(folder, **more):
    return {
        "name": "set", "type": "PairedImageDataset", "phase": "val", "scale": 2,
        "dataroot_gt": str(folder / "gt"), "dataroot_lq": str(folder / "lq"),
        "io_backend": {"type": "disk"}, **more,
    }  # fmt: skip


def run_options(**val):
    return {"scale": 2, "model_type": "SRModel", "val": {"save_img": False, **val}}


def test_a_border_that_leaves_nothing_to_measure_is_refused(tmp_path):
    folder = write_pairs(tmp_path, 2, lq_size=20)  # gt 40×40
    for border, works in ((19, True), (20, False), (100, False)):
        opt = run_options(metrics={"psnr": {**PSNR, "crop_border": border}})
        if works:
            build_validation_set(section(folder), opt)
            continue
        with pytest.raises(OptionError, match=r"val\.metrics\.psnr: .*images of 40×40"):
            build_validation_set(section(folder), opt)


def test_ssim_needs_its_window(tmp_path):
    folder = write_pairs(tmp_path, 1, lq_size=10)  # gt 20×20, the window has 11×11
    for border, works in ((4, True), (5, False)):
        keys = {"type": "calculate_ssim", "crop_border": border}
        opt = run_options(metrics={"ssim": keys})
        if works:
            build_validation_set(section(folder), opt)
        else:
            with pytest.raises(OptionError, match=r"val\.metrics\.ssim: "):
                build_validation_set(section(folder), opt)


@pytest.mark.parametrize("kind", ["PairedImageDataset", "SingleImageDataset"])
def test_a_file_that_is_no_image_is_named_at_the_start(tmp_path, kind):
    folder = write_pairs(tmp_path, 2)
    for role in ("gt", "lq"):
        (folder / role / "Thumbs.db").write_text("x")
    with pytest.raises(DataError, match=r"Thumbs\.db"):
        build_validation_set(section(folder, type=kind), run_options())


def test_two_images_of_one_name_are_refused_where_they_are_saved(tmp_path):
    folder = write_pairs(tmp_path, 2)
    for role, size in (("gt", 16), ("lq", 8)):
        cv2.imwrite(str(folder / role / "1.bmp"), np.zeros((size, size, 3), np.uint8))
    build_validation_set(section(folder), run_options())
    with pytest.raises(
        DataError, match=r"the results of .*/1\.(png|bmp) and .*/1\.(png|bmp) would"
    ):
        build_validation_set(section(folder), run_options(save_img=True))


def test_images_of_two_sets_lie_apart_or_are_refused(tmp_path, capsys):
    pairs = write_pairs(tmp_path / "pairs", 4)
    second = {**validation(pairs)["datasets:val"], "name": "second"}
    changes = {**validation(pairs), "datasets:val_2": second, "val:save_img": True}
    changes |= {"train:total_iter": 1, "val:val_freq": 1}
    file = write_options(tmp_path / "stock.yml", train_options(pairs, changes))
    assert train(["-opt", str(file), "--root", str(tmp_path)]) == 2
    assert "would have one name" in capsys.readouterr().err
    own = {
        "name": "own",
        "model_type": "SMSRModel",
        "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2},
        "train:sparsity_opt": {"type": "SparsityLoss"},
        "train:iters_per_epoch": 1,
    }
    file = write_options(tmp_path / "own.yml", train_options(pairs, {**changes, **own}))
    assert train(["-opt", str(file), "--root", str(tmp_path)]) == 0
    folder = tmp_path / "experiments/own/visualization"
    assert len(list(folder.glob("pairs/*/*_1.png"))) == 4
    assert len(list(folder.glob("second/*/*_1.png"))) == 4


def test_metrics_that_are_infinite_are_json(tmp_path):
    """A network that returns its input, on gt that is the bicubic of lq: PSNR is infinite."""
    net = build_architecture("SMSR", {"num_feat": 4, "num_layer": 2, "num_block": 2}).net
    folder = write_pairs(tmp_path / "pairs", 1)
    for role, size in (("gt", 16), ("lq", 8)):
        cv2.imwrite(str(folder / role / "0.png"), np.full((size, size, 3), 90, np.uint8))
    import torch

    for name, weight in net.named_parameters():
        if not name.startswith("sub_mean") and weight.requires_grad:
            torch.nn.init.zeros_(weight)
    torch.save({"params": net.state_dict()}, tmp_path / "w.pth")
    changes = {
        "model_type": "SMSRModel",
        "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2},
        "val:suffix": REMOVED,
    }
    file = write_options(
        tmp_path / "t.yml", evaluation_options(folder, tmp_path / "w.pth", changes)
    )
    assert run_test(["-opt", str(file), "--root", str(tmp_path)]) == 0

    def refused(constant):
        raise AssertionError(f"{constant} is no JSON")

    text = (tmp_path / "results/tiny/metrics.json").read_text()
    assert json.loads(text, parse_constant=refused)["pairs"]["psnr"] is None
