"""Trainings as users start them: by torchrun, which finds its processes and ends them."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from option_files import train_options, write_options

from smsr_plugin.processes import LOST

pytestmark = pytest.mark.survival

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "train:iters_per_epoch": 2,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.001},
    "datasets:train:batch_size_per_gpu": 2,
    "datasets:train:dataset_enlarge_ratio": 4,
}


@pytest.fixture
def start(tmp_path: Path, pairs: Path) -> Callable[..., subprocess.Popen[str]]:
    """Return a function that starts a training under torchrun, given its iterations."""

    def start(total_iter: int, *options: str) -> subprocess.Popen[str]:
        opt = train_options(pairs, {**SMSR, "train:total_iter": total_iter})
        file = write_options(tmp_path / "tiny.yml", opt)
        command = [sys.executable, "-m", "torch.distributed.run", *options]
        command += ["-m", "smsr_plugin.cli.main", "train", "-opt", str(file)]
        command += ["--root", str(tmp_path), "--auto_resume"]
        return subprocess.Popen(
            command, stderr=subprocess.STDOUT, stdout=subprocess.PIPE, text=True
        )

    return start


def wait_for_iteration(run: subprocess.Popen[str], iteration: int) -> None:
    for line in run.stdout:
        found = re.search(r"iter: *(\d+),", line)
        if found and int(found[1]) >= iteration:
            return
    raise AssertionError("the training ended early")


def test_a_signal_to_torchrun_saves_and_another_number_goes_on(start, experiment):
    run = start(100_000, "--nproc-per-node", "2")
    wait_for_iteration(run, 7)
    run.send_signal(signal.SIGTERM)
    text = run.communicate(timeout=60)[0]
    assert text.count("smsr train: interrupted by SIGTERM\n") == 1
    last = experiment.states[-1]
    assert f"Interrupted; saved iteration {last} for --auto_resume." in text
    run = start(last + 5, "--nproc-per-node", "3")
    text = run.communicate(timeout=100)[0]
    assert run.returncode == 0, text
    assert f"{last}.state, iteration {last}." in text
    assert "An iteration took 4 images and takes 6, in all processes: the training changes." in text
    assert "The training ran in 2 processes and runs in 3: " in text
    assert "Warning" not in text
    assert experiment.states[-1] // 5 == (last + 5) // 5


def test_a_killed_process_ends_the_job_with_a_line(start, experiment):
    run = start(100_000, "--nproc-per-node", "2")
    wait_for_iteration(run, 7)
    children = Path(f"/proc/{run.pid}/task/{run.pid}/children").read_text().split()
    os.kill(int(children[-1]), signal.SIGKILL)
    began = time.monotonic()
    text = run.communicate(timeout=60)[0]
    assert run.returncode == 1
    assert time.monotonic() - began < 30
    assert text.count(f"smsr train: error: {LOST}; start again with --auto_resume\n") == 1
    assert experiment.states[0] == 5


def test_two_machines_meet_at_one_address(start, experiment):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = ("--rdzv-backend", "c10d", "--rdzv-endpoint", f"127.0.0.1:{port}", "--rdzv-id", "a")
    runs = [start(10, "--nnodes", "2", "--nproc-per-node", "1", *place) for _ in range(2)]
    texts = [run.communicate(timeout=100)[0] for run in runs]
    assert [run.returncode for run in runs] == [0, 0]
    assert sum(text.count("End of training") for text in texts) == 1
    assert experiment.states == [5, 10]
    assert "Number of processes: 2" in "".join(texts)
