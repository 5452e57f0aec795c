"""BasicSR's pipelines stay the drivers: as they are, and with one table of replaced names."""

from __future__ import annotations

import re
import sys
import threading
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import basicsr.test
import basicsr.train
import pytest
import torch
from option_files import train_options, validation, write_options
from training_process import call

import smsr_plugin
from smsr_plugin.training.run.options import Command
from smsr_plugin.training.run.pipeline import Replacement, Stages, replaced, replacements

SMSR = {
    "model_type": "SMSRModel",
    "network_g": {"type": "SMSR", "num_feat": 4, "num_layer": 2, "num_block": 2, "upscale": 2},
    "datasets:train:type": "CheckedPairedImageDataset",
    "train:iters_per_epoch": 2,
    "train:sparsity_opt": {"type": "SparsityLoss", "loss_weight": 0.001},
}


def table() -> tuple[Replacement, ...]:
    with ExitStack() as stack:
        return replacements(Stages(Command("train", Path("x.yml"), ["smsr"]), stack))


def test_each_name_is_there_once_with_its_reason_and_comes_back():
    rows = table()
    assert len({(row.owner, row.name) for row in rows}) == len(rows)
    assert all(row.reason for row in rows)
    before = [getattr(row.owner, row.name) for row in rows]  # raises for a name that has gone
    with replaced(rows):
        assert all(getattr(row.owner, row.name) is row.value for row in rows)
    assert all(getattr(row.owner, row.name) is old for row, old in zip(rows, before, strict=True))


def test_what_is_replaced_is_what_the_drivers_look_up():
    functions = {
        basicsr.train: (basicsr.train.train_pipeline, basicsr.train.init_tb_loggers),
        basicsr.test: (basicsr.test.test_pipeline,),
    }
    for module, drivers in functions.items():
        looked_up = {name for driver in drivers for name in driver.__code__.co_names}
        assert {row.name for row in table() if row.owner is module} <= looked_up


def test_the_table_is_restored_if_a_name_is_missing():
    rows = (
        Replacement(threading, "excepthook", print, "for the test"),
        Replacement(threading, "no_such_name", print, "for the test"),
    )
    before = threading.excepthook
    with pytest.raises(AttributeError), replaced(rows):
        pass
    assert threading.excepthook is before


def train_untouched(option_file, root):
    """Train as a user of BasicSR does: by its own entry point, with one import more."""
    import smsr_plugin.training  # noqa: F401

    from basicsr.train import train_pipeline  # isort: skip

    sys.argv = ["train.py", "-opt", str(option_file)]
    train_pipeline(str(root))


@pytest.mark.slow
def test_basicsrs_own_pipeline_trains_from_the_same_option_file(tmp_path, pairs, run_training):
    changes = {**SMSR, **validation(pairs), "train:total_iter": 10}
    assert run_training(changes) == 0
    file = write_options(tmp_path / "tiny.yml", train_options(pairs, changes))
    root = tmp_path / "untouched"
    root.mkdir()
    done = call(root, partial(train_untouched, file, root))
    assert done.code == 0, done.err
    logs = []
    for folder in (tmp_path, root):
        experiment = folder / "experiments" / "tiny"
        net = smsr_plugin.load(experiment / "models/net_g_latest.pth")
        assert net.config.num_feat == 4
        (log,) = experiment.glob("train_*.log")
        logs.append(
            re.findall(r"iter: +(\d+), lr:\((\S+),\)\].* l_pix: \S+ (\w+):", log.read_text())
        )
    assert logs[0] == logs[1]
    assert [int(iteration) for iteration, _, _ in logs[0]] == list(range(1, 11))
    assert {name for _, _, name in logs[0]} == {"l_sparsity"}


@pytest.mark.parametrize("arguments", [(), ("--quiet",)])
def test_a_network_and_a_model_of_basicsr_train_through_smsr(
    run_training, experiment, pairs, arguments
):
    network = {"type": "EDSR", "num_in_ch": 3, "num_out_ch": 3, "num_feat": 4, "num_block": 1}
    changes = {**validation(pairs), "network_g": {**network, "upscale": 2}, "train:ema_decay": 0.9}
    assert run_training({**changes, "train:total_iter": 10}, *arguments) == 0
    assert experiment.states == [5, 10]
    assert list(experiment.learning_rates) == list(range(1, 11))
    file = torch.load(experiment.folder / "models/net_g_latest.pth", weights_only=True)
    assert file.keys() == {"params", "params_ema"}
    assert "Model [SRModel] is created." in experiment.log
    assert run_training({**changes, "train:total_iter": 12}, "--auto_resume", *arguments) == 0
    assert list(experiment.learning_rates) == [11, 12]
    assert experiment.states == [5, 10, 12]
