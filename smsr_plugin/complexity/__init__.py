"""Parameters, multiply-adds and activations: of any network, of SMSR by formula and for an image.

The convention, everywhere in this package: one multiply-add counts once. Convolutions (also
transposed ones), linear layers and products of activations count; biases, activations,
normalisation, pooling, interpolation and mean shifts do not. Taps on the zero padding count.
"""

from __future__ import annotations

from smsr_plugin.complexity.counter import Complexity, profile
from smsr_plugin.complexity.measured import Measured, dense_channels, measured
from smsr_plugin.complexity.smsr_cost import SMSRCost, lq_size

__all__ = [
    "Complexity",
    "Measured",
    "SMSRCost",
    "dense_channels",
    "lq_size",
    "measured",
    "profile",
]
