"""What a training tells: its log, TensorBoard, wandb; and that none of them ends it."""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest
from basicsr.models.sr_model import SRModel
from option_files import validation
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData

from smsr_plugin.training.run.log import (
    LogFile,
    Writer,
    fresh_logger,
    start_log,
    thread_failed,
)

TENSORBOARD = {"logger:use_tb_logger": True}


def events(tmp_path: Path) -> EventAccumulator:
    accumulator = EventAccumulator(str(tmp_path / "tb_logger" / "tiny"))
    accumulator.Reload()
    return accumulator


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """Return a folder that is a file system of its own, of 64 KB in memory."""
    folder = tmp_path / "small"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, text=True, check=False)
    except FileNotFoundError:
        pytest.skip("there is no `mount` here")
    if mounted.returncode:
        pytest.skip(f"mounting is not permitted here: {mounted.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def own_logger(monkeypatch) -> Iterator[None]:
    """Let the test set up BasicSR's logger, as a run does."""
    monkeypatch.setattr("basicsr.utils.logger.initialized_logger", {})
    monkeypatch.setattr(threading, "excepthook", thread_failed)
    with fresh_logger():
        yield


def fill(folder: Path) -> Path:
    """Fill a file system to its last byte with one file; return the file."""
    path = folder / "filler"
    with suppress(OSError), path.open("wb", buffering=0) as file:
        while file.write(bytes(1024)):
            pass
    assert os.statvfs(folder).f_bavail == 0
    return path


def test_the_time_that_is_left_is_never_negative(experiment, at_20):
    left = re.findall(r"\[eta: ([^,]*),", experiment.log)
    assert len(left) == 20
    assert left[-1] == "0:00:00"
    assert all(re.fullmatch(r"\d+:\d\d:\d\d", time) for time in left)


def test_tensorboard_has_learning_rate_and_times(run_training, experiment, tmp_path):
    assert run_training(TENSORBOARD) == 0
    scalars = events(tmp_path)
    rates = {event.step: event.value for event in scalars.Scalars("lr")}
    assert rates == pytest.approx(experiment.learning_rates)
    speeds = [event.value for event in scalars.Scalars("iterations_per_second")]
    times = re.findall(r"time \(data\): ([\d.]+)", experiment.log)
    assert len(speeds) == 20
    waits = [event.value for event in scalars.Scalars("data_seconds")]
    logged = map(float, re.findall(r"time \(data\): [\d.]+ \(([\d.]+)\)", experiment.log))
    assert waits == pytest.approx(list(logged), abs=6e-4)
    for speed, time in zip(speeds, map(float, times), strict=True):
        assert 1 / (time + 6e-4) < speed < 1 / max(time - 6e-4, 1e-9)


def test_tensorboard_compares_runs_by_their_options(run_training, pairs, tmp_path):
    assert run_training({**TENSORBOARD, **validation(pairs), "train:total_iter": 1}) == 0
    found = events(tmp_path).summary_metadata
    content = {
        tag.rpartition("/")[2]: HParamsPluginData.FromString(found[tag].plugin_data.content)
        for tag in found
        if found[tag].plugin_data.plugin_name == "hparams"
    }
    metrics = [info.name.tag for info in content["experiment"].experiment.metric_infos]
    assert metrics == ["metrics/pairs/psnr"]
    options = content["session_start_info"].session_start_info.hparams
    assert options["train:total_iter"].number_value == 1
    assert options["train:optim_g:type"].string_value == "Adam"
    assert options["network_g:num_feat"].number_value == 4
    # Naming a metric is no value of it: the only one is that of the validation at the end.
    assert [event.step for event in events(tmp_path).Scalars("metrics/pairs/psnr")] == [1]


@pytest.mark.parametrize("iterations", [(10, 20), (10, 20, 23)])
def test_a_validation_is_reported_where_it_was(
    run_training, experiment, pairs, tmp_path, iterations
):
    changes = {**TENSORBOARD, **validation(pairs), "train:total_iter": iterations[-1]}
    changes["val:save_img"] = True
    assert run_training(changes) == 0
    psnr = [event.step for event in events(tmp_path).Scalars("metrics/pairs/psnr")]
    assert tuple(psnr) == iterations
    saved = {path.stem for path in (experiment.folder / "visualization" / "0").iterdir()}
    assert saved == {f"0_{iteration}" for iteration in iterations}
    assert experiment.states[-1] == iterations[-1]


def test_bars_are_for_terminals(run_training, pairs, capfd):
    assert run_training({**validation(pairs), "val:pbar": True, "train:total_iter": 10}) == 0
    assert "image/s" not in capfd.readouterr().err


def remove_in(iteration: int, folder: Path, monkeypatch) -> None:
    step = SRModel.optimize_parameters

    def remove_and_step(model, current_iter):
        if current_iter == iteration:
            # In one step: TensorBoard's thread may be making a file in it.
            shutil.rmtree(folder.rename(folder.with_name("gone")), ignore_errors=True)
        step(model, current_iter)

    monkeypatch.setattr(SRModel, "optimize_parameters", remove_and_step)


def test_a_training_goes_on_when_its_tensorboard_folder_is_gone(
    run_training, experiment, tmp_path, monkeypatch, capfd
):
    remove_in(7, tmp_path / "tb_logger", monkeypatch)
    assert run_training(TENSORBOARD) == 0
    assert experiment.states == [5, 10, 15, 20]
    said = f"TensorBoard cannot write to {tmp_path}/tb_logger/tiny: No such file or directory; "
    assert experiment.log.count(said) == 1
    assert "Traceback" not in capfd.readouterr().err


@pytest.mark.usefixtures("own_logger")
def test_a_writer_says_once_what_is_wrong_and_then_nothing(small_disk, capfd):
    writer = Writer(str(small_disk / "tb"))
    fill(small_disk)
    for step in range(2000):
        writer.add_scalar("lr", 1.0, step)
    writer.close()
    said = capfd.readouterr().err
    assert said.count("TensorBoard cannot write to") == 1
    assert "No space left on device; the training goes on without it." in said


@pytest.mark.usefixtures("own_logger")
def test_a_writer_needs_no_folder_to_begin_with(tmp_path, capfd):
    (tmp_path / "file").touch()
    writer = Writer(str(tmp_path / "file" / "tb"))
    writer.add_scalar("lr", 1.0, 1)
    writer.close()
    assert capfd.readouterr().err.count("TensorBoard cannot write to") == 1


def test_other_errors_of_a_writer_are_not_hidden(tmp_path):
    writer = Writer(str(tmp_path))
    with pytest.raises(AttributeError):
        writer.add_nothing("lr", 1.0, 1)
    with pytest.raises(NotImplementedError):
        writer.add_scalar("lr", object(), 1)
    writer.close()


def test_a_log_on_a_full_disk_says_so_once_and_has_all_when_there_is_room(small_disk, capfd):
    logger = logging.Logger("of this test")
    file = LogFile(str(small_disk / "train.log"))
    logger.addHandler(file)
    filler = fill(small_disk)
    lines = [f"line {number}" for number in range(200)]
    for line in lines[:100]:
        logger.warning(line)
    said = f"Cannot write to {small_disk}/train.log: No space left on device.\n"
    assert capfd.readouterr().err == said
    filler.unlink()
    for line in lines[100:]:
        logger.warning(line)
    file.close()
    assert (small_disk / "train.log").read_text().splitlines() == lines
    assert capfd.readouterr().err == ""


def test_a_log_that_cannot_be_closed_does_not_hide_how_the_run_ended(
    run_training, monkeypatch, capfd
):
    close = logging.FileHandler.close

    def full(handler):
        close(handler)
        raise OSError(errno.ENOSPC, "No space left on device")

    def lose(model, current_iter):
        raise ZeroDivisionError("how it ended")

    monkeypatch.setattr(logging.FileHandler, "close", full)
    monkeypatch.setattr(SRModel, "optimize_parameters", lose)
    with pytest.raises(ZeroDivisionError, match="how it ended"):
        run_training()
    assert "train_tiny_" in capfd.readouterr().err.splitlines()[-1]


def test_other_errors_of_a_log_are_not_hidden(tmp_path, capsys):
    logger = logging.Logger("of this test")
    file = LogFile(str(tmp_path / "train.log"))
    logger.addHandler(file)
    logger.warning("%d", "no number")
    file.close()
    assert "TypeError" in capsys.readouterr().err


@pytest.fixture
def wandb(monkeypatch) -> SimpleNamespace:
    """Put a wandb in place that has what 0.31 has of what is used; return what it is asked for."""
    asked = SimpleNamespace(calls=[], error=None)
    module = ModuleType("wandb")
    module.__spec__ = SimpleNamespace(name="wandb")
    module.util = ModuleType("wandb.util")  # without generate_id
    module.Error = type("Error", (Exception,), {})

    def init(**arguments):
        if asked.error:
            raise module.Error(asked.error)
        asked.calls.append(arguments)
        return SimpleNamespace(id=arguments["id"] or "drawn")

    module.init = init
    monkeypatch.setitem(sys.modules, "wandb", module)
    return asked


@pytest.mark.parametrize(("resume_id", "resume"), [(None, None), ("abc", "allow")])
def test_wandb_is_started_with_what_it_has(
    run_training, experiment, tmp_path, wandb, resume_id, resume
):
    section = {"project": "x", "resume_id": resume_id}
    changes = {**TENSORBOARD, "logger:wandb": section, "train:total_iter": 2}
    assert run_training(changes) == 0
    (call,) = wandb.calls
    asked = {key: call[key] for key in ("project", "name", "id", "resume", "dir")}
    root = str(tmp_path)
    assert asked == {"project": "x", "name": "tiny", "id": resume_id, "resume": resume, "dir": root}
    assert call["sync_tensorboard"] is True
    assert call["config"]["train"]["total_iter"] == 2
    assert f"wandb run {resume_id or 'drawn'};" in experiment.log


def test_a_wandb_that_refuses_is_one_line(run_training, wandb, capsys):
    wandb.error = "No API key configured."
    assert run_training({**TENSORBOARD, "logger:wandb": {"project": "x"}}) == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "smsr train: error: logger.wandb.project: expected a project (No API key configured.), got "
        "'x'; `wandb login`, set WANDB_MODE=offline, or write `project: ~`"
    )


def test_without_wandb_nothing_is_started(run_training, experiment, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "wandb", None)
    assert run_training({**TENSORBOARD, "logger:wandb": {"project": "x"}}) == 2
    assert capsys.readouterr().err == (
        "smsr train: error: logger.wandb.project: expected ~ where wandb is not installed, got "
        "'x'; `pip install wandb`, or write `project: ~`\n"
    )
    assert not experiment.folder.exists()


@pytest.mark.usefixtures("own_logger")
def test_names_reach_console_and_log_as_visible_lines(tmp_path, capfd):
    with fresh_logger():
        logger = start_log(str(tmp_path / "x.log"), quiet=False)
        logger.warning("Skipped: on the batch \x1b[2J.png.\n\t # psnr: 30")
    told = "Skipped: on the batch \\x1b[2J.png.\n\t # psnr: 30\n"
    assert capfd.readouterr().err.endswith(told)
    assert (tmp_path / "x.log").read_text().endswith(told)


def test_an_image_is_named_whatever_its_name_is(run_training, pairs, tmp_path, capsys):
    named = tmp_path / "named"
    shutil.copytree(pairs, named)
    for role in ("gt", "lq"):
        (named / role / "0.png").rename(named / role / "a\n\x1b[2J.png")
    (named / "lq/a\n\x1b[2J.png").write_text("no image")
    changes = {f"datasets:train:dataroot_{role}": str(named / role) for role in ("gt", "lq")}
    for kind in ("CheckedPairedImageDataset", "PairedImageDataset"):
        assert run_training({**changes, "datasets:train:type": kind}) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"smsr train: error: lq image {named}/lq/a\\n\\x1b[2J.png: is dam")
