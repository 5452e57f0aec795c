"""Code that runs as if in a new interpreter, where such imports as take seconds were done once."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

#: Runs each code in a process of its own; what it says goes to files by its number.
RUN = """
import json, os, sys
for number, code in enumerate(json.load(sys.stdin)):
    if os.fork() == 0:
        for descriptor, name in ((1, "out"), (2, "err")):
            os.dup2(os.open(f"{number}.{name}", os.O_WRONLY | os.O_CREAT | os.O_TRUNC), descriptor)
        sys.exit(exec(code, {"__name__": "__main__"}))
    print(os.waitstatus_to_exitcode(os.wait()[1]))
"""


class Done(NamedTuple):
    """How a code ended."""

    returncode: int
    stdout: str
    stderr: str


def run_each(folder: Path, imported: str, codes: Mapping[str, str]) -> dict[str, Done]:
    """Run codes, each in a process of its own with the current folder `folder`.

    Args:
        folder: An empty one; what they print is kept there.
        imported: Modules that are imported before, such as "torch, scipy.stats".
        codes: By name.

    Returns:
        By name how they ended.
    """
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", f"import {imported}\n{RUN}"],
        input=json.dumps(list(codes.values())),
        cwd=folder, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    found = {}
    for number, (name, status) in enumerate(zip(codes, done.stdout.split(), strict=True)):
        texts = [(folder / f"{number}.{stream}").read_text() for stream in ("out", "err")]
        found[name] = Done(int(status), *texts)
    return found
