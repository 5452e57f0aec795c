"""What reading and writing beside the computing saves: a folder with and without, in turns.

    python scripts/overlap_ratio.py FOLDER [TIMES [THREADS]]

Prints the seconds of each run and the ratios of medians and least. Without the overlap is the same
code with its three stages called one after the other.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from smsr_plugin.upscaling import batch
from smsr_plugin.upscaling.enlarger import Enlarger
from smsr_plugin.upscaling.inputs import Naming, plan
from smsr_plugin.upscaling.loading import load_network


def in_turns(loaded: Iterator[Any], work: Any, write: Any, alone: Any) -> Iterator[Any]:
    """Do what `overlapped` does, one thing after the other."""
    return (write(work(item)) for item in loaded)


def main(folder: str, times: int = 3, threads: int | None = None) -> None:
    runs = batch.Batch(Enlarger(load_network(threads=threads)))
    overlapped, seconds = batch.overlapped, {"in turns": [], "overlapped": []}
    with tempfile.TemporaryDirectory() as out:
        jobs = plan([folder], Naming(Path(out) / "out", ext="png")).jobs
        list(runs.run(jobs[:1]))  # packs the weights
        for _ in range(times):
            for name, way in (("in turns", in_turns), ("overlapped", overlapped)):
                batch.overlapped = way  # type: ignore[assignment]
                start = time.perf_counter()
                states = {outcome.state for outcome in runs.run(jobs)}
                seconds[name].append(time.perf_counter() - start)
                assert states == {batch.State.DONE}
                print(f"{name:10} {seconds[name][-1]:.2f} s", flush=True)
    for what, of in (("medians", statistics.median), ("least", min)):
        one, other = map(of, seconds.values())
        print(f"{len(jobs)} images, {what}: {one / other:.2f} times as fast")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
