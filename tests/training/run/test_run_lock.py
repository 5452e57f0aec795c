"""Two trainings cannot have one folder; a lock ends with its process, however that ends."""

from __future__ import annotations

import os
import signal
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from multiprocessing.process import BaseProcess
from pathlib import Path

import pytest
from commands import train
from option_files import train_options, write_options
from training_process import CONTEXT, hold_lock

from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.run.options import Command
from smsr_plugin.training.run.pipeline import Stages, only_training_in


@contextmanager
def holding(folder: Path) -> Iterator[BaseProcess]:
    """Let another process hold the lock of a folder."""
    receiver, sender = CONTEXT.Pipe(duplex=False)
    process = CONTEXT.Process(target=hold_lock, args=(folder, sender))
    process.start()
    sender.close()  # an end of the process is an end of what is received
    try:
        assert receiver.recv() == "held"
        yield process
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.join()


@pytest.fixture(scope="module")
def holder(tmp_path_factory) -> Iterator[tuple[int, Path]]:
    """Return a process and the folder that it holds for all tests."""
    folder = tmp_path_factory.mktemp("root") / "experiments" / "x"
    with holding(folder) as process:
        yield process.pid, folder


def test_the_second_is_refused_with_the_firsts_number_and_machine(holder):
    pid, folder = holder
    for _ in range(2):  # what the first refusal did must not spoil the second
        with pytest.raises(OptionError) as caught, only_training_in(folder):
            pass
        assert str(caught.value) == (
            f"{folder} is in use by another training (process {pid} on "
            f"{socket.gethostname()}); wait for it, stop it, or give this one another name"
        )


def test_others_are_not_in_the_way(holder):
    _, folder = holder
    with only_training_in(folder.with_name("y")):
        pass


def test_a_killed_process_leaves_no_lock_even_if_its_child_lives(tmp_path):
    with holding(tmp_path / "x") as process:
        process.kill()
        process.join()
        os.killpg(process.pid, 0)  # the child is there
        with only_training_in(tmp_path / "x"):
            assert str(os.getpid()) in (tmp_path / ".x.lock").read_text()
    with holding(tmp_path / "x"):  # and so it ends with the block
        pass


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".x.lock").symlink_to(other)
    with pytest.raises(OptionError, match=r"\.x\.lock"), only_training_in(tmp_path / "x"):
        pass
    assert other.read_text() == "mine"


def test_smsr_train_refuses_before_it_touches_anything(holder, pairs, capsys):
    pid, folder = holder
    folder.mkdir(parents=True)
    (folder / ".0123456789abcdef.tmp").touch()  # of a save that is under way
    before = sorted(folder.parent.rglob("*"))
    root = folder.parents[1]
    file = write_options(root / "x.yml", train_options(pairs, {"name": "x"}))
    for arguments in ([], ["--auto_resume"]):
        assert train(["-opt", str(file), "--root", str(root), *arguments]) == 2
        error = capsys.readouterr().err.splitlines()[-1]
        assert error.startswith(f"smsr train: error: {folder} is in use by another training")
        assert f"(process {pid} on " in error
        assert sorted(folder.parent.rglob("*")) == before


@pytest.mark.parametrize("rank", [1, 7])
def test_of_several_processes_only_the_first_takes_it(holder, rank):
    _, folder = holder
    opt = {"rank": rank, "auto_resume": False, "num_gpu": 0, "manual_seed": 0}
    opt["path"] = {"experiments_root": str(folder), "models": "", "training_states": ""}
    command = Command("train", Path("x.yml"), [])
    with ExitStack() as stack:
        assert Stages(command, stack).load_resume_state(opt) is None
        with pytest.raises(OptionError, match="in use"):
            Stages(command, stack).load_resume_state({**opt, "rank": 0})
