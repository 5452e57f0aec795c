"""Kill trainings with `kill -9` at random moments, resume them, and compare their final weights.

    python scripts/kill_loop.py -opt FILE --root DIR --rounds 30

First the training runs without being stopped. Then each round starts it anew, kills it with its
workers at a random moment in or before a random iteration, resumes it, and compares the final
weights bit by bit. The log tells the moment, not the clock, so that moments spread over the whole
training however busy the machine is. The exit code is 0 if all weights are equal. The processes
come from a fork server, so that a round costs little.
"""

from __future__ import annotations

import argparse
import random
import re
import shutil
import signal
import sys
import tempfile
import time
from pathlib import Path

import forked
import torch

from smsr_plugin.training.options.file import read_option_file

#: Of the log, which has a line for each iteration.
ITERATION = re.compile(r"iter: *([\d,]+), lr:")
EVERY_ITERATION = "logger:print_freq=1"
#: Seconds between two looks into the log.
LOOK = 0.005
RESUMED = re.compile(r"Resuming from .*, iteration (\d+)\.")


def main() -> int:
    args = parse_args()
    options = read_option_file(args.opt)
    experiment = args.root / "experiments" / options["name"]
    total_iter = options["train"]["total_iter"]
    command = ["train", "-opt", str(args.opt.resolve()), "--root", str(args.root.resolve())]
    command += ["--auto_resume", "--force_yml", EVERY_ITERATION]
    shutil.rmtree(experiment, ignore_errors=True)
    run_to_end(["options"])  # the fork server has imported everything when the clock starts
    start = time.monotonic()
    run_to_end(command)
    seconds = time.monotonic() - start
    straight = final_weights(experiment)
    print(f"not stopped: {seconds:.0f} s", flush=True)

    generator = random.Random(args.seed)
    identical = 0
    for number in range(1, args.rounds + 1):
        killed = False
        while not killed:  # the run may end before the moment comes
            shutil.rmtree(experiment, ignore_errors=True)
            iteration = generator.randrange(total_iter)
            rest = generator.uniform(0, 2 * seconds / total_iter)
            killed = run_and_kill(command, experiment, iteration, rest)
        resumed = RESUMED.search(run_to_end(command))
        same = equal(final_weights(experiment), straight)
        identical += same
        where = f"resumed at iteration {resumed[1]}" if resumed else "started afresh"
        result = "equal" if same else "DIFFERENT"
        print(f"{number}: killed after iteration {iteration}, {where}: {result}", flush=True)
    print(f"{identical} of {args.rounds} endings are identical")
    return 0 if identical == args.rounds else 1


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("-opt", type=Path, metavar="FILE", required=True, help="option file")
    parser.add_argument(
        "--root", type=Path, metavar="DIR", required=True, help="its experiment here is deleted"
    )
    parser.add_argument("--rounds", type=int, metavar="N", default=30, help="default: 30")
    parser.add_argument("--seed", type=int, default=0, help="of the random moments (default: 0)")
    return parser.parse_args()


def run_to_end(command: list[str]) -> str:
    """Run a training and return its stdout."""
    with tempfile.TemporaryDirectory() as folder:
        process = forked.start(command, Path.cwd(), Path(folder))
        process.join()
        out, err = ((Path(folder) / name).read_text() for name in ("stdout", "stderr"))
    if process.exitcode:
        sys.exit(f"the training failed with exit code {process.exitcode}:\n{err[-2000:]}")
    return out


def run_and_kill(command: list[str], experiment: Path, iteration: int, rest: float) -> bool:
    """Start a training, and kill it with its workers; return whether that was in time.

    Args:
        command: Of the training.
        experiment: Its folder.
        iteration: Which one the log must tell of before it is killed.
        rest: Seconds from there.
    """
    with tempfile.TemporaryDirectory() as folder:
        process = forked.start(command, Path.cwd(), Path(folder))
        while logged(experiment) < iteration and process.is_alive():
            time.sleep(LOOK)
        process.join(rest)
        forked.kill(process)
    return process.exitcode == -signal.SIGKILL


def logged(experiment: Path) -> int:
    """Return the last iteration that the log tells of, 0 for none."""
    text = "".join(path.read_text() for path in experiment.glob("train_*.log"))
    found = ITERATION.findall(text)
    return int(found[-1].replace(",", "")) if found else 0


def final_weights(experiment: Path) -> dict[str, torch.Tensor]:
    """Return all tensors of the networks that the end of a training saves."""
    return {
        f"{file.name} {part} {key}": tensor
        for file in sorted(experiment.glob("models/*_latest.pth"))
        for part, tensors in torch.load(file, weights_only=True).items()
        for key, tensor in tensors.items()
    }


def equal(a: dict[str, torch.Tensor], b: dict[str, torch.Tensor]) -> bool:
    return bool(a) and a.keys() == b.keys() and all(torch.equal(a[key], b[key]) for key in a)


if __name__ == "__main__":
    sys.exit(main())
