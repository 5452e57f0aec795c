"""A folder of images on many machines, with Dask: nothing lost, nothing done twice.

    dask scheduler                                        # on one machine
    dask worker tcp://SCHEDULER:8786 --nthreads 1         # on each, as often as there is room
    python scripts/upscale_with_dask.py photos out --scheduler tcp://SCHEDULER:8786

Every machine sees both folders under the same names. Without --scheduler the workers run on this
machine. With --kill one of them is killed in the middle, to show what becomes of it.
"""

from __future__ import annotations

import argparse
import os
import signal
import time
from collections import Counter
from functools import cache
from pathlib import Path
from typing import Any

from dask.distributed import Client, LocalCluster, as_completed

import smsr_plugin
from smsr_plugin.upscaling.inputs import Naming, plan

#: Where each worker notes what it has finished, beside the results: a line for each image.
LOG = "done.log"


@cache
def upscaler(scale: int, threads: int) -> smsr_plugin.Upscaler:
    """Return the network; each process loads it once."""
    return smsr_plugin.Upscaler(scale=scale, threads=threads)


def enlarge(source: str, target: str, scale: int, threads: int) -> str:
    """Enlarge one image unless its result is there, which it is only when it is whole.

    Dask runs it again where a worker has died with the answer, or before there was one.
    """
    if Path(target).exists():
        return "was there"
    upscaler(scale, threads)(source, target)
    line = f"{os.getpid()} {source}\n".encode()
    log = os.open(Path(target).parent / LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
    os.write(log, line)  # a short line goes to the file in one piece
    os.close(log)
    return "done"


def work(client: Client, args: argparse.Namespace) -> tuple[Counter[str], list[str]]:
    """Enlarge all images; return how many were done or there, and a line for each that failed."""
    jobs = plan([args.folder], Naming(Path(args.out), ext="png"), recursive=True).jobs
    names = [(str(job.source), str(job.target)) for job in jobs]
    futures = {
        client.submit(enlarge, *pair, args.scale, args.threads, retries=3, pure=False): pair[0]
        for pair in names
    }
    states: Counter[str] = Counter()
    failed = []
    for number, future in enumerate(as_completed(futures), 1):
        if future.status == "finished":
            states[future.result()] += 1
        else:
            failed.append(f"{futures[future]}: {future.exception()}")
        if args.kill and number == len(names) // 3:
            kill(client)
    return states, failed


def kill(client: Client) -> None:
    """Kill the worker with most to do."""
    at_work = client.processing()
    busy = max(at_work, key=lambda worker: len(at_work[worker]))
    pid: Any = client.run(os.getpid, workers=[busy])[busy]
    os.kill(pid, signal.SIGKILL)
    print(f"killed worker {pid}, with {len(at_work[busy])} images before it", flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="A folder of images, with Dask.")
    parser.add_argument("folder")
    parser.add_argument("out")
    parser.add_argument("--scheduler", help="its address; by default workers on this machine")
    parser.add_argument("--workers", type=int, default=2, help="on this machine (%(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="of each worker (%(default)s)")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--kill", action="store_true", help="kill a worker in the middle")
    args = parser.parse_args()
    start = time.perf_counter()
    cluster = args.scheduler or LocalCluster(
        n_workers=args.workers, threads_per_worker=1, dashboard_address=":0"
    )
    with Client(cluster) as client:
        states, failed = work(client, args)
    if not args.scheduler:
        cluster.close()
    text = ", ".join(f"{count} {state}" for state, count in sorted(states.items()))
    print(f"{text or 'nothing done'}, {len(failed)} failed in {time.perf_counter() - start:.1f} s")
    print("\n".join(failed) or "none failed")
    lines = [log.read_text().splitlines() for log in Path(args.out).rglob(LOG)]
    times = Counter(line.split(" ", 1)[1] for log in lines for line in log)
    print(f"{len(times)} images computed, each {max(times.values(), default=0)} time(s) at most")


if __name__ == "__main__":
    main()
