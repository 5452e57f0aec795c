"""Images a second of a server with so many processes and threads, forked or spawned.

    python scripts/server_recipe.py FOLDER

The part between the lines is the recipe: one `Upscaler` for each process, made when it starts.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import smsr_plugin
from smsr_plugin.images.reading import read_picture

# ─── the recipe ───────────────────────────────────────────────────────────────────────────────────
_upscaler: smsr_plugin.Upscaler | None = None


def start(threads: int) -> None:
    """Begin a process: load the network."""
    global _upscaler
    _upscaler = smsr_plugin.Upscaler(threads=threads)


def enlarge(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """Enlarge an image, in one of the processes."""
    assert _upscaler is not None
    return _upscaler(image)


def pool(processes: int, threads: int, method: str) -> ProcessPoolExecutor:
    """Return the processes; `submit(enlarge, image)` from any number of threads."""
    context = multiprocessing.get_context(method)
    return ProcessPoolExecutor(processes, context, start, (threads,))


# ──────────────────────────────────────────────────────────────────────────────────────────────────


def measured(images: list[Any], processes: int, threads: int, method: str) -> tuple[float, float]:
    """Return the seconds until all processes had answered once, and then images a second."""
    begun = time.perf_counter()
    with pool(processes, threads, method) as workers:
        list(workers.map(enlarge, images[:1] * 2 * processes))
        ready = time.perf_counter()
        list(workers.map(enlarge, images))
        return ready - begun, len(images) / (time.perf_counter() - ready)


def main(folder: str) -> None:
    images = [read_picture(path).colour for path in sorted(Path(folder).iterdir())]
    cores = len(os.sched_getaffinity(0))
    print(f"{len(images)} images, {cores} cores")
    for processes, threads in dict.fromkeys([(1, cores), (cores, 1), (cores, cores)]):
        for method in ("fork", "spawn"):
            ready, rate = measured(images, processes, threads, method)
            print(
                f"{processes} × {threads} {method:5}  ready in {ready:.1f} s, {rate:.2f} images/s"
            )


if __name__ == "__main__":
    main(sys.argv[1])
