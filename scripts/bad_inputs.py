"""Run every command on bad inputs and write down what each printed: docs/bad_inputs.md.

    python scripts/bad_inputs.py > docs/bad_inputs.md

Each row is a command that really ran, in a folder of its own, with its exit code and the first line
that names the command, or else the last, of stderr, or of stdout if there is none. Nothing is
downloaded; the networks are tiny and random. The exit code is 1 if a command showed a traceback,
was killed by a signal, or took more than ten minutes.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import forked
from bad_input_cases import CASES, Case, base

SECONDS = 600
#: Columns of the longest cell.
WIDTH = 260


@dataclass(frozen=True)
class Done:
    """How a command ended: its exit code, negative for a signal, and what it printed."""

    code: int
    out: str
    err: str


def run(folder: Path, arguments: str) -> Done:
    """Run a command in a folder.

    Raises:
        TimeoutError: If it does not end.
    """
    with tempfile.TemporaryDirectory() as printed:
        process = forked.start(arguments.split(" "), folder, Path(printed))
        process.join(SECONDS)
        if process.exitcode is None:
            forked.kill(process)
            raise TimeoutError
        texts = (
            (Path(printed) / name).read_text(errors="replace") for name in ("stdout", "stderr")
        )
        return Done(process.exitcode, *texts)


def row(case: Case, folder: Path) -> tuple[str, str | None]:
    """Return the row of the table, and what is wrong with it."""
    base(folder)
    case.prepare(folder)
    try:
        done = run(folder, case.arguments)
    except TimeoutError:
        return f"| {case.what} | — | no end |", "took too long"
    lines = (done.err.strip() or done.out.strip() or "nothing").splitlines()
    said = next((line for line in lines if line.startswith("smsr ")), lines[-1])
    printed = said.replace(str(folder), "DIR").removeprefix("smsr ")
    printed = re.sub(r"process \d+ on \S+\)", "process N on HOST)", printed)
    printed = re.sub(r"\d+\.\d GB of free", "N GB of free", printed)
    printed = printed if len(printed) <= WIDTH else f"{printed[:WIDTH]}…"
    printed = printed.replace("|", "\\|").replace("`", "'")
    fault = None
    if "Traceback" in done.err or done.code < 0:
        fault = "traceback" if done.code >= 0 else "killed"
    if list(folder.rglob("it ran")):
        fault = "ran code"
    return f"| {case.what} | {done.code} | `{printed}` |", fault


def main() -> int:
    os.environ["TQDM_DISABLE"] = "1"
    os.environ.pop("SMSR_MAX_PIXELS", None)
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--only", nargs="+", metavar="TEXT", help="cases with one of these in them")
    args = parser.parse_args()
    print("# Bad inputs\n\nWhat each command says to inputs that it cannot use: the exit code and")
    print("the line on stderr. Made by `python scripts/bad_inputs.py > docs/bad_inputs.md`.")
    with tempfile.TemporaryDirectory() as folder:
        run(Path(folder), "options")  # the fork server has imported everything when cases begin
    command, faults = "", 0
    for case in CASES:
        if args.only and not any(text in f"{case.what} {case.arguments}" for text in args.only):
            continue
        if case.arguments.split(" ")[0] != command:
            command = case.arguments.split(" ")[0]
            print(f"\n## smsr {command}\n\n| input | exit code | printed |\n|---|---|---|")
        with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
            text, fault = row(case, Path(folder).resolve())
        print(text, flush=True)
        if fault:
            faults += 1
            print(f"{case.arguments}, {case.what}: {fault}", file=sys.stderr)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
