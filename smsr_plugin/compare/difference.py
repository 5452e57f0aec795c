"""How far an engine's output is from the same network's in float64.

Of sparse and masked-dense networks that is the masked-dense SMSR with its own masks: a pixel whose
mask decision an engine takes otherwise therefore counts as a difference, as it should.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.compare.measurement import Difference
from smsr_plugin.networks.forms import masked_as
from smsr_plugin.networks.source import NetworkSource


def difference(output: NDArray[Any], expected: NDArray[Any]) -> Difference:
    """Compare an output with that of float64, values in 0…1.

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
def exact_output(source: NetworkSource, lq: NDArray[np.float32]) -> NDArray[np.float64]:
    """Return a network's output in float64 for a (1, 3, H, W) image."""
    x = torch.from_numpy(lq).double()
    if source.form == "twin":
        sr = masked_as("twin", source.load(), "fp64")(x)
    elif source.form:
        sr = masked_as("masked", source.load(), "fp64")(x, threshold=source.threshold)
    else:
        sr = source.load().double()(x)
    return sr.numpy()


class Exact:
    """The outputs in float64 for one image, each computed once.

    Args:
        lq: The image, (1, 3, H, W).
    """

    def __init__(self, lq: NDArray[np.float32]) -> None:
        self.lq = lq
        self._outputs: dict[str, NDArray[np.float64]] = {}

    def difference(self, source: NetworkSource, output: NDArray[Any]) -> Difference:
        """Return how far an output is from the source's; errors as of `difference`."""
        form = "masked" if source.form == "sparse" else source.form
        key = repr(replace(source, form=form))
        if key not in self._outputs:
            try:
                self._outputs[key] = exact_output(source, self.lq)
            except Exception as error:  # networks of any origin fail in any way
                reason = f"{type(error).__name__}: {error}"
                raise ValueError(f"does not run in float64: {reason}") from error
        return difference(output, self._outputs[key])
