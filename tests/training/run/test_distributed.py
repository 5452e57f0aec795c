"""Several processes train, validate and test as one does, and are told of the same error."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import tiny_smsr
from option_files import evaluation_options, train_options, validation, write_options
from several_processes import DIFFERENT, SAME, codes, distance, errors, weights
from training_process import together

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.processes import Processes
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.run.options import connect


def logged(folder: Path, name: str) -> list[float]:
    (log,) = folder.glob("train_*.log")
    return [float(value) for value in re.findall(rf" {name}: (\S+)", log.read_text())]


def other_noise_in_each_process() -> None:
    """Let the noise follow the place in a process's own batch, as it does by itself."""
    from smsr_plugin.training.model.smsr_model import SMSRModel

    SMSRModel._noise_seeds = lambda model, current_iter: None


def other_channel_noise_in_each_process() -> None:
    from smsr_plugin.training.model.smsr_model import SMSRModel

    noise = SMSRModel._noise_seeds

    def mask_noise(model: Any, current_iter: int) -> Any:
        return noise(model, current_iter)._replace(channels=model.opt["rank"])

    SMSRModel._noise_seeds = mask_noise


def test_one_two_and_three_processes_train_and_validate_alike(run_together, tmp_path, pairs):
    changes = {**validation(pairs), "train:total_iter": 6, "val:val_freq": 3}
    changes |= {"datasets:train:dataset_enlarge_ratio": 2, "datasets:train:num_worker_per_gpu": 0}
    folders = {}
    for world_size in (1, 2, 3):
        own = {"name": str(world_size), "datasets:train:batch_size_per_gpu": 6 // world_size}
        assert codes(run_together(world_size, {**changes, **own})) == [0] * world_size
        folders[world_size] = tmp_path / "experiments" / str(world_size)
    one = folders.pop(1)
    assert distance(weights(one), weights(one, 5)) > DIFFERENT
    for folder in folders.values():
        assert distance(weights(folder), weights(one)) < SAME
        for name in ("l_pix", "l_sparsity", "spa_density", "kept"):
            assert logged(folder, name) == pytest.approx(logged(one, name), rel=2e-4), name
        history = [json.loads((f / "validation.json").read_text()) for f in (folder, one)]
        assert history[0]["pairs"].keys() == {"3", "6"}
        assert history[0]["pairs"]["6"]["psnr"] == pytest.approx(history[1]["pairs"]["6"]["psnr"])


def test_noise_that_follows_the_process_makes_another_training(run_together, tmp_path):
    changes = {"train:total_iter": 4, "logger:save_checkpoint_freq": 4}
    faults = {
        "right": (),
        "other noise": (other_noise_in_each_process,),
        "other channels": (other_channel_noise_in_each_process,),
    }
    for name, done_first in faults.items():
        assert codes(run_together(2, {**changes, "name": name}, *done_first)) == [0, 0]
    right, *wrong = (weights(tmp_path / "experiments" / name) for name in faults)
    assert all(distance(right, each) > DIFFERENT for each in wrong)


def test_images_of_a_test_are_shared_out_and_figures_are_those_of_one_process(tmp_path, pairs):
    save(tiny_smsr(), tmp_path / "net.safetensors")
    network = {"type": "SMSR", **tiny_smsr().config.to_dict()}
    figures, images = [], []
    for world_size in (1, 3):
        root = tmp_path / str(world_size)
        root.mkdir()
        changes = {"model_type": "SMSRModel", "network_g": network}
        options = evaluation_options(pairs, tmp_path / "net.safetensors", changes)
        file = write_options(tmp_path / "test.yml", options)
        arguments = ["test", "-opt", str(file), "--root", str(root)]
        assert codes(together(world_size, root, arguments)) == [0] * world_size
        results = json.loads((root / "results/tiny/metrics.json").read_text())["pairs"]
        assert results.pop("seconds") > 0
        figures.append(results)
        saved = (root / "results/tiny/visualization/pairs").iterdir()
        images.append({path.name: path.read_bytes() for path in saved})
    assert figures[0] == figures[1]  # to the last bit
    assert len(images[0]) == 11
    assert images[0] == images[1]


def test_other_models_train_in_several_processes_too(tmp_path, pairs):
    folders = []
    for world_size in (1, 2):
        changes = {**validation(pairs), "datasets:train:batch_size_per_gpu": 4 // world_size}
        changes |= {"name": str(world_size), "train:total_iter": 6, "val:val_freq": 3}
        file = write_options(tmp_path / "tiny.yml", train_options(pairs, changes))
        arguments = ["train", "-opt", str(file), "--root", str(tmp_path)]
        assert codes(together(world_size, tmp_path, arguments)) == [0] * world_size
        folders.append(tmp_path / "experiments" / str(world_size))
    assert distance(*map(weights, folders)) < SAME
    psnr = [json.loads((f / "validation.json").read_text())["pairs"]["6"] for f in folders]
    assert psnr[0] == pytest.approx(psnr[1])


def test_an_error_that_all_processes_meet_is_one_line(run_together):
    endings = run_together(3, {"train:total_iter": 0})
    assert codes(endings) == [2, 2, 2]
    (error,) = errors(endings)
    assert error.startswith("smsr train: error: train.total_iter: expected a whole number above 0")


def test_without_its_launcher_a_process_says_what_is_missing(run_training, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert run_training(None, "--launcher", "pytorch") == 2
    error = capsys.readouterr().err
    assert error.startswith("smsr train: error: --launcher pytorch: expected the variables of a")
    assert error.endswith("start with torchrun --nproc-per-node N --no-python smsr …\n")


def test_processes_that_find_other_images_are_told(run_together):
    endings = run_together(2, {}, at_rank={1: find_images_backwards})
    assert codes(endings) == [2, 2]
    (error,) = errors(endings)
    assert "data set pairs: the processes find different images, or in another order" in error


def find_images_backwards() -> None:
    from smsr_plugin.training.data import loaders

    build = loaders.basicsr_build_dataset

    def build_backwards(dataset_opt: Any) -> Any:
        dataset = build(dataset_opt)
        dataset.paths.reverse()
        return dataset

    loaders.basicsr_build_dataset = build_backwards


@pytest.mark.parametrize("num_gpu", [1, "auto"])
def test_each_process_of_a_machine_takes_its_cuda_device(monkeypatch, num_gpu):
    taken, connected = [], []
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "set_device", taken.append)
    monkeypatch.setattr(Processes, "connect", lambda self, backend: connected.append(backend))
    monkeypatch.setenv("LOCAL_RANK", "1")
    connect({"num_gpu": num_gpu})
    assert (taken, connected) == ([1], ["nccl"])
    connect({"num_gpu": 0})
    assert (taken, connected) == ([1], ["nccl", "gloo"])
    monkeypatch.setenv("LOCAL_RANK", "2")
    with pytest.raises(OptionError, match="expected at most 2, the CUDA devices here, got '3 or"):
        connect({"num_gpu": num_gpu})
