from __future__ import annotations

import io
import re
import sys

import pytest

from smsr_plugin.training.run.run_model import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def use_terminal(monkeypatch) -> Terminal:
    """Make stderr a terminal. No fixture, because pytest sets stderr anew after the set-up."""
    terminal = Terminal()
    monkeypatch.setattr(sys, "stderr", terminal)
    return terminal


def bars(text: str) -> list[str]:
    """Return the last `done/total` of each bar that was drawn."""
    return re.findall(r"(\d+/\d+) \[", text)


def test_the_bar_counts_iterations_and_shows_losses(monkeypatch, run_training):
    terminal = use_terminal(monkeypatch)
    assert run_training() == 0
    text = terminal.getvalue()
    assert bars(text)[0] == "0/20"
    assert bars(text)[-1] == "20/20"
    assert re.search(r"l_pix=[\d.]+", text)


def test_the_bar_starts_where_training_resumes(monkeypatch, run_training, at_10):
    terminal = use_terminal(monkeypatch)
    assert run_training(None, "--auto_resume") == 0
    assert bars(terminal.getvalue())[0] == "10/20"
    assert bars(terminal.getvalue())[-1] == "20/20"


def test_log_lines_stay_whole(monkeypatch, run_training, experiment):
    terminal = use_terminal(monkeypatch)
    assert run_training() == 0
    shown = [line.split("\r")[-1] for line in terminal.getvalue().split("\n")]
    logged = [line for line in experiment.log.split("\n") if ", lr:(" in line]
    assert [line for line in shown if ", lr:(" in line] == logged
    assert len(logged) == 20


def test_without_a_terminal_there_is_no_bar(run_training, capsys):
    assert run_training({"train:total_iter": 2}) == 0
    assert bars(capsys.readouterr().err) == []


def test_without_a_terminal_it_draws_nothing(capsys):
    progress = Progress(2)
    with progress:
        progress.begin(1, {"l_pix": 0.5})
    assert capsys.readouterr() == ("", "")


def test_the_bar_shows_where_the_training_is(monkeypatch):
    terminal = use_terminal(monkeypatch)
    progress = Progress(2)
    with progress:
        progress.begin(1, {})
        progress.begin(2, {"l_pix": 0.1234567})
    assert bars(terminal.getvalue())[-1] == "2/2"
    assert "l_pix=0.123" in terminal.getvalue()


def test_only_the_first_process_shows_it(monkeypatch):
    terminal = use_terminal(monkeypatch)
    with Progress(2, shown=False):
        pass
    assert terminal.getvalue() == ""


def test_an_error_leaves_the_bar_where_it_was(monkeypatch):
    terminal = use_terminal(monkeypatch)
    progress = Progress(9)

    def fail():
        with progress:
            progress.begin(1, {})
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert "9/9" not in terminal.getvalue()
