"""The random numbers of a training: what they are for, what their seeds follow from; patches."""

from __future__ import annotations

import random
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

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
