from __future__ import annotations

import errno
import logging
import re
import sys
import threading
from pathlib import Path

import basicsr.data
import basicsr.test
import basicsr.train
import pytest
import torch
from basicsr.models.base_model import BaseModel
from basicsr.models.sr_model import SRModel
from basicsr.utils import get_root_logger
from basicsr.utils import logger as basicsr_logger
from basicsr.utils import options as basicsr_options
from commands import train
from option_files import train_options, validation, write_options, write_pairs

from smsr_plugin.training.run.log import fresh_logger

PLACES = (basicsr.train, basicsr.test, basicsr.data, basicsr_options, basicsr_logger)
CLASSES = (BaseModel, SRModel)


def basicsr_as_it_is() -> tuple[object, ...]:
    """Return everything that a run changes for its time."""
    logger = logging.getLogger("basicsr")
    return (
        [dict(vars(place)) for place in (*PLACES, *CLASSES)],
        list(sys.argv),
        threading.excepthook,
        dict(basicsr_logger.initialized_logger),
        (list(logger.handlers), logger.level, logger.propagate),
    )


def test_training_does_all_iterations_although_the_last_batch_is_dropped(
    run_training, experiment, pairs, capsys
):
    assert run_training(validation(pairs)) == 0
    assert list(experiment.learning_rates) == list(range(1, 21))
    assert experiment.states == [5, 10, 15, 20]
    assert "Iterations per epoch: 2\n\tTotal epochs: 10; iters: 20." in experiment.log
    # BasicSR validates at the end what it has just validated, and calls it iteration 21.
    assert experiment.log.count("Validation pairs") == 2
    assert re.findall(r"@ (\d+) iter", experiment.log) == ["10", "20"]
    models = experiment.folder / "models"
    last, latest = (
        torch.load(models / f"net_g_{name}.pth", weights_only=True)["params"]
        for name in ("20", "latest")
    )
    assert all(torch.equal(last[key], latest[key]) for key in last)
    assert "error" not in capsys.readouterr().err


def test_learning_rate_follows_the_milestones(experiment, at_20):
    expected = {i: 1e-3 * 0.5 ** sum(i > milestone for milestone in (8, 16)) for i in range(1, 21)}
    assert experiment.learning_rates == pytest.approx(expected)


@pytest.mark.parametrize(
    "prefetch", [{"prefetch_mode": "cpu"}, {"num_worker_per_gpu": 1, "dataset_enlarge_ratio": 2}]
)
def test_other_loaders_do_all_iterations_too(run_training, experiment, prefetch):
    assert run_training({f"datasets:train:{key}": value for key, value in prefetch.items()}) == 0
    assert list(experiment.learning_rates) == list(range(1, 21))


def test_fewer_images_than_a_batch_are_an_error(run_training, experiment, tmp_path, capsys):
    few = write_pairs(tmp_path / "few", 3)
    changes = {f"datasets:train:dataroot_{role}": str(few / role) for role in ("gt", "lq")}
    assert run_training(changes) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("smsr train: error: data set pairs: 3 images (dataset_enlarge_ratio 1")
    assert "fewer than one batch of 4" in error
    assert list(experiment.folder.glob("models/*")) == experiment.states == []
    changes["datasets:train:dataset_enlarge_ratio"] = 2
    assert run_training(changes) == 0
    assert experiment.states == [5, 10, 15, 20]


@pytest.mark.parametrize("phase", ["train", "val"])
def test_a_folder_without_images_is_an_error(run_training, pairs, tmp_path, capsys, phase):
    (tmp_path / "empty").mkdir()
    empty = {f"datasets:{phase}:dataroot_{r}": str(tmp_path / "empty") for r in ("gt", "lq")}
    assert run_training({**validation(pairs), **empty}) == 2
    assert f"dataroot_gt: {tmp_path / 'empty'} holds no files" in capsys.readouterr().err


def test_options_are_checked_before_anything_is_written(run_training, tmp_path, pairs, capsys):
    assert run_training({"train:total_iter": 0}) == 2
    captured = capsys.readouterr()
    assert captured.err == (
        "smsr train: error: train.total_iter: expected a whole number above 0, got 0; "
        "count in iterations\n"
    )
    assert not (tmp_path / "experiments").exists()


def test_options_can_be_forced(run_training, experiment):
    force = ["--force_yml", "train:total_iter=3", "logger:save_checkpoint_freq=2", "scale = 2"]
    assert run_training(None, *force) == 0
    assert list(experiment.learning_rates) == [1, 2, 3]
    assert experiment.states == [2, 3]
    copied = (experiment.folder / "tiny.yml").read_text()
    assert "# smsr train -opt" in copied
    assert "--force_yml train:total_iter=3" in copied


def test_neither_options_nor_forced_keys_run_code(run_training, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    key = 'name"]=__import__("os").mkdir("marker");opt["name=1'
    assert run_training(None, "--force_yml", key) == 2
    assert run_training(None, "--force_yml", 'name=[__import__("os").mkdir("marker")]') == 2
    evil = tmp_path / "evil.yml"
    evil.write_text("name: !!python/object/apply:os.mkdir [marker]")
    assert train(["-opt", str(evil)]) == 2
    assert not (tmp_path / "marker").exists()
    errors = capsys.readouterr().err.splitlines()
    assert len(errors) == 3
    assert all(line.startswith("smsr train: error: ") for line in errors)


def test_paths_are_relative_to_the_current_folder(tmp_path, monkeypatch):
    write_pairs(tmp_path / "pairs", 4)
    monkeypatch.chdir(tmp_path)
    write_options(Path("tiny.yml"), train_options(Path("pairs"), {"train:total_iter": 1}))
    assert train(["-opt", "tiny.yml"]) == 0
    assert Path("experiments/tiny/models/net_g_latest.pth").is_file()
    assert train(["-opt", "tiny.yml", "--root", "new/folder"]) == 0
    assert Path("new/folder/experiments/tiny/models/net_g_latest.pth").is_file()


def test_a_root_that_is_a_file_is_an_error(tmp_path, capsys):
    (tmp_path / "file").touch()
    assert train(["-opt", "x.yml", "--root", str(tmp_path / "file")]) == 2
    assert "--root" in capsys.readouterr().err


def test_an_option_file_inside_its_experiment_is_refused(experiment, at_20, capsys):
    inside = experiment.folder / "tiny.yml"
    root = str(experiment.folder.parents[1])
    for arguments in ([], ["--auto_resume"]):
        assert train(["-opt", str(inside), "--root", root, *arguments]) == 2
        assert "copy it elsewhere" in capsys.readouterr().err
    assert experiment.states == [5, 10, 15, 20]


def test_runs_in_one_process_have_their_own_logs(run_training, tmp_path, experiment):
    assert run_training({"train:total_iter": 1}) == 0
    first = experiment.log
    assert run_training({"train:total_iter": 2, "name": "second"}) == 0
    assert experiment.log == first
    (second,) = (tmp_path / "experiments" / "second").glob("*.log")
    assert "total_iter: 2" in second.read_text()


def test_a_run_has_its_log_although_the_logger_was_used_before(run_training, experiment):
    with fresh_logger():
        get_root_logger()  # as any of BasicSR's builders does
        assert run_training({"train:total_iter": 1}) == 0
    assert "End of training" in experiment.log


def raise_interrupt(*args):
    raise KeyboardInterrupt


def raise_value_error(*args):
    raise ValueError("a bug")


@pytest.mark.parametrize(
    ("changes", "step", "outcome"),
    [
        ({"train:total_iter": 1}, None, 0),
        ({"num_gpu": "one"}, None, 2),
        ({}, raise_interrupt, 130),
        ({"train:pixel_opt": None}, None, 2),
        ({}, raise_value_error, ValueError),  # not the plugin's own: a bug, not caught
        ({}, lambda self, current_iter: 1 / 0, ZeroDivisionError),
    ],
)
def test_everything_is_restored_however_the_run_ends(
    run_training, monkeypatch, changes, step, outcome
):
    if step is not None:
        monkeypatch.setattr("basicsr.models.sr_model.SRModel.optimize_parameters", step)
    before = basicsr_as_it_is()
    if isinstance(outcome, int):
        assert run_training(changes) == outcome
    else:
        with pytest.raises(outcome):
            run_training(changes)
    assert basicsr_as_it_is() == before


def test_log_files_are_closed(run_training, monkeypatch):
    opened = []

    init = logging.FileHandler.__init__

    def note(handler, *args, **kwargs):
        init(handler, *args, **kwargs)
        opened.append(handler)

    monkeypatch.setattr(logging.FileHandler, "__init__", note)
    assert run_training({"train:total_iter": 1}) == 0
    assert [handler.stream for handler in opened] == [None]


def test_what_the_plugins_own_classes_refuse_is_one_line(run_training, pairs, capsys):
    changes = {"network_g": {"type": "SMSR", "num_feat": 0, "upscale": 2}}
    assert run_training(changes) == 2
    error = capsys.readouterr().err
    assert "smsr train: error: network_g: SMSR: num_feat must be a whole number" in error
    own = {"datasets:train:type": "CheckedPairedImageDataset", "datasets:train:gt_size": None}
    assert run_training(own) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last == (
        "smsr train: error: datasets.train.gt_size: expected a whole number above 0, got None; "
        "such as 192 with scale 2"
    )


@pytest.mark.parametrize("loader", [{}, {"num_worker_per_gpu": 1}, {"prefetch_mode": "cpu"}])
def test_a_damaged_image_is_named(run_training, tmp_path, capsys, loader):
    damaged = write_pairs(tmp_path / "damaged", 4)
    file = damaged / "lq" / "2.png"
    file.write_bytes(file.read_bytes()[:100])
    changes = {f"datasets:train:dataroot_{role}": str(damaged / role) for role in ("gt", "lq")}
    changes["datasets:train:type"] = "CheckedPairedImageDataset"
    changes |= {f"datasets:train:{key}": value for key, value in loader.items()}
    assert run_training(changes) == 2
    last = capsys.readouterr().err.splitlines()[-1]
    assert last.startswith("smsr train: error: lq image")
    assert str(file) in last


def test_help_fits_a_screen_and_shows_an_example(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit, match="0"):
        train(["--help"])
    text = capsys.readouterr().out
    assert len(text.splitlines()) <= 24
    assert "smsr train -opt x2.yml --auto_resume" in text


def test_quiet_shows_iterations_and_keeps_the_log_whole(run_training, experiment, capfd):
    assert run_training(None, "--quiet") == 0
    console = capfd.readouterr().err
    assert len(re.findall(r"epoch: *\d+, iter: *[1-9]", console)) == 20
    for text in ("Version Information", "MSRResNet(", "milestones"):
        assert text in experiment.log
        assert text not in console


@pytest.mark.parametrize(
    ("place", "reason"),
    [("experiments", "Not a directory"), ("tb_logger", "Not a directory")],
)
def test_a_folder_that_cannot_be_made_is_one_line(run_training, tmp_path, capsys, place, reason):
    (tmp_path / place).touch()
    assert run_training({"logger:use_tb_logger": True}) in (1, 2)
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"smsr train: error: {tmp_path}/{place}")
    assert reason in error or "File exists" in error


def test_an_image_that_cannot_be_saved_is_named_and_the_work_saved(
    run_training, experiment, pairs, monkeypatch, capsys
):
    network = {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2}
    changes = {**validation(pairs), "model_type": "SMSRModel", "network_g": network}
    changes |= {"val:save_img": True, "train:iters_per_epoch": 2, "val:val_freq": 7}
    changes["train:sparsity_opt"] = {"type": "SparsityLoss", "loss_weight": 0.001}
    write = Path.write_bytes

    def full(path, content):
        if path.suffix == ".png":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        return write(path, content)

    monkeypatch.setattr(Path, "write_bytes", full)
    assert run_training(changes) == 1
    error = capsys.readouterr().err.splitlines()[-1]
    place = rf"{experiment.folder}/visualization/(\d+)/\1_7\.png"
    assert re.fullmatch(f"smsr train: error: {place}: No space left on device", error)
    assert experiment.states == [5, 7]
