"""Trainings in processes of their own, which may be killed or go wrong in a real way.

The processes come from multiprocessing's fork server, which has imported torch and BasicSR once.
The functions that make things go wrong run in them before the training does.
"""

from __future__ import annotations

import multiprocessing
import os
import resource
import signal
import socket
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple, cast

import torch

#: Of processes that have imported what a training needs.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(["smsr_plugin.training.run.pipeline"])


@dataclass(frozen=True)
class Ending:
    """How a training ended: its exit code (−9 for SIGKILL), stdout and stderr."""

    code: int
    out: str
    err: str

    @property
    def error(self) -> str:
        """The last line of stderr, as a user sees it."""
        return self.err.splitlines()[-1]


def train(folder: Path, option_file: Path, *faults: Callable[[], None]) -> Ending:
    """Run `smsr train --auto_resume` below `folder` to its end, whatever that is."""
    arguments = ["train", "-opt", str(option_file), "--root", str(folder), "--auto_resume"]
    return call(folder, partial(_smsr, arguments), *faults)


def call(folder: Path, action: Callable[[], object], *faults: Callable[[], None]) -> Ending:
    """Call something, after some faults; what it returns is the exit code, None for 0."""
    (ending,) = _run([_Start(folder, action, faults)])
    return ending


def together(
    world_size: int,
    folder: Path,
    arguments: Sequence[str],
    *faults: Callable[[], None],
    at_rank: Mapping[int, Callable[[], None]] | None = None,
) -> list[Ending]:
    """Run `smsr` in several processes, as torchrun does, but let each end by itself.

    Args:
        world_size: How many.
        folder: What they print is kept there.
        arguments: Of the command line.
        faults: Done first in all processes.
        at_rank: Done first in some, by rank.

    Returns:
        How they ended, by rank.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    starts = []
    for rank in range(world_size):
        own = folder / f"rank{rank}"
        own.mkdir(exist_ok=True)
        variables = {"RANK": rank, "LOCAL_RANK": rank, "WORLD_SIZE": world_size}
        variables |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port, "TORCHELASTIC_RUN_ID": 1}
        mine = [fault for key, fault in (at_rank or {}).items() if key == rank]
        starts.append(_Start(own, partial(_smsr, arguments), (*faults, *mine), variables))
    return _run(starts)


class _Start(NamedTuple):
    """A process to start: where its output goes, what it does."""

    folder: Path
    action: Callable[[], object]
    faults: tuple[Callable[[], None], ...]
    variables: Mapping[str, object] = {}


def _run(starts: Sequence[_Start]) -> list[Ending]:
    processes = [CONTEXT.Process(target=_main, args=(start,)) for start in starts]
    for process in processes:
        process.start()
    last = time.monotonic() + 100
    for process in processes:
        process.join(max(0, last - time.monotonic()))
    texts = [[(start.folder / name).read_text() for name in ("out", "err")] for start in starts]
    if any(process.exitcode is None for process in processes):
        for process in processes:
            process.kill()
        raise TimeoutError(texts)
    codes = [cast(int, process.exitcode) for process in processes]
    return [Ending(code, *text) for code, text in zip(codes, texts, strict=True)]


def _main(start: _Start) -> None:
    for descriptor, name in ((1, "out"), (2, "err")):
        os.dup2(os.open(start.folder / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
    os.environ.update({name: str(value) for name, value in start.variables.items()})
    # A process of the fork server would also start the loader's workers through it.
    multiprocessing.set_start_method("fork", force=True)
    torch.set_num_threads(1)
    # Where the tests run in the background of a shell, Ctrl-C is ignored.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    for fault in start.faults:
        fault()
    sys.exit(start.action())


def _smsr(arguments: Sequence[str]) -> int:
    from smsr_plugin.cli.main import main

    return main(arguments)


def kill() -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def in_iteration(iteration: int, action: Callable[[], None]) -> None:
    """Do something in the middle of an iteration, between gradients and step."""
    from smsr_plugin.training.model.smsr_model import SMSRModel

    optimize_parameters = SMSRModel.optimize_parameters

    def act_before_the_step(model: Any, current_iter: int) -> None:
        step = model.optimizer_g.step
        if current_iter == iteration:
            model.optimizer_g.step = lambda: (action(), step())
        optimize_parameters(model, current_iter)
        model.optimizer_g.step = step

    SMSRModel.optimize_parameters = act_before_the_step


def in_validation(action: Callable[[], None]) -> None:
    """Do something at each image that a validation infers."""
    from smsr_plugin.training.model.smsr_model import SMSRModel

    infer = SMSRModel._infer
    SMSRModel._infer = lambda model, net: (action(), infer(model, net))[1]


def kill_in_save(call: str, count: int) -> None:
    """`kill -9` in a call of `fsync` (half of the file is there) or `replace`, counted from 1."""
    calls = iter(range(1, count))
    original = getattr(os, call)

    def kill_at_last(descriptor: Any, *args: Any, **kwargs: Any) -> Any:
        if next(calls, None) is None:
            if call == "fsync" and not os.path.isdir(f"/proc/self/fd/{descriptor}"):  # noqa: PTH112
                os.ftruncate(descriptor, os.fstat(descriptor).st_size // 2)
            kill()
        return original(descriptor, *args, **kwargs)

    setattr(os, call, kill_at_last)


def limit_file_size(size: int) -> None:
    """Let no file of the process grow beyond `size` bytes, as a quota does."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))


def nan_images(*iterations: int) -> None:
    """Feed NaN in these iterations."""
    from smsr_plugin.training.model.smsr_model import SMSRModel

    optimize_parameters = SMSRModel.optimize_parameters

    def optimize(model: Any, current_iter: int) -> None:
        if current_iter in iterations:
            model.lq = model.lq * float("nan")
        optimize_parameters(model, current_iter)

    SMSRModel.optimize_parameters = optimize


def hold_lock(folder: Path, sender: Connection) -> None:
    """Take the lock, say so, and stay; with a child that outlives it, as a loader's worker may."""
    from smsr_plugin.training.run.pipeline import only_training_in

    os.setsid()
    with only_training_in(folder):
        if os.fork() == 0:
            time.sleep(60)
            os._exit(0)
        sender.send("held")
        time.sleep(60)
