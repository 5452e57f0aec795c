"""With workers and prefetching, a training ends in every way that it can end."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from option_files import train_options, validation, write_options, write_pairs
from training_process import Ending, in_iteration, in_validation, kill, limit_file_size, train

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "datasets:train:type": "CheckedPairedImageDataset",
    "datasets:train:dataset_enlarge_ratio": 20,
    "train:ema_decay": 0.9,
    "train:iters_per_epoch": 2,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.001},
}
#: BasicSR's loader with a thread, DataLoader's own workers, both, and workers that stay.
LOADERS = {
    "thread": {"prefetch_mode": "cpu"},
    "workers": {"num_worker_per_gpu": 2},
    "both": {"prefetch_mode": "cpu", "num_worker_per_gpu": 2, "num_prefetch_queue": 3},
    "persistent": {
        "prefetch_mode": "cpu",
        "num_worker_per_gpu": 2,
        "persistent_workers": True,
    },
}


@pytest.fixture(params=["both"])
def loader(request) -> str:
    """Return which of `LOADERS` is used."""
    return request.param


@pytest.fixture
def run(tmp_path: Path, pairs: Path, loader: str) -> Callable[..., Ending]:
    """Return a function that trains or resumes SMSR in a process, after some faults."""

    def run(changes: Mapping[str, Any], *faults: Callable[[], None]) -> Ending:
        used = {f"datasets:train:{key}": value for key, value in LOADERS[loader].items()}
        options = train_options(pairs, {**SMSR, **used, **changes})
        return train(tmp_path, write_options(tmp_path / "tiny.yml", options), *faults)

    return run


def send(signum: int) -> None:
    os.kill(os.getpid(), signum)


def fail() -> None:
    raise ZeroDivisionError("a bug")


@pytest.mark.slow
def test_a_training_ends_by_itself(run, experiment):
    assert run({}).code == 0
    assert list(experiment.learning_rates) == list(range(1, 21))


@pytest.mark.slow
def test_a_bug_ends_it_with_its_traceback(run):
    ended = run({}, partial(in_iteration, 7, fail))
    assert (ended.code, ended.error) == (1, "ZeroDivisionError: a bug")


@pytest.mark.survival
@pytest.mark.parametrize("loader", LOADERS, indirect=True)
class TestEveryEnding:
    def test_its_own(self, run, experiment):
        changes = {"train:total_iter": 120}  # more than two epochs
        assert run(changes).code == 0
        assert list(experiment.learning_rates) == list(range(1, 121))

    def test_a_bug(self, run):
        assert run({}, partial(in_iteration, 7, fail)).code == 1

    @pytest.mark.parametrize(("signum", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
    def test_a_signal(self, run, experiment, signum, code):
        assert run({}, partial(in_iteration, 7, partial(send, signum))).code == code
        assert experiment.states == [5, 7]
        assert run({}).code == 0
        assert list(experiment.learning_rates) == list(range(8, 21))

    def test_a_signal_in_a_validation(self, run, pairs, experiment):
        changes = {**validation(pairs), "val:val_freq": 8}
        changes["datasets:val:prefetch_mode"] = "cpu"
        ended = run(changes, partial(in_validation, partial(send, signal.SIGTERM)))
        assert (ended.code, experiment.states) == (143, [5, 8])

    def test_kill(self, run, experiment):
        assert run({}, partial(in_iteration, 7, kill)).code == -signal.SIGKILL
        assert run({}).code == 0
        assert list(experiment.learning_rates) == list(range(6, 21))

    def test_a_loss_that_is_no_number(self, run):
        assert run({"train:optim_g:lr": 1e30}).code == 1

    def test_a_full_disk(self, run, experiment):
        assert run({"train:total_iter": 5}).code == 0
        size = (experiment.folder / "models/net_g_5.pth").stat().st_size
        assert run({}, partial(limit_file_size, size - 1)).code == 1

    def test_an_image_that_goes_bad(self, run, experiment, tmp_path):
        own = write_pairs(tmp_path / "own", 4)
        changes = {f"datasets:train:dataroot_{role}": str(own / role) for role in ("gt", "lq")}
        spoil = partial((own / "lq" / "2.png").write_bytes, b"nonsense")
        ended = run(changes, partial(in_iteration, 7, spoil))
        assert ended.code == 2
        assert experiment.states[1] >= 7

    def test_a_worker_that_is_killed(self, run, loader, experiment):
        if loader == "thread":
            pytest.skip("there are no workers")
        assert run({}, partial(in_iteration, 7, kill_a_worker)).code == 1
        assert run({}).code == 0
        assert list(experiment.learning_rates)[-1] == 20


def kill_a_worker() -> None:
    import multiprocessing

    children = [child for child in multiprocessing.active_children() if child.pid]
    os.kill(children[0].pid or 0, signal.SIGKILL)
