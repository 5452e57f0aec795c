"""Two trainings cannot have one folder; a lock ends with its process, however that ends."""

from __future__ import annotations

import multiprocessing
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import pytest

from smsr_plugin.toolbox.option_error import OptionError
from smsr_plugin.toolbox.run_lock import only_training_in

#: Takes the lock, says so, and stays; with a child that outlives it, as a loader's worker may.
HOLDER = """
import os, sys, time
from pathlib import Path
from smsr_plugin.toolbox.run_lock import only_training_in
with only_training_in(Path(sys.argv[1])):
    if os.fork() == 0:
        time.sleep(60)
        os._exit(0)
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path):
    """Start another process that holds the lock of `tmp_path/experiments/x`."""
    folder = tmp_path / "experiments" / "x"
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(folder)],
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process, folder
    os.killpg(process.pid, signal.SIGKILL)
    process.stdout.close()
    process.wait()


def test_the_second_is_refused_with_the_firsts_number_and_machine(holder):
    process, folder = holder
    for _ in range(2):  # what the first refusal did must not spoil the second
        with pytest.raises(OptionError) as caught, only_training_in(folder):
            pass
        assert str(caught.value) == (
            f"{folder} is in use by another training (process {process.pid} on "
            f"{socket.gethostname()}); wait for it, stop it, or give this one another name"
        )


def test_others_are_not_in_the_way(holder):
    _, folder = holder
    with only_training_in(folder.with_name("y")):
        pass


def test_a_killed_process_leaves_no_lock_even_if_its_child_lives(holder):
    process, folder = holder
    process.kill()
    process.wait()
    with only_training_in(folder):
        assert str(os.getpid()) in folder.with_name(".x.lock").read_text()


def test_the_lock_lasts_as_long_as_the_block(tmp_path):
    folder = tmp_path / "x"
    context = multiprocessing.get_context("forkserver")
    with only_training_in(folder):
        assert _tried(context, folder) == 1
    assert _tried(context, folder) == 0


def _tried(context, folder: Path) -> int:
    process = context.Process(target=_try, args=(folder,))
    process.start()
    process.join(100)
    return process.exitcode


def _try(folder: Path) -> None:
    try:
        with only_training_in(folder):
            sys.exit(0)
    except OptionError:
        sys.exit(1)


def test_a_link_in_the_place_of_the_lock_is_not_followed(tmp_path):
    other = tmp_path / "other"
    other.write_text("mine")
    (tmp_path / ".x.lock").symlink_to(other)
    with pytest.raises(OptionError, match=r"\.x\.lock"), only_training_in(tmp_path / "x"):
        pass
    assert other.read_text() == "mine"


def test_smsr_train_refuses_before_it_touches_anything(holder, run_training, experiment, capsys):
    process, folder = holder
    folder.mkdir(parents=True)
    (folder / ".0123456789abcdef.tmp").touch()  # of a save that is under way
    before = sorted(folder.parent.rglob("*"))
    assert run_training({"name": "x"}, "--auto_resume") == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith(f"smsr train: error: {folder} is in use by another training (process")
    assert f"process {process.pid} on " in error
    assert sorted(folder.parent.rglob("*")) == before
    start = time.monotonic()
    assert run_training({"name": "free", "train:total_iter": 1}) == 0
    assert time.monotonic() - start < 60


@pytest.mark.parametrize("rank", [1, 7])
def test_of_several_processes_only_the_first_takes_it(holder, rank):
    from contextlib import ExitStack

    from smsr_plugin.toolbox.mends import Training

    _, folder = holder
    opt = {"rank": rank, "auto_resume": False, "num_gpu": 0, "manual_seed": 0}
    opt["path"] = {"experiments_root": str(folder), "models": "", "training_states": ""}
    with ExitStack() as stack:
        assert Training(stack).load_resume_state(opt) is None
        with pytest.raises(OptionError, match="in use"):
            Training(stack).load_resume_state({**opt, "rank": 0})
