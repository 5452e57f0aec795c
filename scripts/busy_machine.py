"""Time sparse inference alone and beside other processes that do the same on the same cores.

    python scripts/busy_machine.py --weights SMSR_X2.pt --image lq.png

Prints the median seconds of a run for each way of waiting: threads that wait for work can watch for
it, which takes a core, or sleep, which takes time to wake from. `OMP_WAIT_POLICY` and
`GOMP_SPINCOUNT` say so to PyTorch's threads; the kernels' own team chooses by itself. The first
column is of one process alone, the second of one beside two others.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

POLICIES: dict[str, dict[str, str]] = {
    "default": {},
    "passive": {"OMP_WAIT_POLICY": "passive"},
    "spin 1000": {"GOMP_SPINCOUNT": "1000"},
    "spin 3000": {"GOMP_SPINCOUNT": "3000"},
    "spin 5000": {"GOMP_SPINCOUNT": "5000"},
    "spin 10000": {"GOMP_SPINCOUNT": "10000"},
    "active": {"OMP_WAIT_POLICY": "active"},
}
LIBRARY = ("OMP_WAIT_POLICY", "GOMP_SPINCOUNT")


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    add = parser.add_argument
    add("--weights", type=Path, required=True, metavar="FILE")
    add("--image", type=Path, required=True, metavar="LQ")
    add("--others", type=int, default=2, metavar="N", help="other processes (default: 2)")
    add("--seconds", type=float, default=4.0, metavar="S", help="of each measurement (default: 4)")
    add("--policies", nargs="+", default=list(POLICIES), choices=POLICIES, metavar="NAME")
    add("--rounds", type=int, default=1, metavar="N")
    add("--dense", action="store_true", help="time the dense network in PyTorch instead")
    add("--worker", action="store_true", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.worker:
        return work(args)
    times: dict[str, tuple[list[float], list[float]]] = {name: ([], []) for name in args.policies}
    for _ in range(args.rounds):
        for name in args.policies:
            for place, others in enumerate((0, args.others)):
                times[name][place].append(measure(args, POLICIES[name], others))
    print(f"{'policy':12} {'alone':>9} {f'beside {args.others}':>9}")
    for name, (alone, beside) in times.items():
        print(f"{name:12} {statistics.median(alone):9.4f} {statistics.median(beside):9.4f}")
    return 0


def measure(args: argparse.Namespace, policy: dict[str, str], others: int) -> float:
    """Return the median seconds of a run of one process, while others run as well."""
    command = [sys.executable, __file__, "--worker", "--weights", str(args.weights),
               "--image", str(args.image), "--seconds", str(args.seconds)]  # fmt: skip
    command += ["--dense"] * args.dense
    environment = {key: value for key, value in os.environ.items() if key not in LIBRARY}
    workers = [
        subprocess.Popen(
            command, env=environment | policy, text=True,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        )
        for _ in range(1 + others)
    ]  # fmt: skip
    try:
        for worker in workers:
            assert worker.stdout is not None
            worker.stdout.readline()
        for worker in workers:
            assert worker.stdin is not None
            worker.stdin.write("go\n")
            worker.stdin.flush()
        answers = [worker.stdout.readline() for worker in workers if worker.stdout is not None]
        return statistics.median(map(float, answers))
    finally:
        for worker in workers:
            worker.kill()
            worker.communicate()


def work(args: argparse.Namespace) -> int:
    """Load, say so, wait for the others, run for a while, print the median; go on until killed."""
    import numpy as np
    import torch
    from PIL import Image

    import smsr_plugin

    net = smsr_plugin.load(args.weights)
    run = net if args.dense else smsr_plugin.to_sparse(net)
    pixels = np.asarray(Image.open(args.image).convert("RGB"), np.float32) / 255
    x = torch.from_numpy(pixels).permute(2, 0, 1)[None].contiguous()
    with torch.no_grad():
        for _ in range(3):
            run(x)
        print("ready", flush=True)
        sys.stdin.readline()
        taken, end = [], time.monotonic() + args.seconds
        while time.monotonic() < end or len(taken) < 3:
            start = time.perf_counter()
            run(x)
            taken.append(time.perf_counter() - start)
        print(statistics.median(taken), flush=True)
        while True:  # the others may still measure
            run(x)


if __name__ == "__main__":
    sys.exit(main())
