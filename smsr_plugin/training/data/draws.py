"""The seeds of a training's random numbers: what they are for, and what they follow from."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

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
