"""Peaks: the range of features that 8 bits inside an SMSR's blocks span, chosen by images.

A wide range rounds all values coarsely, a narrow one cuts the largest off: the peak of a plane
follows from the one with the least squared error over the values that images give it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr_plugin.archs.steps import OUT_LEVELS, X_LEVELS

if TYPE_CHECKING:
    from smsr_plugin.archs.smsr_arch import SMSR
    from smsr_plugin.archs.smsr_block import SparseMaskModule

#: Of photographs, which give enough values to choose by.
PIECES = 24
#: Peaks that are tried, as shares of the largest value.
SHARES = [share / 100 for share in range(100, 24, -3)]
#: Noise, text and fine patterns have larger features than photographs, and what is cut off of them
#: costs far more than what coarser levels cost photographs.
MARGIN = 1.5
#: Of the magnitudes up to the largest.
BINS = 1 << 16
#: Of a plane that is 0 throughout, which any peak is right for.
ANY = 1.0


@torch.no_grad()
def choose_peaks(net: SMSR, lq: Tensor) -> Tensor:
    """Return the peaks of each block's planes, with a margin; see `smsr_program.PEAKS`.

    A channel counts where it is computed: at every pixel or at those that are important at
    threshold 0.

    Args:
        net: In evaluation mode.
        lq: Images like those that the network will see, (N, num_in_ch, H, W), 0…1.

    Returns:
        (K, 1 + L), float32, finite and above 0.
    """
    rows: list[list[float]] = []

    def note(block: SparseMaskModule, inputs: tuple[Tensor, Tensor, Tensor | None]) -> None:
        planes = block.outputs(*inputs)
        peaks = [choose_peak(plane, OUT_LEVELS) for plane in planes]
        rows.append([MARGIN * peak for peak in (choose_peak(inputs[0], X_LEVELS), *peaks)])

    hooks = [block.register_forward_pre_hook(note) for block in net.smms()]
    try:
        net(lq)
    finally:
        for hook in hooks:
            hook.remove()
    return torch.tensor(rows)


def choose_peak(values: Tensor, levels: int) -> float:
    """Return the peak that loses least where values are rounded to levels between 0 and it.

    Args:
        values: Of any shape; a sign is held beside the level.
        levels: The largest level, which stands for the peak; 0 stands for 0.

    Returns:
        One of `SHARES` of the largest magnitude, above 0; `ANY` where all values are 0.
    """
    magnitudes = values.abs()
    most = magnitudes.max().item()
    if most == 0:
        return ANY
    # Values are counted by bins, which are much finer than levels. What is 0 is held exactly.
    bins = (magnitudes[magnitudes > 0] * (BINS / most)).long().clamp_(max=BINS - 1)
    counts = torch.bincount(bins, minlength=BINS).numpy()
    centres = (np.arange(BINS, dtype=np.float64) + 0.5) * (most / BINS)
    errors = [counts @ _rounding(centres, share * most, levels) ** 2 for share in SHARES]
    return SHARES[int(np.argmin(errors))] * most


def _rounding(values: NDArray[np.float64], peak: float, levels: int) -> NDArray[np.float64]:
    """Return what values from 0 lose to the nearest level."""
    step = peak / levels
    return np.minimum(np.round(values / step), levels) * step - values
