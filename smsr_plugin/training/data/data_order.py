"""Order, augmentation and noise of a training as pure functions of the seed and the iteration.

So that nothing hidden has to be restored when a training resumes: it sees the images, crops, flips
and Gumbel noise that it would have seen without the stop, whatever the number of workers.
"""

from __future__ import annotations

import math
import random
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from enum import IntEnum
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import Dataset, Sampler, get_worker_info

#: In a sample of a training: the seed of the noise in its spatial masks.
MASK_SEED = "mask_seed"


class Draw(IntEnum):
    """What random numbers are for; each has its own, whatever the other numbers of its key."""

    ORDER = 0  #: key: epoch
    SAMPLE = 1  #: key: epoch, position in its order
    STEP = 2  #: key: iteration, rank
    SPATIAL_MASKS = 3  #: key: epoch, position in its order
    CHANNEL_MASKS = 4  #: key: iteration


def seed_of(*key: int) -> int:
    """Return the seed, below 2⁶⁴, that follows from a key: `manual_seed`, a `Draw`, and more."""
    return int(np.random.SeedSequence(key).generate_state(1, np.uint64)[0])


def draw_by_detail(image: NDArray[np.float32], size: int, draws: int) -> tuple[int, int]:
    """Draw the place of a patch, the likelier the more detail it has.

    Of `draws` places drawn evenly one is taken with a probability that follows the square of the
    patch's mean difference between neighbours.

    Args:
        image: (H, W, C), 0…1, no side below `size`.
        size: Side of the patch, in pixels.
        draws: How many to choose from.

    Returns:
        Its first row and column.
    """
    height, width = image.shape[:2]
    places = [
        (random.randint(0, height - size), random.randint(0, width - size)) for _ in range(draws)
    ]
    patches = [image[top : top + size, left : left + size] for top, left in places]
    detail = [
        float(np.abs(np.diff(p, axis=0)).mean() + np.abs(np.diff(p, axis=1)).mean())
        for p in patches
    ]
    weights = [value**2 + 1e-12 for value in detail]
    return random.choices(places, weights)[0]


class Sample(NamedTuple):
    """Which image to load, and the key of the random numbers to load it with."""

    image: int
    key: tuple[int, ...]


class IterationSampler(Sampler[Sample]):
    """BasicSR's EnlargedSampler, shuffled by the seed, which can start inside an epoch.

    All processes of a distributed training share one order, and each takes its turn: the batches
    of one iteration together are the same for any number of processes, if together they are as
    large.

    Args:
        dataset_size: The number of images.
        seed: The `manual_seed` of the training, at least 0.
        ratio: How often an epoch repeats the images.
        world_size: The number of processes.
        rank: This one.
    """

    def __init__(
        self, dataset_size: int, seed: int, ratio: float = 1, world_size: int = 1, rank: int = 0
    ) -> None:
        self.dataset_size, self.seed = dataset_size, seed
        self.world_size, self.rank = world_size, rank
        self.total_size = math.ceil(dataset_size * ratio)
        self.epoch = 0
        self._resumed_epoch, self._resumed_position = 0, 0

    def set_epoch(self, epoch: int) -> None:
        self.epoch = epoch

    def resume(self, done: int, batch_size: int) -> None:
        """Start after `done` batches of this process, in the `epoch` of the next."""
        self._resumed_epoch, batches = divmod(done, len(self) // batch_size)
        self._resumed_position = batches * batch_size
        self.epoch = self._resumed_epoch

    def __len__(self) -> int:
        """The samples of a whole epoch in this process."""
        return self.total_size // self.world_size

    def __iter__(self) -> Iterator[Sample]:
        generator = torch.Generator().manual_seed(seed_of(self.seed, Draw.ORDER, self.epoch))
        order = torch.randperm(self.total_size, generator=generator).tolist()
        start = self._resumed_position if self.epoch == self._resumed_epoch else 0
        for turn in range(start, len(self)):
            position = turn * self.world_size + self.rank
            key = (self.seed, Draw.SAMPLE, self.epoch, position)
            yield Sample(order[position] % self.dataset_size, key)


class SeededDataset(Dataset[Any]):
    """Loads a `Sample` of a data set that draws from the generators of `random` and numpy.

    Where that gives a dict, the seed of the noise in the sample's masks is added.
    """

    def __init__(self, dataset: Any) -> None:
        self.dataset = dataset

    def __len__(self) -> int:
        return len(self.dataset)

    def __getitem__(self, sample: Sample) -> Any:
        with seeded(sample.key):
            loaded = self.dataset[sample.image]
        if isinstance(loaded, dict):
            seed, _, *key = sample.key
            # A batch of them is int64.
            loaded[MASK_SEED] = seed_of(seed, Draw.SPATIAL_MASKS, *key) >> 1
        return loaded


#: A prefetching thread and the training draw from the same generators.
_drawing = threading.Lock()


@contextmanager
def seeded(key: tuple[int, ...]) -> Iterator[None]:
    """Seed `random` and numpy, in a loader's worker torch as well, and restore the first two."""
    with _drawing:
        before = random.getstate(), np.random.get_state()  # noqa: NPY002 (BasicSR's)
        _seed_python(key)
        if get_worker_info() is not None:
            torch.manual_seed(seed_of(*key))
        try:
            yield
        finally:
            random.setstate(before[0])
            np.random.set_state(before[1])  # noqa: NPY002


def seed_iteration(seed: int, current_iter: int, rank: int) -> None:
    """Seed all generators of a process for one iteration of a training."""
    key = (seed, Draw.STEP, current_iter, rank)
    torch.manual_seed(seed_of(*key))
    with _drawing:
        _seed_python(key)


def _seed_python(key: tuple[int, ...]) -> None:
    random.seed(seed_of(*key))
    np.random.seed(np.random.SeedSequence(key).generate_state(4))  # noqa: NPY002
