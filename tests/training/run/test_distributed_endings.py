"""However one of several processes ends, the others end too, and the work is kept."""

from __future__ import annotations

import re
import signal
from functools import partial
from typing import Any

import pytest
import torch
from option_files import validation, write_pairs
from several_processes import SAME, codes, distance, errors, weights
from training_process import in_iteration, in_validation, kill, limit_file_size, nan_images

from smsr_plugin.processes import LOST

pytestmark = pytest.mark.survival


@pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_to_one_stops_all_after_the_same_iteration(run_together, experiment, signum, code):
    send = partial(in_iteration, 7, partial(signal.raise_signal, signum))
    endings = run_together(3, {}, at_rank={1: send})
    assert codes(endings) == [code] * 3
    assert experiment.states == [5, 7]
    assert len(errors(endings)) == 1
    endings = run_together(3, {})
    assert codes(endings) == [0] * 3
    assert "7.state, iteration 7." in endings[0].out


def test_a_signal_to_all_does_not_wait_for_a_validation(run_together, pairs, experiment):
    send = partial(in_validation, partial(signal.raise_signal, signal.SIGTERM))
    endings = run_together(2, {**validation(pairs), "val:val_freq": 8}, send)
    assert codes(endings) == [143] * 2
    assert experiment.states == [5, 8]


@pytest.mark.parametrize("rank", [0, 1])
def test_a_signal_to_one_does_not_wait_for_a_validation(run_together, pairs, experiment, rank):
    send = partial(in_validation, partial(signal.raise_signal, signal.SIGTERM))
    endings = run_together(2, {**validation(pairs), "val:val_freq": 8}, at_rank={rank: send})
    assert codes(endings) == [143] * 2
    assert experiment.states == [5, 8]
    assert "Validation pairs" not in experiment.log


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_process_ends_the_others(run_together, experiment, rank):
    endings = run_together(3, {}, at_rank={rank: partial(in_iteration, 7, kill)})
    expected = [1, 1, 1]
    expected[rank] = -signal.SIGKILL
    assert codes(endings) == expected
    assert set(errors(endings)) == {f"smsr train: error: {LOST}; start again with --auto_resume"}
    if rank != 0:  # what processes have said is kept in the first
        assert len(errors(endings)) == 1
    assert experiment.states[0] == 5


def test_another_number_of_processes_goes_on(run_together, experiment):
    changes = {"datasets:train:batch_size_per_gpu": 3, "train:total_iter": 12}
    changes["datasets:train:dataset_enlarge_ratio"] = 2
    assert codes(run_together(2, changes)) == [0] * 2
    straight = weights(experiment.folder)
    for world_size in (3, 1):
        for path in experiment.folder.glob("*/*latest*"):
            path.unlink()
        (experiment.folder / "training_states/12.state").unlink()
        changes["datasets:train:batch_size_per_gpu"] = 6 // world_size
        endings = run_together(world_size, changes)
        assert codes(endings) == [0] * world_size
        assert "10.state, iteration 10." in endings[0].out
        assert "An iteration took" not in endings[0].err
        processes = f"The training ran in 2 processes and runs in {world_size}: "
        assert processes in endings[0].err
        assert distance(weights(experiment.folder), straight) < SAME
    changes["datasets:train:batch_size_per_gpu"] = 3
    said = "An iteration took 6 images and takes 3, in all processes: the training changes."
    assert said in run_together(1, changes)[0].err


def test_a_full_disk_at_the_first_ends_the_others(run_together, experiment):
    assert codes(run_together(2, {"train:total_iter": 10})) == [0, 0]
    size = {p.suffix: p.stat().st_size for p in experiment.folder.glob("*/*10.*")}
    full = partial(limit_file_size, size[".pth"] - 1)
    endings = run_together(2, {}, at_rank={0: full})
    assert codes(endings) == [1, 1]
    (error,) = errors(endings)
    assert "net_g_15.pth: File too large; the last good state is" in error


@pytest.mark.parametrize("rank", [0, 1])
def test_an_image_that_one_cannot_read_ends_all_with_the_work_saved(
    run_together, experiment, tmp_path, rank
):
    own = write_pairs(tmp_path / "own", 12)
    changes = {f"datasets:train:dataroot_{role}": str(own / role) for role in ("gt", "lq")}
    endings = run_together(2, changes, at_rank={rank: partial(unreadable_from, 7)})
    assert sorted(codes(endings)) == [1, 2]
    assert endings[rank].code == 2
    (error,) = errors(endings)
    assert "cannot be read as an image" in error
    assert experiment.states == [5, 7]


def test_all_skip_the_batch_that_is_nan_in_one(run_together, experiment):
    endings = run_together(2, {"train:skip_nonfinite": 1}, at_rank={1: partial(nan_images, 3, 8)})
    assert codes(endings) == [0, 0]
    skipped = re.findall(r"Skipped: iteration (\d+): l_pix is nan.* on the (.*)", endings[0].err)
    assert [iteration for iteration, _ in skipped] == ["3", "8"]
    assert all(len(re.findall(r"\.png", batch)) == 2 for _, batch in skipped)
    state = torch.load(experiment.folder / "training_states/20.state", weights_only=True)
    assert int(state["optimizers"][0]["state"][0]["step"]) == 18


def test_a_nan_in_one_ends_all_with_one_line(run_together, experiment):
    endings = run_together(3, {}, at_rank={2: partial(nan_images, 7)})
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
