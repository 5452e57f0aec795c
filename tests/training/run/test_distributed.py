"""Several processes train, validate and test as one does, and end together."""

from __future__ import annotations

import json
import re
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from networks import tiny_smsr
from option_files import (
    evaluation_options,
    train_options,
    validation,
    write_options,
    write_pairs,
)
from training_process import (
    Ending,
    in_iteration,
    in_validation,
    kill,
    limit_file_size,
    nan_images,
    together,
)

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.processes import LOST, Processes
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.run.options import connect

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "datasets:train:type": "CheckedPairedImageDataset",
    "datasets:train:batch_size_per_gpu": 2,
    "train:ema_decay": 0.9,
    "train:iters_per_epoch": 2,
    "train:sparsity_warmup_epochs": 0,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.1},
}
#: Of weights of about 0.1, after a few steps of 0.001: sums in another order.
SAME = 1e-6
#: What steps on other noise or other images make of it, at least.
DIFFERENT = 1e-4

Run = Callable[..., list[Ending]]


@pytest.fixture
def run(tmp_path: Path, pairs: Path) -> Run:
    """Return a function that trains or resumes SMSR in some processes, 2 images in each."""

    def run(
        world_size: int,
        changes: Mapping[str, Any] | None = None,
        *faults: Callable[[], None],
        at_rank: Mapping[int, Callable[[], None]] | None = None,
    ) -> list[Ending]:
        options = train_options(pairs, {**SMSR, **(changes or {})})
        file = write_options(tmp_path / "tiny.yml", options)
        arguments = ["train", "-opt", str(file), "--root", str(tmp_path), "--auto_resume"]
        return together(world_size, tmp_path, arguments, *faults, at_rank=at_rank)

    return run


def codes(endings: list[Ending]) -> list[int]:
    return [ending.code for ending in endings]


def errors(endings: list[Ending]) -> list[str]:
    """Return what all processes tell the user about their end."""
    lines = [line for ending in endings for line in ending.err.splitlines()]
    assert "Traceback (most recent call last):" not in lines
    return [line for line in lines if line.startswith("smsr ")]


def weights(folder: Path, iteration: int | str = "latest") -> dict[str, torch.Tensor]:
    file = torch.load(folder / f"models/net_g_{iteration}.pth", weights_only=True)
    return {f"{part}.{key}": t for part in file for key, t in file[part].items()}


def distance(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> float:
    assert a.keys() == b.keys()
    return max((a[key] - b[key]).abs().max().item() for key in a)


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


def test_one_two_and_three_processes_train_and_validate_alike(run, tmp_path, pairs):
    changes = {**validation(pairs), "train:total_iter": 6, "val:val_freq": 3}
    changes |= {"datasets:train:dataset_enlarge_ratio": 2, "datasets:train:num_worker_per_gpu": 0}
    folders = {}
    for world_size in (1, 2, 3):
        own = {"name": str(world_size), "datasets:train:batch_size_per_gpu": 6 // world_size}
        assert codes(run(world_size, {**changes, **own})) == [0] * world_size
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


@pytest.mark.parametrize(
    "fault", [other_noise_in_each_process, other_channel_noise_in_each_process]
)
def test_noise_that_follows_the_process_makes_another_training(run, tmp_path, fault):
    changes = {"train:total_iter": 4, "logger:save_checkpoint_freq": 4}
    for name, faults in (("right", ()), ("wrong", (fault,))):
        assert codes(run(2, {**changes, "name": name}, *faults)) == [0, 0]
    right, wrong = (weights(tmp_path / "experiments" / name) for name in ("right", "wrong"))
    assert distance(right, wrong) > DIFFERENT


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


def test_an_error_that_all_processes_meet_is_one_line(run):
    endings = run(3, {"train:total_iter": 0})
    assert codes(endings) == [2, 2, 2]
    (error,) = errors(endings)
    assert error.startswith("smsr train: error: train.total_iter: expected a whole number above 0")


def test_without_its_launcher_a_process_says_what_is_missing(run_training, capsys, monkeypatch):
    monkeypatch.delenv("RANK", raising=False)
    assert run_training(None, "--launcher", "pytorch") == 2
    error = capsys.readouterr().err
    assert error.startswith("smsr train: error: --launcher pytorch: expected the variables of a")
    assert error.endswith("start with torchrun --nproc-per-node N --no-python smsr …\n")


def test_processes_that_find_other_images_are_told(run):
    endings = run(2, {}, at_rank={1: find_images_backwards})
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


@pytest.mark.survival
class TestEndings:
    """However one process ends, the others end too, and the work is kept."""

    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal_to_one_stops_all_after_the_same_iteration(
        self, run, experiment, signum, code
    ):
        send = partial(in_iteration, 7, partial(signal.raise_signal, signum))
        endings = run(3, {}, at_rank={1: send})
        assert codes(endings) == [code] * 3
        assert experiment.states == [5, 7]
        assert len(errors(endings)) == 1
        endings = run(3, {})
        assert codes(endings) == [0] * 3
        assert "7.state, iteration 7." in endings[0].out

    def test_a_signal_to_all_does_not_wait_for_a_validation(self, run, pairs, experiment):
        send = partial(in_validation, partial(signal.raise_signal, signal.SIGTERM))
        endings = run(2, {**validation(pairs), "val:val_freq": 8}, send)
        assert codes(endings) == [143] * 2
        assert experiment.states == [5, 8]

    @pytest.mark.parametrize("rank", [0, 1])
    def test_a_signal_to_one_does_not_wait_for_a_validation(self, run, pairs, experiment, rank):
        send = partial(in_validation, partial(signal.raise_signal, signal.SIGTERM))
        endings = run(2, {**validation(pairs), "val:val_freq": 8}, at_rank={rank: send})
        assert codes(endings) == [143] * 2
        assert experiment.states == [5, 8]
        assert "Validation pairs" not in experiment.log

    @pytest.mark.parametrize("rank", [0, 1])
    def test_a_killed_process_ends_the_others(self, run, experiment, rank):
        endings = run(3, {}, at_rank={rank: partial(in_iteration, 7, kill)})
        expected = [1, 1, 1]
        expected[rank] = -signal.SIGKILL
        assert codes(endings) == expected
        assert set(errors(endings)) == {
            f"smsr train: error: {LOST}; start again with --auto_resume"
        }
        if rank != 0:  # what processes have said is kept in the first
            assert len(errors(endings)) == 1
        assert experiment.states[0] == 5

    def test_another_number_of_processes_goes_on(self, run, experiment):
        changes = {"datasets:train:batch_size_per_gpu": 3, "train:total_iter": 12}
        changes["datasets:train:dataset_enlarge_ratio"] = 2
        assert codes(run(2, changes)) == [0] * 2
        straight = weights(experiment.folder)
        for world_size in (3, 1):
            for path in experiment.folder.glob("*/*latest*"):
                path.unlink()
            (experiment.folder / "training_states/12.state").unlink()
            changes["datasets:train:batch_size_per_gpu"] = 6 // world_size
            endings = run(world_size, changes)
            assert codes(endings) == [0] * world_size
            assert "10.state, iteration 10." in endings[0].out
            assert "An iteration took" not in endings[0].err
            processes = f"The training ran in 2 processes and runs in {world_size}: "
            assert processes in endings[0].err
            assert distance(weights(experiment.folder), straight) < SAME
        changes["datasets:train:batch_size_per_gpu"] = 3
        said = "An iteration took 6 images and takes 3, in all processes: the training changes."
        assert said in run(1, changes)[0].err

    def test_a_full_disk_at_the_first_ends_the_others(self, run, experiment):
        assert codes(run(2, {"train:total_iter": 10})) == [0, 0]
        size = {p.suffix: p.stat().st_size for p in experiment.folder.glob("*/*10.*")}
        full = partial(limit_file_size, size[".pth"] - 1)
        endings = run(2, {}, at_rank={0: full})
        assert codes(endings) == [1, 1]
        (error,) = errors(endings)
        assert "net_g_15.pth: File too large; the last good state is" in error

    @pytest.mark.parametrize("rank", [0, 1])
    def test_an_image_that_one_cannot_read_ends_all_with_the_work_saved(
        self, run, experiment, tmp_path, rank
    ):
        own = write_pairs(tmp_path / "own", 12)
        changes = {f"datasets:train:dataroot_{role}": str(own / role) for role in ("gt", "lq")}
        endings = run(2, changes, at_rank={rank: partial(unreadable_from, 7)})
        assert sorted(codes(endings)) == [1, 2]
        assert endings[rank].code == 2
        (error,) = errors(endings)
        assert "cannot be read as an image" in error
        assert experiment.states == [5, 7]

    def test_all_skip_the_batch_that_is_nan_in_one(self, run, experiment):
        endings = run(2, {"train:skip_nonfinite": 1}, at_rank={1: partial(nan_images, 3, 8)})
        assert codes(endings) == [0, 0]
        skipped = re.findall(
            r"Skipped: iteration (\d+): l_pix is nan.* on the (.*)", endings[0].err
        )
        assert [iteration for iteration, _ in skipped] == ["3", "8"]
        assert all(len(re.findall(r"\.png", batch)) == 2 for _, batch in skipped)
        state = torch.load(experiment.folder / "training_states/20.state", weights_only=True)
        assert int(state["optimizers"][0]["state"][0]["step"]) == 18

    def test_a_nan_in_one_ends_all_with_one_line(self, run, experiment):
        endings = run(3, {}, at_rank={2: partial(nan_images, 7)})
        assert codes(endings) == [1] * 3
        (error,) = errors(endings)
        assert re.search(r"iteration 7: l_pix is nan.* the last good state is \S+/5.state", error)


def unreadable_from(iteration: int) -> None:
    """Fail to load what comes after an iteration, as from a disk that is gone."""
    from smsr_plugin.images.files import DataError
    from smsr_plugin.training.data.data_order import SeededDataset

    def fail(dataset: Any, sample: Any) -> None:
        raise DataError(f"lq image {sample.image}.png: cannot be read as an image")

    def spoil() -> None:
        SeededDataset.__getitem__ = fail

    in_iteration(iteration, spoil)
