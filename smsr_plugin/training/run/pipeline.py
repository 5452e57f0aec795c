"""How a pipeline of BasicSR runs for `smsr train` and `smsr test`, and how it ends."""

from __future__ import annotations

import argparse
import sys
import traceback
from pathlib import Path
from unittest.mock import patch

from basicsr.test import test_pipeline
from basicsr.train import train_pipeline

from smsr_plugin.machine import keep_freed_memory
from smsr_plugin.processes import LOST, LostProcessError, current, is_lost
from smsr_plugin.training.errors import (
    EndedElsewhereError,
    OptionError,
    RunError,
    is_own_error,
    one_line,
)
from smsr_plugin.training.registration import register_all
from smsr_plugin.training.run.interrupt import stop_together
from smsr_plugin.training.run.mends import mended_basicsr

PIPELINES = {"train": train_pipeline, "test": test_pipeline}


def run_pipeline(args: argparse.Namespace) -> None:
    """Run BasicSR's training or test pipeline, mended.

    Args:
        args: The command line as `smsr train` and `smsr test` parse it; `command` says which.

    Raises:
        OptionError: In one line, what the user can mend in options or data.
        RunError: In one line, what came up in the run: a full disk, a loss that is NaN.
        EndedElsewhereError: Another process has raised one of these.
        LostProcessError: Another process has gone.
        Interruption: After Ctrl-C or SIGTERM. Anything else that goes wrong is a bug and keeps its
            traceback.
    """
    try:
        root = _make_root(args.root)
        register_all()
        if args.command == "train":
            keep_freed_memory()
        # BasicSR notes the command line in its copy of the option file.
        with patch.object(sys, "argv", ["smsr", *args.argv]), mended_basicsr(args):
            PIPELINES[args.command](str(root))
            stop_together()
    except KeyboardInterrupt as interruption:
        traceback.clear_frames(interruption.__traceback__)  # as below
        raise
    except EndedElsewhereError:
        raise
    except (ValueError, RuntimeError) as error:
        if current().launched and is_lost(error):
            raise LostProcessError(LOST) from error
        if not isinstance(error, RunError) and not is_own_error(error):
            raise
        # The error may be in a cycle with its frames; they hold the run's model and workers.
        traceback.clear_frames(error.__traceback__)
        kind = RunError if isinstance(error, RunError) else OptionError
        raise kind(one_line(error)) from None


def _make_root(folder: str) -> Path:
    root = Path(folder).expanduser().resolve()
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OptionError(
            f"--root {folder}: cannot be used as a folder: {error.strerror}"
        ) from error
    return root
