"""What a network itself says, which engines are held to: its output in float64, its masks.

Of sparse and masked-dense networks the output is that of the masked-dense SMSR with its own masks:
a pixel whose mask decision an engine takes otherwise counts as a difference, as it should.

Masks of a wanted density have the shapes that the network itself draws: the threshold of the mask
decision, logit 1 − logit 0 > t, is moved until the mean of all blocks' masks has that density.
Blocks keep their differences: some are denser than the mean. The sparse network is then run with
that threshold and predicts its masks itself, so that the time of the mask predictors, which every
real inference needs, is in the figure. With masks given from outside it would be missing.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, NamedTuple, cast

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr_plugin.archs.masked import MaskedNetwork, MaskedOutput
from smsr_plugin.compare.results import Difference
from smsr_plugin.networks.forms import masked_as
from smsr_plugin.networks.source import NetworkSource

#: How near to the wanted density is near enough.
TOLERANCE = 0.005
#: Runs of the network for one density at most.
ATTEMPTS = 4


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


class Threshold(NamedTuple):
    """A threshold and what it gives."""

    threshold: float
    density: float  #: The mean spatial density it was seen to give.


@torch.inference_mode()
def thresholds_for(net: MaskedNetwork, x: Tensor, densities: Sequence[float]) -> list[Threshold]:
    """Find thresholds that give mean spatial densities on an image.

    A block's logits depend on the masks of the blocks before it, so one look at all logits does
    not give the threshold: it is taken from the logits that the last threshold led to, until the
    density is within `TOLERANCE` or `ATTEMPTS` runs are over. A few runs do for trained networks.

    Args:
        net: In evaluation mode.
        x: (1, num_in_ch, H, W), 0…1.
        densities: In 0…1; neighbours help each other, so give them in order.

    Raises:
        ValueError: If a density is not in 0…1.
    """
    if not all(0 <= density <= 1 for density in densities):
        raise ValueError(f"densities must be in 0…1, got {list(densities)}")
    found, logits = [], mask_logits(net, x, 0.0)
    for density in densities:
        candidates = []
        for _ in range(ATTEMPTS):
            threshold = threshold_of(logits, density)
            logits = mask_logits(net, x, threshold)
            reached = float((logits > threshold).double().mean())
            candidates.append(Threshold(threshold, reached))
            if abs(reached - density) <= TOLERANCE:
                break
        found.append(min(candidates, key=lambda candidate: abs(candidate.density - density)))
    return found


def mask_logits(net: MaskedNetwork, x: Tensor, threshold: float) -> Tensor:
    """Return logit 1 − logit 0 of all blocks, (K, H, W), when the masks follow `threshold`."""
    logits = cast(MaskedOutput, net(x, threshold=threshold, return_masks=True)).logits
    assert logits is not None, "the network decides its masks itself"
    return logits[0]


def threshold_of(logits: Tensor, density: float) -> float:
    """Return the threshold above which the wanted share of the logits lies, ties aside.

    It lies half-way between two logits, so that rounding elsewhere does not move it past one.
    """
    ascending = logits.flatten().double().sort().values
    below = round((1 - density) * len(ascending))
    if below == 0:
        return float("-inf")
    if below == len(ascending):
        return float("inf")
    return float((ascending[below - 1] + ascending[below]) / 2)
