"""Compare this build with others, each a checkout with its kernels built, as engines of one run.

    python scripts/compare_builds.py smsr_x2.safetensors --build old=../old,smsr_x2.pt \
        --images rocket china --engines ours-bf16 ours-int8 'openvino*' --out builds

All else is as in `smsr benchmark --preset engines`: processes that take turns, medians of the
rounds, results.json and results.md in OUT. Another build runs the first network, or a file of it
that it can read, in float32 ("old") beside "ours", in bfloat16 ("old-bf16") beside the others, in
an interpreter of its own that imports the package from its folder. A request to it and its answer
go through a pipe and are timed with it: about 0.1 ms.
"""

from __future__ import annotations

import argparse
import os
import pickle
import subprocess
import sys
from collections.abc import Collection, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import IO, cast

from tqdm import tqdm

from smsr_plugin.compare import outputs
from smsr_plugin.compare.resolve import ComparedNetwork
from smsr_plugin.compare.results import Comparison
from smsr_plugin.compare.run import Run, make_plan, without_folders
from smsr_plugin.engines.base import Engine, Image, Input, Job
from smsr_plugin.engines.spec import EngineSpec

#: How such an engine is named.
ANOTHER = "another build"
#: What the other build's interpreter runs; it uses what every version of the package has.
CHILD = """
import pickle, sys, torch
import smsr_plugin
weights, precision, threads, folder = sys.argv[1:]
assert smsr_plugin.__file__.startswith(folder), smsr_plugin.__file__
torch.set_num_threads(int(threads))
net = smsr_plugin.to_sparse(smsr_plugin.load(weights), precision)
answers = sys.stdout.buffer
x = torch.from_numpy(pickle.load(sys.stdin.buffer))
answers.write(b"r"); answers.flush()
with torch.inference_mode():
    for request in iter(lambda: sys.stdin.buffer.read(1), b""):
        sr = net(x)
        if request == b"o":
            pickle.dump(sr.numpy(), answers)
        answers.write(b"r"); answers.flush()
"""


class OtherBuild(Engine):
    """A network on the kernels of another checkout; one image in all."""

    def __init__(self, job: Job) -> None:
        assert job.source is not None
        assert job.source.weights is not None
        spec, folder = job.spec, job.spec.backend
        weights = str(Path(job.source.weights).resolve())  # the child works in its own folder
        words = [weights, spec.precision, str(spec.threads), folder]
        self._child = subprocess.Popen(
            [sys.executable, "-c", CHILD, *words],
            env={**os.environ, "PYTHONPATH": folder},
            cwd=folder,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        self._requests = cast(IO[bytes], self._child.stdin)
        self._answers = cast(IO[bytes], self._child.stdout)

    def prepare(self, given: Input) -> None:
        pickle.dump(given.lq, self._requests)
        self._requests.flush()
        self._await()

    def run(self, prepared: None) -> None:
        self._ask(b"x")
        self._await()

    def output(self, result: None) -> Image:
        self._ask(b"o")
        sr = pickle.load(self._answers)
        self._await()
        return sr

    def _ask(self, request: bytes) -> None:
        self._requests.write(request)
        self._requests.flush()

    def _await(self) -> None:
        if self._answers.read(1) != b"r":
            raise RuntimeError(f"its process ended with code {self._child.wait()}")


def load(job: Job) -> Engine:
    """Load a network in another build; called in the engine's process."""
    return OtherBuild(job)


def builds_of(
    name: str, place: str, first: ComparedNetwork, labels: Collection[str]
) -> list[ComparedNetwork]:
    """Return a build in the precisions it is compared in.

    Args:
        name: Of the build.
        place: Its folder, and behind a comma weights that it can read.
        first: One of ours.
        labels: Of all that take turns.
    """
    folder, _, weights = place.partition(",")
    module, threads = Path(__file__).stem, first.spec.threads
    assert first.source is not None
    source = replace(first.source, weights=Path(weights)) if weights else first.source
    return [
        replace(
            first,
            label=label,
            title="sparse",
            source=source,
            spec=EngineSpec(
                label, ANOTHER, module, threads, precision, backend=str(Path(folder).resolve())
            ),
        )
        for precision, label in (("fp32", name), ("bf16", f"{name}-bf16"))
        if any(theirs == label and own in labels for theirs, own in pairs(name))
    ]


def pairs(name: str) -> Sequence[tuple[str, str]]:
    """Return the labels of a build's precisions, each with one of ours that it is compared with."""
    return (name, "ours"), (f"{name}-bf16", "ours-bf16"), (f"{name}-bf16", "ours-int8")


def parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("networks", nargs="+", metavar="NETWORK")
    parser.add_argument("--build", action="append", required=True, metavar="NAME=DIR[,FILE]")
    parser.add_argument("--images", nargs="+", default=["rocket", "china", "flower", "small"])
    parser.add_argument("--engines", nargs="+", default=["ours", "ours-bf16"], metavar="NAME")
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--out", type=Path, default=Path("builds"))
    return parser.parse_args()


def gains(comparison: Comparison, names: list[str]) -> list[str]:
    """Return a line for each image: how many times as fast this build is."""
    lines = []
    for image in dict.fromkeys(m.image for n in comparison.networks for m in n.measurements):
        seconds = {
            network.label: median(measurement.seconds)
            for network in comparison.networks
            for measurement in network.measurements
            if measurement.image == image and measurement.seconds
        }
        for name in names:
            for theirs, own in pairs(name):
                old, new = seconds.get(theirs), seconds.get(own)
                if old and new:
                    lines.append(
                        f"{image}: {own} {new * 1e3:.1f} ms, {theirs} {old * 1e3:.1f} ms: "
                        f"{old / new:.2f} times as fast"
                    )
    return lines


def main() -> int:
    args = parsed()
    # The engines' processes import this file.
    os.environ["PYTHONPATH"] = os.pathsep.join(sys.path)
    plan = make_plan(
        args.networks,
        args.images,
        ["python", "scripts/compare_builds.py", *map(without_folders, sys.argv[1:])],
        args.threads,
        rounds=args.rounds,
        preset="engines",
        engines=args.engines,
    )
    first = next(n for n in plan.networks if n.label.startswith("ours"))
    names = []
    networks = list(plan.networks)
    for text in args.build:
        name, _, place = text.partition("=")
        names.append(name)
        networks += builds_of(name, place, first, [n.label for n in plan.networks])
    args.out.mkdir(parents=True, exist_ok=True)
    run = Run(replace(plan, networks=networks, details=False), args.out)
    with tqdm(total=run.total, disable=None) as bar:
        run.measure(lambda doing, done: (bar.set_postfix_str(doing), bar.update(done)))
    result = run.result()
    for network in result.networks:
        if network.run_by == ANOTHER:  # what was counted is the process that asks it
            network.measurements = [
                replace(m, peak_mib=None, running_peak_mib=None) for m in network.measurements
            ]
    outputs.write(result, args.out)
    failed = [f"{n.label}: {why}" for n in result.networks for why in n.failures.values()]
    print(*failed, *gains(result, names), sep="\n")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
