from __future__ import annotations

import json
import math

import pytest
import torch
from basicsr.models.sr_model import SRModel
from option_files import validation

from smsr_plugin.training.run.saving import ValidationHistory

METRICS = {"psnr": {}, "niqe": {"better": "lower"}}


@pytest.fixture
def psnr_of(monkeypatch):
    """Return a function that makes validations measure these values of PSNR, one after another."""

    def pretend(*values: float) -> None:
        measured = iter(values)
        monkeypatch.setattr(
            "basicsr.models.sr_model.calculate_metric", lambda data, opt: values[0] + next(each)
        )
        each = (value - values[0] for value in measured for _ in range(11))  # images of the set

    return pretend


def saved(experiment) -> list[int]:
    networks = experiment.folder.glob("models/net_g_*[0-9].pth")
    assert sorted(int(path.stem.removeprefix("net_g_")) for path in networks) == experiment.states
    return experiment.states


def test_all_are_kept_if_nothing_is_said(experiment, at_20):
    assert saved(experiment) == [5, 10, 15, 20]


def test_the_last_and_the_best_are_kept(run_training, experiment, pairs, psnr_of):
    psnr_of(30, 32, 31, 29.5)
    changes = {**validation(pairs), "val:val_freq": 5, "logger:keep_checkpoints": 1}
    assert run_training(changes) == 0
    assert saved(experiment) == [10, 20]
    content = json.loads((experiment.folder / "validation.json").read_text())
    assert content == {
        "pairs": {
            "5": {"psnr": 30},
            "10": {"psnr": 32},
            "15": {"psnr": 31},
            "20": {"psnr": 29.5},  # at the end it is not measured again
        }
    }


def test_a_resumed_run_knows_the_best(run_training, experiment, pairs, psnr_of):
    changes = {**validation(pairs), "val:val_freq": 5, "logger:keep_checkpoints": 1}
    psnr_of(33, 32, 31)
    assert run_training({**changes, "train:total_iter": 10}) == 0
    assert saved(experiment) == [5, 10]
    psnr_of(30, 31, 29)
    assert run_training(changes, "--auto_resume") == 0
    assert saved(experiment) == [5, 20]
    assert "Best: 33.0000 @ 5 iter" in experiment.log


def test_history_forgets_what_comes_after_the_state_and_survives_damage(tmp_path):
    file = tmp_path / "validation.json"
    history = ValidationHistory(file, METRICS, 0)
    for iteration, psnr, niqe in ((5, 30.0, 4.0), (10, 31.0, 5.0), (15, 32.0, 3.0)):
        history.add("set", iteration, {"psnr": psnr, "niqe": niqe})
    assert history.best([5, 10, 15]) == {15}
    assert history.best([5, 10]) == {5, 10}
    assert history.best([7]) == set()
    assert ValidationHistory(file, METRICS, 10).best([5, 10, 15]) == {5, 10}
    assert ValidationHistory(file, METRICS, 0).values == {}
    file.write_text('{"set": 5')
    assert ValidationHistory(file, METRICS, 10).values == {}


def test_history_is_json_whatever_was_measured(tmp_path):
    file, metrics = tmp_path / "validation.json", {"psnr": {}}
    history = ValidationHistory(file, metrics, 0)
    measured = {1: math.nan, 2: 30.0, 3: math.inf, 4: -math.inf, 5: 31.0, 6: math.nan}
    for iteration, psnr in measured.items():
        history.add("set", iteration, {"psnr": psnr})

    def refuse(constant):
        raise AssertionError(constant)

    kept = json.loads(file.read_text(), parse_constant=refuse)["set"]
    assert [row["psnr"] for row in kept.values()] == ["nan", 30, "inf", "-inf", 31, "nan"]
    resumed = ValidationHistory(file, metrics, 6)
    assert repr(resumed.values) == repr({"set": {i: {"psnr": v} for i, v in measured.items()}})
    assert resumed.best(measured) == {3}
    assert resumed.best([1, 2, 4, 6]) == {2}
    assert resumed.best([1, 6]) == set()
    for damaged in ('{"set": {"1": {"psnr": "much"}}}', '{"set": {"1": {"psnr": null}}}'):
        file.write_text(damaged)
        assert ValidationHistory(file, metrics, 6).values == {}


def test_weights_that_are_not_finite_are_not_saved(run_training, experiment, monkeypatch, capsys):
    step = SRModel.optimize_parameters

    def spoil(model, current_iter):
        step(model, current_iter)
        if current_iter == 10:
            model.net_g.conv_first.weight.data[0] = float("nan")

    monkeypatch.setattr(SRModel, "optimize_parameters", spoil)
    assert run_training() == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert "net_g_10.pth is not saved, because params holds NaN or infinite weights; " in error
    assert error.endswith(f"the last good state is {experiment.folder}/training_states/5.state")
    assert saved(experiment) == [5]


def test_other_models_stop_at_a_loss_that_is_no_number(run_training, monkeypatch, capsys):
    monkeypatch.setattr(
        "basicsr.losses.basic_loss.L1Loss.forward",
        lambda self, pred, target, **kwargs: pred.sum() * float("inf"),
    )
    assert run_training() == 1
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("smsr train: error: iteration 1: l_pix is ")
    assert error.endswith("; nothing has been saved yet")


def test_a_network_of_another_state_is_not_resumed(run_training, experiment, at_20, capsys):
    models = experiment.folder / "models"
    (models / "net_g_20.pth").write_bytes((models / "net_g_15.pth").read_bytes())
    assert run_training(None, "--auto_resume") == 0
    out = capsys.readouterr().out
    assert "net_g_20.pth is not the network that was saved with it" in out
    assert "15.state, iteration 15." in out


def test_states_of_basicsr_are_resumed(run_training, experiment, at_20):
    for file in experiment.folder.glob("training_states/*.state"):
        state = torch.load(file, weights_only=True)
        torch.save(
            {key: state[key] for key in state if key not in ("networks", "manual_seed")}, file
        )
    assert run_training({"train:total_iter": 22}, "--auto_resume") == 0
    assert list(experiment.learning_rates) == [21, 22]


def test_a_changed_seed_is_said(run_training, experiment, at_20, capsys):
    assert run_training({"manual_seed": 3}, "--auto_resume") == 0
    said = "manual_seed was 0 and is 3: the order of the data changes."
    assert said in capsys.readouterr().err
    assert said in experiment.log
