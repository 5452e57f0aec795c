"""The images of a validation set, shared out over the processes and put together again."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import chain
from typing import Any, NamedTuple

from torch.utils.data import DataLoader, Subset

from smsr_plugin.processes import current
from smsr_plugin.sparse import SparseStats
from smsr_plugin.training.model.validation_log import ImageMasks


class ValidatedImage(NamedTuple):
    """What one image of a validation set gave."""

    position: int  #: In the data set.
    figures: dict[str, float]  #: Metrics, density, cost and time.
    masks: ImageMasks | None  #: For TensorBoard, if that is wanted.


def my_share(dataloader: DataLoader[Any]) -> Iterable[tuple[int, Any]]:
    """Return this process's images of a validation set, each with its position in the set."""
    processes = current()
    if processes.world_size == 1:
        return enumerate(dataloader)
    share = processes.share(len(dataloader.dataset))  # type: ignore[arg-type]
    subset = Subset(dataloader.dataset, share)
    return zip(share, DataLoader(subset, pin_memory=dataloader.pin_memory), strict=True)


def all_shares(images: Sequence[ValidatedImage]) -> list[ValidatedImage]:
    """Return the images of all processes, in all of them, in the order of the data set.

    So that sums over them are those of one process, to the last bit.

    Raises:
        AgreedStop: If a process has to stop.
        LostProcessError: If one has gone.
    """
    together = chain.from_iterable(current().gather(list(images)))
    return sorted(together, key=lambda image: image.position)


def cost_figures(stats: SparseStats, seconds: float) -> dict[str, float]:
    """Return density, multiply-adds (10⁹) and time of one batch, per image."""
    images = len(stats.macs)
    return {
        "spa_density": stats.spa_density.mean().item(),
        "gmacs": sum(stats.macs) / images / 1e9,
        "gmacs_dense": stats.macs_dense / 1e9,
        "seconds": seconds / images,
    }


def averages(images: Sequence[ValidatedImage]) -> dict[str, float]:
    """Return the mean of each figure, and `macs_kept`."""
    means = {
        name: sum(image.figures[name] for image in images) / len(images)
        for name in images[0].figures
    }
    return {**means, "macs_kept": means["gmacs"] / means["gmacs_dense"]}
