"""The filters by which the lq image is enlarged."""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.sparse.native.kernels import Floats

#: a of the cubic convolution kernel that PyTorch interpolates with.
BICUBIC_A = -0.75


def taps_of(base: Literal["bicubic", "bilinear", "nearest"], upscale: int) -> Floats:
    """Return the weights of pixels x − 2 … x + 2 for each of `upscale` phases, (upscale, 5).

    Output pixel x·s + i lies at x + (i + ½)/s − ½ of the input. Beyond the border the image is
    repeated, which is what PyTorch's interpolations amount to.
    """
    phase = (np.arange(upscale) + 0.5) / upscale - 0.5
    distance = np.abs(np.arange(-2, 3) - phase[:, None])
    if base == "bicubic":
        taps = _cubic(distance)
    elif base == "bilinear":
        taps = np.maximum(1 - distance, 0)
    else:
        taps = np.zeros_like(distance)
        taps[:, 2] = 1
    return taps.astype(np.float32)


def _cubic(t: NDArray[np.float64]) -> NDArray[np.float64]:
    a = BICUBIC_A
    near = ((a + 2) * t - (a + 3)) * t**2 + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))
