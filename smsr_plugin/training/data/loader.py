"""Loaders of a run's batches, whose workers and threads end when the run does."""

from __future__ import annotations

import signal
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from typing import Any, TypeVar

from basicsr.data import worker_init_fn
from basicsr.utils.dist_util import get_dist_info
from torch.utils.data import DataLoader, Sampler

from smsr_plugin.training.options.values import Options

T = TypeVar("T")
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class RunLoader(DataLoader[Any]):
    """A DataLoader that can be closed in the middle of an epoch.

    A process that ends waits for its workers, and workers leave signals to it (`start_worker`): one
    that has failed would wait for ever for those of a loader that nobody closes.

    Workers start when the first batch is asked for, because BasicSR makes an iterator more than it
    uses.

    Args:
        dataset: Where the samples come from.
        ahead: How many batches a thread has ready while the training computes, 0 for no thread;
            what the workers have ready comes on top.
        settings: DataLoader's own.
    """

    def __init__(self, dataset: Any, ahead: int = 0, **settings: Any) -> None:
        super().__init__(dataset, **settings)
        self.ahead = ahead
        self._epoch: weakref.ref[Generator[Any, None, None]] | None = None
        self._source: Any = None

    def __iter__(self) -> Any:
        epoch = self._batches()
        self._epoch = weakref.ref(epoch)
        return epoch

    def _batches(self) -> Generator[Any, None, None]:
        self._source = source = super().__iter__()
        try:
            if not self.ahead:
                yield from source
                return
            with closing(load_ahead(source, self.ahead)) as batches:
                yield from batches
        finally:
            if not self.persistent_workers:
                self._end_workers()

    def close(self) -> None:
        """End the epoch that is going on, its thread first and then its workers."""
        epoch = self._epoch and self._epoch()
        if epoch is not None:
            epoch.close()
        self._end_workers()

    def _end_workers(self) -> None:
        # DataLoader's iterator does so when it is freed, but the traceback of an error may hold it
        # until Python is at its end, and waits for the workers. Without workers there is nothing.
        end = getattr(self._source, "_shutdown_workers", None)
        if end is not None:
            end()
        self._source = None


def load_ahead(source: Iterator[T], count: int) -> Generator[T, None, None]:
    """Yield what `source` gives, while a thread already asks it for the next `count` items.

    Errors of `source` are raised here. The thread ends with the generator, at the latest when
    `source` has given the item that it was asked for.
    """
    end = object()
    pool = ThreadPoolExecutor(1, "load_ahead")
    try:
        coming = deque(pool.submit(next, source, end) for _ in range(count))
        while (item := coming.popleft().result()) is not end:
            coming.append(pool.submit(next, source, end))
            yield item  # type: ignore[misc]  # what is not `end` is a T
    finally:
        pool.shutdown(cancel_futures=True)


def build_dataloader(
    dataset: Any,
    section: Options,
    num_gpu: int = 1,
    dist: bool = False,
    sampler: Sampler[Any] | None = None,
    seed: int = 0,
) -> RunLoader:
    """Build the loader that the section of a data set describes, as BasicSR's function does.

    Args:
        dataset: The data set.
        section: Its section; `phase` is `train`, `val` or `test`.
        num_gpu: CUDA devices of this process, among which batches are cut.
        dist: Whether each device has a process of its own.
        sampler: The order; the data set's own without.
        seed: Of a training's workers.
    """
    settings: dict[str, Any] = {"batch_size": 1}
    if section["phase"] == "train":
        times = 1 if dist else max(num_gpu, 1)
        workers = section["num_worker_per_gpu"] * times
        start = partial(start_worker, num_workers=workers, rank=get_dist_info()[0], seed=seed)
        settings = {
            "batch_size": section["batch_size_per_gpu"] * times,
            "num_workers": workers,
            "sampler": sampler,
            "drop_last": True,
            "worker_init_fn": start,
            "persistent_workers": section.get("persistent_workers") or False,
        }
    threaded = section.get("prefetch_mode") == "cpu"
    return RunLoader(
        dataset,
        ahead=section.get("num_prefetch_queue", 1) if threaded else 0,
        pin_memory=section.get("pin_memory") or False,
        **settings,
    )


def start_worker(worker_id: int, **seeds: int) -> None:
    """Start a worker as BasicSR does, and leave signals to the main process.

    A terminal or a job manager sends them to all processes, and a worker that ends early fails
    the last iteration. A worker ends by itself when its main process does.
    """
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    worker_init_fn(worker_id, **seeds)
