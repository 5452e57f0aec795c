"""Parameters, multiply-adds and activations: of any network, of one with masks by its program.

The convention, everywhere in this package: one multiply-add counts once. Convolutions (also
transposed ones), linear layers and products of activations count; biases, activations,
normalisation, pooling, interpolation and mean shifts do not. Taps on the zero padding count.
All but `masked_cost`, which does without PyTorch, is loaded on first use.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from smsr_plugin import lazy
from smsr_plugin.complexity.masked_cost import MaskedCost, masked_cost

if TYPE_CHECKING:
    from smsr_plugin.complexity.counter import Complexity, lq_size, profile

__all__ = [
    "Complexity",
    "MaskedCost",
    "lq_size",
    "masked_cost",
    "profile",
]

__getattr__, __dir__ = lazy.exports(
    __name__,
    {
        "Complexity": "smsr_plugin.complexity.counter",
        "lq_size": "smsr_plugin.complexity.counter",
        "profile": "smsr_plugin.complexity.counter",
    },
)
