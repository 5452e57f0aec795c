"""Parameters, multiply-adds and activations: of any network, of one with masks by its program.

The convention, everywhere in this package: one multiply-add counts once. Convolutions (also
transposed ones), linear layers and products of activations count; biases, activations,
normalisation, pooling, interpolation and mean shifts do not. Taps on the zero padding count.
"""

from __future__ import annotations

from smsr_plugin.complexity.counter import Complexity, lq_size, profile
from smsr_plugin.complexity.masked_cost import MaskedCost, masked_cost
from smsr_plugin.complexity.measured import Measured, measured

__all__ = [
    "Complexity",
    "MaskedCost",
    "Measured",
    "lq_size",
    "masked_cost",
    "measured",
    "profile",
]
