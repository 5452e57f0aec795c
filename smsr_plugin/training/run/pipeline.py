"""How a pipeline of BasicSR runs for `smsr train` and `smsr test`, and how it ends."""

from __future__ import annotations

import traceback
from contextlib import ExitStack
from pathlib import Path

import basicsr.test
import basicsr.train

from smsr_plugin.machine import keep_freed_memory
from smsr_plugin.processes import LOST, LostProcessError, current, is_lost
from smsr_plugin.training.options.errors import OptionError, RunError, is_own_error, one_line
from smsr_plugin.training.run.interrupt import stop_together
from smsr_plugin.training.run.log import fresh_logger
from smsr_plugin.training.run.options import Command
from smsr_plugin.training.run.replacements import replaced, replacements
from smsr_plugin.training.run.stages import Stages

PIPELINES = {"train": basicsr.train.train_pipeline, "test": basicsr.test.test_pipeline}


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
