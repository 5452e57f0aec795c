"""How a pipeline of BasicSR runs for `smsr train` and `smsr test`: what it calls, and how it ends.

Everything that is replaced around it while it runs stands in one table; the stages are what BasicSR
calls in place of its own functions.
"""

from __future__ import annotations

import os
import socket
import sys
import threading
import traceback
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from logging import Logger
from pathlib import Path
from typing import Any, NamedTuple

import basicsr.test
import basicsr.train
import basicsr.utils.logger

from smsr_plugin.machine import keep_freed_memory
from smsr_plugin.processes import LOST, LostProcessError, current, is_lost
from smsr_plugin.training.data.loaders import (
    Loaders,
    RunLoader,
    build_dataloader,
    build_validation_set,
    create_train_val_dataloader,
    data_facts,
)
from smsr_plugin.training.options.errors import OptionError, RunError, is_own_error, one_line
from smsr_plugin.training.options.values import Options
from smsr_plugin.training.run.interrupt import stop_together
from smsr_plugin.training.run.log import (
    TrainingLog,
    Writer,
    fresh_logger,
    init_wandb_logger,
    open_writer,
    start_log,
    thread_failed,
)
from smsr_plugin.training.run.options import Command, parse_options
from smsr_plugin.training.run.resume import load_resume_state
from smsr_plugin.training.run.run_model import DistributedModel, RunModel, Start, build

try:
    import fcntl
except ImportError:  # Windows, where two trainings are not kept apart
    fcntl = None

PIPELINES = {"train": basicsr.train.train_pipeline, "test": basicsr.test.test_pipeline}


@contextmanager
def only_training_in(folder: Path) -> Iterator[None]:
    """Keep other trainings out of the folder of an experiment while the block runs.

    The lock is on a file beside the folder, `.NAME.lock`, because a fresh start renames the
    folder. The kernel releases it when the process ends, however it ends; the file stays. It is a
    POSIX record lock: workers do not inherit it, so that one that outlives a killed training for
    some seconds does not hold it. On NFS it works between machines if the server supports locks;
    where a file system has none, the training runs without.

    Raises:
        OptionError: If another process has the lock, named by its number and machine, or the
            file cannot be made.
    """
    if fcntl is None:
        yield
        return
    path = folder.with_name(f".{folder.name}.lock")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        # Not through a link: what is written would go elsewhere.
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
    except OSError as error:
        raise OptionError(f"{path} cannot be written: {error.strerror}") from error
    try:
        try:
            fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError) as error:  # either, by POSIX
            holder = os.read(descriptor, 256).decode("utf-8", "replace").strip()
            raise OptionError(
                f"{folder} is in use by another training ({holder or 'unknown process'}); wait "
                "for it, stop it, or give this one another name"
            ) from error
        except OSError:
            yield
            return
        with suppress(OSError):  # on a full disk the others are refused without a name
            os.truncate(descriptor, 0)
            os.write(descriptor, f"process {os.getpid()} on {socket.gethostname()}\n".encode())
        yield
    finally:
        os.close(descriptor)


class Stages:
    """The stages of one run; each tells the next.

    Args:
        command: What was asked for.
        stack: Holds what lasts until the end of the run.
    """

    def __init__(self, command: Command, stack: ExitStack) -> None:
        self.command, self.stack = command, stack
        self.opt: Options = {}
        self.state: dict[str, Any] | None = None
        self.start: Start | None = None

    def parse_options(self, root_path: str, is_train: bool = True) -> tuple[Options, Any]:
        self.opt, arguments = parse_options(self.command, Path(root_path), is_train)
        return self.opt, arguments

    def load_resume_state(self, opt: Options) -> dict[str, Any] | None:
        if opt["rank"] == 0:  # before anything in the folder is swept away or archived
            self.stack.enter_context(only_training_in(Path(opt["path"]["experiments_root"])))
        self.state = load_resume_state(opt)
        return self.state

    def get_root_logger(self, log_file: str, **settings: Any) -> Logger:
        return start_log(log_file, self.command.quiet, **settings)

    def open_writer(self, log_dir: str) -> Writer | None:
        return open_writer(log_dir, self.opt)

    def create_loaders(self, opt: Options, logger: Logger) -> Loaders:
        iteration = 0 if self.state is None else self.state["iter"]
        loaders = create_train_val_dataloader(opt, logger, iteration)
        for loader in (loaders.train, *loaders.val):
            self.stack.callback(loader.close)
        ordered: Any = loaders.train.dataset
        facts = data_facts(ordered.dataset, opt["datasets"]["train"])
        self.start = Start(iteration, loaders.sampler, facts)
        if self.state is not None:  # batch size or data set may have changed since it was saved
            self.state["epoch"] = loaders.sampler.epoch
        return loaders

    def build_model(self, opt: Options) -> RunModel:
        assert self.start is not None, "the loaders come before the model"
        model = build(RunModel, opt, self.start)
        self.stack.enter_context(model.progress)
        self.stack.enter_context(model.watch)
        return model

    def build_dataset(self, section: Options) -> Any:
        return build_validation_set(section, self.opt)

    def build_dataloader(self, *args: Any, **settings: Any) -> RunLoader:
        loader = build_dataloader(*args, **settings)
        self.stack.callback(loader.close)
        return loader

    def build_tested_model(self, opt: Options) -> DistributedModel:
        return build(DistributedModel, opt)


class Replacement(NamedTuple):
    """One name, and what stands in its place."""

    owner: Any  #: The module that looks the name up.
    name: str
    value: Any
    reason: str  #: What is wrong with the original.


def replacements(stages: Stages) -> tuple[Replacement, ...]:
    """Return the table for a run: the training's rows in the order in which it calls them.

    What a model does differently is not here: it is a class, `RunModel`.
    """
    train, test = basicsr.train, basicsr.test
    rows = (
        (sys, "argv", stages.command.argv, "the copy of the option file notes the command line"),
        (basicsr.utils.logger, "initialized_logger", {}, "a second run would log to the first's"),
        (threading, "excepthook", thread_failed, "TensorBoard's thread prints tracebacks"),
        (train, "parse_options", stages.parse_options, "option files run code, nothing is checked"),
        (train, "load_resume_state", stages.load_resume_state, "needs CUDA, takes damaged states"),
        (train, "get_root_logger", stages.get_root_logger, "a full disk prints a page a line"),
        (train, "init_wandb_logger", init_wandb_logger, "calls what wandb no longer has"),
        (train, "init_tb_logger", stages.open_writer, "a full disk ends the training"),
        (train, "create_train_val_dataloader", stages.create_loaders, "stops an epoch early"),
        (train, "build_model", stages.build_model, "saving, resuming, stopping: see RunModel"),
        (train, "MessageLogger", TrainingLog, "at the end, `eta: -1 day`; no learning rate"),
        (test, "parse_options", stages.parse_options, "as above"),
        (test, "get_root_logger", stages.get_root_logger, "as above"),
        (test, "build_dataset", stages.build_dataset, "an empty folder has metrics of 0 / 0"),
        (test, "build_dataloader", stages.build_dataloader, "waits for a thread that has died"),
        (test, "build_model", stages.build_tested_model, "in several processes all validate"),
    )
    return tuple(Replacement(*row) for row in rows)


@contextmanager
def replaced(rows: Sequence[Replacement]) -> Iterator[None]:
    """Put the values of a table in place, and back what was there before."""
    before = [getattr(row.owner, row.name) for row in rows]
    try:
        for row in rows:
            setattr(row.owner, row.name, row.value)
        yield
    finally:
        for row, value in reversed(list(zip(rows, before, strict=True))):
            setattr(row.owner, row.name, value)


def run_pipeline(command: Command) -> None:
    """Run BasicSR's training or test pipeline, with what has to be replaced around it.

    Args:
        command: Which, and its arguments.

    Raises:
        OptionError: In one line, what the user can mend in options or data.
        RunError: In one line, what came up in the run: a full disk, a loss that is NaN.
        EndedElsewhereError: Another process has raised one of these.
        LostProcessError: Another process has gone.
        Interruption: After Ctrl-C or SIGTERM. Anything else that goes wrong is a bug and keeps its
            traceback.
    """
    try:
        root = _make_root(command.root)
        if command.pipeline == "train":
            keep_freed_memory()
        with ExitStack() as stack:
            stack.enter_context(fresh_logger())
            stack.enter_context(replaced(replacements(Stages(command, stack))))
            PIPELINES[command.pipeline](str(root))
            stop_together()
    except BaseException as error:
        # The error may be in a cycle with its frames; they hold the run's model and workers.
        traceback.clear_frames(error.__traceback__)
        _raise_in_one_line(error)
        raise


def _raise_in_one_line(error: BaseException) -> None:
    """Raise what ends the command in one line in place of an error that is no bug."""
    if isinstance(error, RunError):  # EndedElsewhereError too
        raise type(error)(one_line(error)) from None
    if current().launched and is_lost(error):
        raise LostProcessError(LOST) from error
    if is_own_error(error):
        raise OptionError(one_line(error)) from None
    if isinstance(error, OSError) and not isinstance(error, BrokenPipeError):
        where = f"{error.filename}: " if error.filename else ""
        raise RunError(f"{where}{error.strerror or one_line(error)}") from None


def _make_root(folder: Path) -> Path:
    root = folder.expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"--root {folder}: cannot be used as a folder: {error.strerror}"
        ) from error
    return root
