"""Data sets and loaders: never empty, and as many epochs as the iterations need."""

from __future__ import annotations

import hashlib
import math
from logging import Logger
from pathlib import Path
from typing import Any, NamedTuple

from basicsr.data import build_dataset as basicsr_build_dataset

from smsr_plugin.processes import current
from smsr_plugin.training.data.data_order import IterationSampler, SeededDataset
from smsr_plugin.training.data.loader import RunLoader, build_dataloader
from smsr_plugin.training.data.named import NAMED
from smsr_plugin.training.data.pairs import image_paths
from smsr_plugin.training.data.validation_sets import check_together, check_validation_set
from smsr_plugin.training.options.errors import OptionError, mendable
from smsr_plugin.training.options.values import Options


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
