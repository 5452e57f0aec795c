"""What differs between a training and the run that resumes it is said, and counts as it says."""

from __future__ import annotations

import re

import pytest
import torch
from option_files import write_pairs

SCHEDULE = {
    "train:scheduler": {"type": "MultiStepLR", "milestones": [12], "gamma": 0.1},
    "train:optim_g": {"type": "Adam", "lr": 0.0005, "betas": [0.8, 0.999]},
}


def warnings(experiment) -> list[str]:
    return re.findall(r"WARNING: (.*)", experiment.log)


def test_nothing_is_said_where_nothing_has_changed(run_training, experiment, at_20):
    (experiment.folder / "training_states" / "20.state").unlink()
    assert run_training(None, "--auto_resume") == 0
    assert list(experiment.learning_rates) == list(range(16, 21))
    assert warnings(experiment) == []


def test_the_old_schedule_stays_and_each_change_is_said(run_training, experiment, at_10):
    assert run_training({**SCHEDULE}, "--auto_resume") == 0
    stays = ", which is not taken: the old value stays (--override-schedule changes it)."
    assert warnings(experiment) == [
        "train.total_iter was 10 and is 20: the new value counts from here.",
        f"train.optim_g.betas was [0.9, 0.999] and is [0.8, 0.999]{stays}",
        f"train.optim_g.lr was 0.001 and is 0.0005{stays}",
        f"train.scheduler.milestones was [8, 16] and is [12]{stays}",
        f"train.scheduler.gamma was 0.5 and is 0.1{stays}",
    ]
    expected = {i: 1e-3 * 0.5 ** sum(i > m for m in (8, 16)) for i in range(11, 21)}
    assert experiment.learning_rates == pytest.approx(expected)


@pytest.mark.parametrize(
    "scheduler",
    [
        {"type": "MultiStepLR", "milestones": [7, 12], "gamma": 0.1},
        {
            "type": "CosineAnnealingRestartLR",
            "periods": [6, 16],
            "restart_weights": [1, 0.5],
            "eta_min": 1e-7,
        },
    ],
)
@pytest.mark.parametrize("warmup_iter", [-1, 14])
def test_the_new_schedule_is_taken_as_if_it_had_always_been(
    run_training, experiment, at_10, tmp_path, scheduler, warmup_iter
):
    changes = {**SCHEDULE, "train:scheduler": scheduler, "train:warmup_iter": warmup_iter}
    assert run_training({**changes, "name": "whole"}) == 0
    whole = type(experiment)(tmp_path / "experiments" / "whole").learning_rates
    assert run_training(changes, "--auto_resume", "--override-schedule") == 0
    assert experiment.learning_rates == {i: whole[i] for i in range(11, 21)}
    assert len(set(whole.values())) > 2
    lr = next(line for line in warnings(experiment) if ".lr " in line)
    assert lr == ("train.optim_g.lr was 0.001 and is 0.0005, which is taken (--override-schedule).")
    state = torch.load(experiment.folder / "training_states" / "20.state", weights_only=True)
    (optimizer,) = state["optimizers"]
    assert list(optimizer["param_groups"][0]["betas"]) == [0.8, 0.999]
    assert all(int(moments["step"]) == 20 for moments in optimizer["state"].values())
    # From then on it is the training's own.
    assert run_training({**changes, "train:total_iter": 22}, "--auto_resume") == 0
    assert not any("scheduler" in line or "optim_g" in line for line in warnings(experiment))


def test_another_kind_of_schedule_is_refused_without_the_flag(
    run_training, experiment, at_10, capsys
):
    cosine = {"type": "CosineAnnealingRestartLR", "periods": [20]}
    assert run_training({"train:scheduler": cosine}, "--auto_resume") == 2
    assert capsys.readouterr().err.splitlines()[-1] == (
        "smsr train: error: train.scheduler.type: expected that of the state, MultiStepRestartLR, "
        "got 'CosineAnnealingRestartLR'; restore it, or give --override-schedule"
    )
    assert experiment.states == [5, 10]


def test_states_that_note_nothing_are_resumed_with_both(run_training, experiment, at_10):
    """As BasicSR's own states."""
    file = experiment.folder / "training_states" / "10.state"
    state = torch.load(file, weights_only=True)
    keys = ("epoch", "iter", "optimizers", "schedulers")
    torch.save({key: state[key] for key in keys}, file)
    flags = ("--auto_resume", "--override-schedule")
    assert run_training({**SCHEDULE, "train:total_iter": 14}, *flags) == 0
    assert experiment.learning_rates == pytest.approx({11: 5e-4, 12: 5e-4, 13: 5e-5, 14: 5e-5})
    assert any("milestones was [8, 16] and is [12]" in line for line in warnings(experiment))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        (
            {"datasets:train:batch_size_per_gpu": 3},
            "An iteration took 4 images and takes 3, in all processes: the training changes.",
        ),
        (
            {"datasets:train:dataset_enlarge_ratio": 2},
            "The data set was pairs and is pairs (enlarge_ratio 1 then, 2 now): the order of the "
            "images changes.",
        ),
        (
            {"train:pixel_opt:loss_weight": 0.5},
            "train.pixel_opt.loss_weight was 1.0 and is 0.5: the new value counts from here.",
        ),
        (
            {"train:ema_decay": 0.5},
            "train.ema_decay was 0 and is 0.5: the new value counts from here.",
        ),
        ({"manual_seed": 3}, "manual_seed was 0 and is 3: the order of the data changes."),
    ],
)
def test_other_changes_are_said(run_training, experiment, at_10, changes, said):
    assert run_training({**changes, "train:total_iter": 12}, "--auto_resume") == 0
    assert said in warnings(experiment)
    assert list(experiment.learning_rates) == [11, 12]


@pytest.mark.parametrize(
    ("count", "names", "difference"),
    [(8, "{}", "images 11 then, 8 now"), (11, "other{}", "other names")],
)
def test_another_data_set_is_said(
    run_training, experiment, at_10, tmp_path, count, names, difference
):
    other = write_pairs(tmp_path / "other", count)
    for role in ("gt", "lq"):
        for file in list((other / role).iterdir()):
            file.rename(file.with_name(names.format(file.name)))
    changes = {f"datasets:train:dataroot_{role}": str(other / role) for role in ("gt", "lq")}
    assert run_training({**changes, "train:total_iter": 12}, "--auto_resume") == 0
    assert (
        f"The data set was pairs and is pairs ({difference}): the order of the images changes."
        in (warnings(experiment))
    )
    assert list(experiment.learning_rates) == [11, 12]
