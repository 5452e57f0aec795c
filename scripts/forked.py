"""Commands of `smsr` in processes of a fork server, which has imported everything once.

One costs a second in place of many; else it is as one that a shell has started: a session of its
own, its own folder, what it prints in files. Sparse inference in forked processes has one thread.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
from collections.abc import Sequence
from multiprocessing.context import ForkServerProcess
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
_context = multiprocessing.get_context("forkserver")
_context.set_forkserver_preload(
    [
        "smsr_plugin.cli.main",
        "smsr_plugin.compare.run",
        "smsr_plugin.data.prepare",
        "smsr_plugin.onnx_export",
        "smsr_plugin.report.measurements",
        "smsr_plugin.training.run.pipeline",
        "smsr_plugin.upscaling.batch",
    ]
)


def start(arguments: Sequence[str], folder: Path, printed: Path) -> ForkServerProcess:
    """Start `smsr` with some arguments.

    Args:
        arguments: Of the command line.
        folder: Where it runs.
        printed: An existing folder, which gets the files `stdout` and `stderr`.
    """
    process = _context.Process(target=_run, args=(list(arguments), folder, printed))
    process.start()
    return process


def kill(process: ForkServerProcess) -> None:
    """Kill a command with all that it has started, and wait for it."""
    try:
        os.killpg(process.pid or 0, signal.SIGKILL)
    except ProcessLookupError:  # it has no session yet, or has ended
        process.kill()
    process.join()


def _run(arguments: list[str], folder: Path, printed: Path) -> None:
    os.setsid()
    os.chdir(folder)
    # A child of a fork server would start its own children from another one.
    multiprocessing.set_start_method(multiprocessing.get_all_start_methods()[0], force=True)
    for descriptor, name in ((1, "stdout"), (2, "stderr")):
        file = os.open(printed / name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, descriptor)
        os.close(file)
    from smsr_plugin.cli.main import main

    sys.exit(main(arguments))
