from __future__ import annotations

import re
import zipfile
from dataclasses import replace

import pytest
import torch

ALL = list(range(1, 21))


def truncate(path):
    path.write_bytes(path.read_bytes()[:-200])


def test_resumed_training_goes_on_as_if_it_had_not_stopped(
    run_training, experiment, trained, at_10, tmp_path, monkeypatch, capsys
):
    whole = replace(experiment, folder=trained(20) / "experiments" / "tiny").learning_rates
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    capsys.readouterr()
    assert run_training(None, "--auto_resume") == 0
    state = experiment.folder / "training_states" / "10.state"
    assert f"Resuming from {state}, iteration 10." in capsys.readouterr().out
    assert experiment.learning_rates == {i: whole[i] for i in ALL if i > 10}
    assert experiment.states == [5, 10, 15, 20]
    assert not list((tmp_path / "elsewhere").iterdir())


def test_resumed_training_starts_from_the_saved_network(
    run_training, experiment, at_10, monkeypatch
):
    saved = torch.load(experiment.folder / "models" / "net_g_10.pth", weights_only=True)["params"]
    seen = []

    def stop(model, current_iter):
        seen.append((current_iter, model.net_g.state_dict(), len(model.optimizer_g.state)))
        raise KeyboardInterrupt

    monkeypatch.setattr("basicsr.models.sr_model.SRModel.optimize_parameters", stop)
    assert run_training(None, "--auto_resume") == 130
    ((current_iter, state_dict, moments),) = seen
    assert current_iter == 11
    assert all(torch.equal(state_dict[key], saved[key]) for key in saved)
    assert moments == len(saved)


@pytest.mark.parametrize("damaged", ["training_states/10.state", "models/net_g_10.pth"])
@pytest.mark.parametrize("damage", [truncate, lambda path: path.unlink()])
def test_the_newest_usable_state_is_taken(run_training, experiment, at_10, capsys, damaged, damage):
    file = experiment.folder / damaged
    damage(file)
    was_there = (experiment.folder / "training_states" / "10.state").exists()
    capsys.readouterr()
    assert run_training(None, "--auto_resume") == 0
    out = capsys.readouterr().out
    assert "5.state, iteration 5." in out
    skipped = bool(re.search(rf"Cannot resume from .*10\.state: .*{file.name}", out))
    assert skipped == was_there
    assert list(experiment.learning_rates) == list(range(6, 21))
    assert experiment.learning_rates[9] == pytest.approx(5e-4)


def test_a_state_that_runs_code_is_not_used(run_training, experiment, at_10, tmp_path, capsys):
    class Evil:
        def __reduce__(self):
            return (type(tmp_path).touch, (tmp_path / "marker",))

    torch.save({"iter": 11, "x": Evil()}, experiment.folder / "training_states" / "11.state")
    torch.save([1, 2], experiment.folder / "training_states" / "12.state")
    assert run_training(None, "--auto_resume") == 0
    out = capsys.readouterr().out
    assert "11.state cannot be read" in out
    assert "12.state: it is no training state" in out
    assert "10.state, iteration 10." in out
    assert not (tmp_path / "marker").exists()


def test_files_that_are_no_states_do_not_disturb(run_training, experiment, at_10, capsys):
    for name in ("best.state", "99.state.tmp", "nan.state"):
        (experiment.folder / "training_states" / name).touch()
    assert run_training(None, "--auto_resume") == 0
    assert "Cannot resume" not in (out := capsys.readouterr().out)
    assert "10.state, iteration 10." in out


def test_nothing_to_resume_starts_afresh_and_says_so(run_training, experiment, capsys):
    assert run_training(None, "--auto_resume") == 0
    out = capsys.readouterr().out
    folder = experiment.folder / "training_states"
    assert f"Nothing to resume in {folder}: starting afresh.\n" in out
    assert list(experiment.learning_rates) == ALL


def test_a_folder_without_a_usable_state_is_archived(run_training, experiment, at_10, capsys):
    for network in experiment.folder.glob("models/net_g_*.pth"):
        truncate(network)
    assert run_training({"train:total_iter": 5}, "--auto_resume") == 0
    assert "starting afresh. The folder that is there is archived." in capsys.readouterr().out
    (archived,) = experiment.folder.parent.glob("tiny_archived_*")
    assert (archived / "training_states" / "10.state").exists()
    assert experiment.states == [5]


def test_a_named_state_is_resumed(run_training, experiment, at_10):
    state = experiment.folder / "training_states" / "5.state"
    assert run_training({"path:resume_state": str(state)}) == 0
    assert list(experiment.learning_rates) == list(range(6, 21))


@pytest.mark.parametrize(
    ("damaged", "reason"),
    [
        (None, "does not exist"),
        ("training_states/5.state", "5.state cannot be read"),
        ("models/net_g_5.pth", "net_g_5.pth cannot be read"),
    ],
)
def test_a_named_state_that_cannot_be_used_is_an_error(
    run_training, experiment, at_10, capsys, damaged, reason
):
    state = experiment.folder / "training_states" / ("5.state" if damaged else "7.state")
    if damaged:
        truncate(experiment.folder / damaged)
    before = sorted(experiment.folder.rglob("*"))
    assert run_training({"path:resume_state": str(state)}) == 2
    (error,) = capsys.readouterr().err.splitlines()[-1:]
    assert error.startswith("smsr train: error: path.resume_state: expected a usable state")
    assert reason in error
    assert sorted(experiment.folder.rglob("*")) == before


def test_more_iterations_in_an_epoch_than_before_do_not_end_training(
    run_training, experiment, at_10
):
    # Ten iterations of two per epoch end in epoch 4; with 11 per epoch, 20 iterations are 2.
    assert run_training({"datasets:train:batch_size_per_gpu": 1}, "--auto_resume") == 0
    assert list(experiment.learning_rates) == list(range(11, 21))


def test_a_finished_training_is_not_continued(run_training, experiment, at_10):
    assert run_training({"train:total_iter": 10}, "--auto_resume") == 0
    assert experiment.learning_rates == {}
    assert experiment.states == [5, 10]


@pytest.mark.parametrize(
    "changes",
    [
        {"iter": "../../../other"},
        {"iter": 10.0},
        {"iter": True},
        {"iter": -1},
        {"epoch": None},
        {"optimizers": {}},
        {"schedulers": "x"},
        {"networks": ["x"]},
    ],
)
def test_states_of_the_wrong_make_are_passed_over(run_training, experiment, at_10, capsys, changes):
    folder = experiment.folder / "training_states"
    state = torch.load(folder / "10.state", weights_only=True)
    torch.save({**state, **changes}, folder / "12.state")
    assert run_training({"train:total_iter": 10}, "--auto_resume") == 0
    out = capsys.readouterr().out
    assert "12.state: it is no training state" in out
    assert "10.state, iteration 10." in out


@pytest.mark.parametrize(
    "changes", [{"optimizers": []}, {"optimizers": ["x"]}, {"schedulers": [5]}]
)
def test_a_state_that_does_not_fit_the_model_is_one_line(
    run_training, experiment, at_10, capsys, changes
):
    folder = experiment.folder / "training_states"
    state = torch.load(folder / "10.state", weights_only=True)
    torch.save({**state, **changes}, folder / "10.state")
    assert run_training(None, "--auto_resume") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("smsr train: error: path.resume_state: expected a state of this model")
    assert "Traceback" not in error


def test_a_compressed_state_is_passed_over(run_training, experiment, at_10, capsys):
    folder = experiment.folder / "training_states"
    with (
        zipfile.ZipFile(folder / "10.state") as whole,
        zipfile.ZipFile(folder / "11.state", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in whole.namelist():
            bomb.writestr(entry, whole.read(entry) + bytes(1_000_000))
    assert run_training({"train:total_iter": 10}, "--auto_resume") == 0
    assert "11.state cannot be read: it unpacks to" in capsys.readouterr().out
