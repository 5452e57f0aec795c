"""The factors of a fuse's channels, from the means of what it fuses."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from smsr_plugin.archs.steps import Attention, Fuse
from smsr_plugin.sparse.native.packing import Array


def factors(step: Fuse[Array], means: Mapping[str, Array]) -> Array:
    """Return the factor of each channel, 1 without an attention.

    The fuse is linear: the mean of the fused features is the fuse of the means, and needs no pass
    over them.
    """
    if step.attention is None:
        return np.ones(len(step.bias))
    mean = np.concatenate([means[x] for x in step.xs])
    return attention_factor(step.attention, mean @ step.weight.T + step.bias)


def attention_factor(attention: Attention[Array], mean: Array) -> Array:
    """Return the factor of each channel, (C,), from the channels' means."""
    hidden = np.maximum(attention.squeeze @ mean + attention.squeeze_bias, 0)
    return 1 / (1 + np.exp(-(attention.excite @ hidden + attention.excite_bias)))
