"""Data sets and loaders of a run: never empty, and as many epochs as the iterations need.

Their workers and threads end when the run does.
"""

from __future__ import annotations

import hashlib
import math
import signal
import weakref
from collections import deque
from collections.abc import Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from functools import partial
from logging import Logger
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from basicsr.data import build_dataset as basicsr_build_dataset
from basicsr.data import worker_init_fn
from basicsr.utils.dist_util import get_dist_info
from torch.utils.data import DataLoader, Sampler

from smsr_plugin.processes import current
from smsr_plugin.training.data.data_order import IterationSampler, SeededDataset
from smsr_plugin.training.data.image_sets import NAMED
from smsr_plugin.training.data.pairs import check_together, check_validation_set, image_paths
from smsr_plugin.training.options.errors import OptionError, mendable
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


class Loaders(NamedTuple):
    """What BasicSR's pipeline expects, in this order."""

    train: RunLoader
    sampler: IterationSampler
    val: list[RunLoader]
    epochs: int  #: One less: BasicSR runs one more, which would start the workers in vain.
    iterations: int


class DataFacts(NamedTuple):
    """What the order of a training's images follows from, beside the seed."""

    name: str
    images: int
    digest: str  #: SHA-256 of their names, in order.
    enlarge_ratio: float


def build_dataset(dataset_opt: Options) -> Any:
    """Build a data set from its section, as BasicSR does.

    Raises:
        OptionError: If it has no images, or the plugin's own data set refuses its options.
    """
    with mendable():
        named = NAMED.get(dataset_opt["type"])
        dataset = basicsr_build_dataset(dataset_opt) if named is None else named(dataset_opt)
    if len(dataset) == 0:
        roots = [str(v) for k, v in dataset_opt.items() if k.startswith("dataroot") and v]
        raise OptionError(
            f"data set {dataset_opt['name']}: there are no images in {' and '.join(roots)}; "
            "check the dataroot options"
        )
    _check_same_images(dataset, dataset_opt["name"])
    return dataset


def build_validation_set(section: Options, opt: Options) -> Any:
    """Build a data set to validate or test with.

    Args:
        section: Its options.
        opt: The options of the run.

    Raises:
        OptionError: As `build_dataset`; if an image is none, if two results would have one name,
            or if a metric cannot be measured on the smallest.
    """
    dataset = build_dataset(section)
    if opt.get("val") is not None:
        check_validation_set(dataset, opt)
    return dataset


def _check_same_images(dataset: Any, name: str) -> None:
    """Raise OptionError unless all processes, which share the images out by number, agree on them.

    A folder lists its files in an order of its own, which may differ on another machine's disk.
    """
    if len(set(current().gather((len(dataset), _names_digest(dataset))))) > 1:
        raise OptionError(
            f"data set {name}: the processes find different images, or in another order; put them "
            "on a disk that all machines share, or make LMDBs (smsr prepare) and copy those"
        )


def data_facts(dataset: Any, section: Options) -> DataFacts:
    """Return the facts of a data set and its section."""
    ratio = section.get("dataset_enlarge_ratio", 1)
    return DataFacts(section["name"], len(dataset), _names_digest(dataset), ratio)


def _names_digest(dataset: Any) -> str:
    names = "\n".join(Path(path).name for path in image_paths(dataset))
    return hashlib.sha256(names.encode("utf-8", "surrogateescape")).hexdigest()


def create_train_val_dataloader(opt: Options, logger: Logger, start_iter: int = 0) -> Loaders:
    """Build the loaders of a training, and count its epochs by the batches the loader yields.

    Takes the place of BasicSR's function, which counts a last, incomplete batch that the loader
    drops, so that training ends early. Order and augmentation follow the seed and the iteration,
    and the sampler's `epoch` is the one in which iteration `start_iter` + 1 lies.

    Args:
        opt: The options that BasicSR's `parse_options` returns.
        logger: Receives the statistics.
        start_iter: The iterations done before.

    Raises:
        OptionError: If a data set is empty, or there are too few images for one batch.
    """
    train_opt = opt["datasets"]["train"]
    ratio = train_opt.get("dataset_enlarge_ratio", 1)
    train_set = build_dataset(train_opt)
    size, seed = len(train_set), opt["manual_seed"]
    sampler = IterationSampler(size, seed, ratio, opt["world_size"], opt["rank"])
    train_loader = _loader(SeededDataset(train_set), train_opt, opt, sampler)
    if len(train_loader) == 0:
        raise OptionError(
            f"data set {train_opt['name']}: {len(train_set)} images (dataset_enlarge_ratio {ratio},"
            f" {opt['world_size']} processes) are fewer than one batch of "
            f"{train_loader.batch_size}; use more images, a larger dataset_enlarge_ratio or a "
            "smaller batch_size_per_gpu"
        )
    total_iters = int(opt["train"]["total_iter"])
    sampler.resume(start_iter, train_loader.batch_size or 1)
    total_epochs = math.ceil(total_iters / len(train_loader))
    logger.info(
        "Training statistics:"
        f"\n\tNumber of train images: {len(train_set)}"
        f"\n\tDataset enlarge ratio: {ratio}"
        f"\n\tBatch size per process: {train_loader.batch_size}"
        f"\n\tNumber of processes: {opt['world_size']}"
        f"\n\tIterations per epoch: {len(train_loader)}"
        f"\n\tTotal epochs: {total_epochs}; iters: {total_iters}."
    )
    val_loaders = [
        _val_loader(section, opt, logger)
        for phase, section in opt["datasets"].items()
        if phase != "train"
    ]
    check_together([loader.dataset for loader in val_loaders], opt)
    return Loaders(train_loader, sampler, val_loaders, total_epochs - 1, total_iters)


def _val_loader(section: Options, opt: Options, logger: Logger) -> RunLoader:
    dataset = build_validation_set(section, opt)
    logger.info(f"Number of val images/folders in {section['name']}: {len(dataset)}")
    return _loader(dataset, section, opt, sampler=None)


def _loader(
    dataset: Any, section: Options, opt: Options, sampler: IterationSampler | None
) -> RunLoader:
    return build_dataloader(
        dataset,
        section,
        num_gpu=opt["num_gpu"],
        dist=opt["dist"],
        sampler=sampler,
        seed=opt["manual_seed"],
    )
