"""How far an engine's output is from its oracle's.

The oracle computes in float64: for dense engines the network they were given; for sparse ones and
the masked-dense one the masked-dense SMSR with its own masks. A pixel whose mask decision an engine
takes otherwise than the oracle therefore counts as a difference, as it should.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.compare.engines.spec import Sources
from smsr_plugin.compare.networks.forms import build

#: Which network each one is compared with.
ORACLES = {"twin": "twin", "masked": "masked", "sparse": "masked", "rlfn": "rlfn"}


class Difference(NamedTuple):
    """Between two images whose values are in 0…1."""

    max_abs: float
    psnr: float | None  #: −10·log10 of the mean squared difference, dB; None if there is none.


def difference(output: NDArray[Any], expected: NDArray[Any]) -> Difference:
    """Compare an output with its oracle's.

    Raises:
        ValueError: If the shapes differ or the output is not finite.
    """
    if output.shape != expected.shape:
        raise ValueError(f"output has shape {output.shape}, expected {expected.shape}")
    error = np.abs(output.astype(np.float64) - expected)
    if not np.isfinite(error).all():
        raise ValueError("output is not finite")
    mean_square = float(np.mean(error**2))
    return Difference(float(error.max()), -10 * math.log10(mean_square) if mean_square else None)


@torch.inference_mode()
def oracle_output(oracle: str, sources: Sources, lq: NDArray[Any]) -> NDArray[np.float64]:
    """Return the float64 output of "twin", "masked" or "rlfn" for a (1, 3, H, W) image."""
    net = build(oracle, sources, "fp64")
    return net(torch.from_numpy(lq).double()).numpy()
