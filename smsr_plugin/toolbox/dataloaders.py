"""Data sets and loaders: never empty, and as many epochs as the iterations need."""

from __future__ import annotations

import math
from logging import Logger
from typing import Any

from basicsr.data import build_dataloader
from basicsr.data import build_dataset as basicsr_build_dataset
from basicsr.data.data_sampler import EnlargedSampler
from torch.utils.data import DataLoader

from smsr_plugin.toolbox.mendable import mendable
from smsr_plugin.toolbox.option_error import OptionError
from smsr_plugin.toolbox.option_file import Options

#: What BasicSR's pipeline expects: train loader, its sampler, val loaders, epochs, iterations.
Loaders = tuple[DataLoader[Any], EnlargedSampler, list[DataLoader[Any]], int, int]


def build_dataset(dataset_opt: Options) -> Any:
    """Build a data set from its section, as BasicSR does.

    Raises:
        OptionError: If it has no images, or the plugin's own data set refuses its options.
    """
    with mendable():
        dataset = basicsr_build_dataset(dataset_opt)
    if len(dataset) == 0:
        roots = [str(v) for k, v in dataset_opt.items() if k.startswith("dataroot") and v]
        raise OptionError(
            f"data set {dataset_opt['name']}: there are no images in {' and '.join(roots)}; "
            "check the dataroot options"
        )
    return dataset


def create_train_val_dataloader(
    opt: Options, logger: Logger, start_epoch: int = 0, start_iter: int = 0
) -> Loaders:
    """Build the loaders of a training, and count its epochs by the batches the loader yields.

    Takes the place of BasicSR's function, which counts a last, incomplete batch that the loader
    drops, so that training ends early. A resumed training gets the epochs for the iterations that
    are left, even if the batch size or the data set has changed since.

    Args:
        opt: The options that BasicSR's `parse_options` returns.
        logger: Receives the statistics.
        start_epoch: The 0-based epoch in which training resumes.
        start_iter: The iterations done before.

    Raises:
        OptionError: If a data set is empty, or there are too few images for one batch.
    """
    train_opt = opt["datasets"]["train"]
    ratio = train_opt.get("dataset_enlarge_ratio", 1)
    train_set = build_dataset(train_opt)
    sampler = EnlargedSampler(train_set, opt["world_size"], opt["rank"], ratio)
    train_loader = _loader(train_set, train_opt, opt, sampler)
    if len(train_loader) == 0:
        raise OptionError(
            f"data set {train_opt['name']}: {len(train_set)} images (dataset_enlarge_ratio {ratio},"
            f" {opt['world_size']} processes) are fewer than one batch of "
            f"{train_loader.batch_size}; use more images, a larger dataset_enlarge_ratio or a "
            "smaller batch_size_per_gpu"
        )
    total_iters = int(opt["train"]["total_iter"])
    total_epochs = start_epoch + math.ceil(max(0, total_iters - start_iter) / len(train_loader))
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
    # BasicSR runs one epoch more than this says, which would start the workers in vain.
    return train_loader, sampler, val_loaders, total_epochs - 1, total_iters


def _val_loader(section: Options, opt: Options, logger: Logger) -> DataLoader[Any]:
    dataset = build_dataset(section)
    logger.info(f"Number of val images/folders in {section['name']}: {len(dataset)}")
    return _loader(dataset, section, opt, sampler=None)


def _loader(
    dataset: Any, section: Options, opt: Options, sampler: EnlargedSampler | None
) -> DataLoader[Any]:
    return build_dataloader(
        dataset,
        section,
        num_gpu=opt["num_gpu"],
        dist=opt["dist"],
        sampler=sampler,
        seed=opt["manual_seed"],
    )
