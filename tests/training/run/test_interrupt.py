from __future__ import annotations

import multiprocessing
import os
import signal
import threading
from types import SimpleNamespace

import pytest
import torch
from basicsr.models.sr_model import SRModel

from smsr_plugin.training.run.interrupt import SIGNALS, Watch


@pytest.fixture
def press_ctrl_c_in(monkeypatch):
    """Return a function: in these iterations, send SIGINT to all processes as a terminal does."""
    step = SRModel.optimize_parameters

    def press(*iterations: int) -> None:
        def optimize_parameters(model, current_iter):
            for _ in range(iterations.count(current_iter)):
                for worker in multiprocessing.active_children():
                    os.kill(worker.pid, signal.SIGINT)
                signal.raise_signal(signal.SIGINT)
            step(model, current_iter)

        monkeypatch.setattr(SRModel, "optimize_parameters", optimize_parameters)

    return press


@pytest.mark.parametrize("workers", [0, 1])
def test_ctrl_c_saves_after_the_iteration(
    run_training, experiment, press_ctrl_c_in, capsys, workers
):
    press_ctrl_c_in(7)
    handler = signal.getsignal(signal.SIGINT)
    changes = {"datasets:train:num_worker_per_gpu": workers}
    assert run_training(changes) == 130
    assert signal.getsignal(signal.SIGINT) is handler
    assert capsys.readouterr().err.endswith("smsr train: interrupted\n")
    assert experiment.states == [5, 7]
    assert "Interrupted; saved iteration 7" in experiment.log
    state = torch.load(experiment.folder / "training_states" / "7.state", weights_only=True)
    assert (state["epoch"], state["iter"]) == (3, 7)  # 0-based, two iterations in each
    assert run_training(changes, "--auto_resume") == 0
    assert list(experiment.learning_rates) == list(range(8, 21))


def test_a_second_ctrl_c_stops_at_once(run_training, experiment, press_ctrl_c_in):
    press_ctrl_c_in(7, 7)
    assert run_training() == 130
    assert experiment.states == [5]


def test_ctrl_c_in_the_last_iteration_lets_training_end(run_training, experiment, press_ctrl_c_in):
    press_ctrl_c_in(20)
    assert run_training() == 0
    assert experiment.states == [5, 10, 15, 20]


def test_ctrl_c_before_the_first_iteration_saves_nothing(run_training, experiment, monkeypatch):
    def set_epoch(sampler, epoch):
        signal.raise_signal(signal.SIGINT)

    monkeypatch.setattr(
        "smsr_plugin.training.data.data_order.IterationSampler.set_epoch", set_epoch
    )
    assert run_training() == 130
    assert experiment.states == []


def test_outside_the_main_thread_signals_are_left_alone():
    handlers = [signal.getsignal(signum) for signum in SIGNALS]
    seen = []

    def run():
        with Watch(print, saver=SimpleNamespace(last_iter=0)):
            seen.extend(signal.getsignal(signum) for signum in SIGNALS)

    thread = threading.Thread(target=run)
    thread.start()
    thread.join()
    assert seen == handlers
