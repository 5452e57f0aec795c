"""Code that runs as in a new interpreter, which has done once such imports as take seconds."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).parents[1]
#: Runs each code in a fork and says how it ended; what it prints goes to files in its folder. What
#: is imported before knows neither BasicSR nor the package, nor OpenCV.
SERVE = """
import gc, json, os, signal, sys, traceback
import scipy.stats, torchvision
gc.freeze()
for line in sys.stdin:
    folder, code, arguments = json.loads(line)
    if os.fork() == 0:
        signal.alarm(240)
        os.chdir(folder)
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        for descriptor, name in ((1, "stdout"), (2, "stderr")):
            os.dup2(os.open(name, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.argv = ["-c", *arguments]
        status = 0
        try:
            exec(code, {"__name__": "__main__"})
        except SystemExit as error:
            status = error.code or 0
        except BaseException:
            traceback.print_exc()
            status = 1
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status)  # taking the imported modules down would take seconds again
    print(os.waitstatus_to_exitcode(os.wait()[1]), flush=True)
"""


class Done(NamedTuple):
    """How a code ended."""

    returncode: int
    stdout: str
    stderr: str


class Interpreter:
    """An interpreter with torch and torchvision; each code runs in a fork of it."""

    def __init__(self) -> None:
        # What is given comes first: kernels built for another processor lie elsewhere.
        places = os.pathsep.join((*filter(None, [os.environ.get("PYTHONPATH")]), str(ROOT)))
        self._process = subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", SERVE],
            stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
            env={**os.environ, "PYTHONPATH": places},
        )  # fmt: skip

    def __call__(self, folder: Path, code: str, *arguments: str) -> Done:
        """Run code; its current folder is `folder`, where what it prints is kept."""
        assert self._process.stdin
        assert self._process.stdout
        print(json.dumps((str(folder), code, arguments)), file=self._process.stdin, flush=True)
        status = int(self._process.stdout.readline())
        return Done(status, *((folder / name).read_text() for name in ("stdout", "stderr")))

    def close(self) -> None:
        self._process.communicate()
