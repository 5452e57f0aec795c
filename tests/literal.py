"""The operations of small networks spelled out in NumPy: the oracle of their tests."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.lib.stride_tricks import sliding_window_view

#: float64 sums of a few hundred terms in another order, through a few blocks
CLOSE = {"rtol": 1e-10, "atol": 1e-11}


class Literal:
    """Convolutions on the weights of a float64 network, by the names of its layers."""

    def __init__(self, net: torch.nn.Module) -> None:
        self.state = {name: tensor.numpy() for name, tensor in net.state_dict().items()}

    def conv(self, name: str, x: np.ndarray, stride: int = 1, padding: int = 0) -> np.ndarray:
        """Convolve, with bias if the layer has one."""
        weight = self.state[f"{name}.weight"]
        x = np.pad(x, [(0, 0), (0, 0), (padding, padding), (padding, padding)])
        windows = sliding_window_view(x, weight.shape[2:], (2, 3))[:, :, ::stride, ::stride]
        result = np.einsum("bchwij,ocij->bohw", windows, weight, optimize=True)
        bias = self.state.get(f"{name}.bias")
        return result if bias is None else result + bias[:, None, None]

    def conv3(self, name: str, x: np.ndarray) -> np.ndarray:
        """Convolve by 3×3, padded with zeros."""
        return self.conv(name, x, padding=1)


def leaky(x: np.ndarray, slope: float) -> np.ndarray:
    """Return LeakyReLU; ReLU with slope 0."""
    return np.where(x > 0, x, slope * x)


def sigmoid(x: np.ndarray) -> np.ndarray:
    return 1 / (1 + np.exp(-x))


def pixel_shuffle(x: np.ndarray, upscale: int) -> np.ndarray:
    """Map (B, C·s², H, W) to (B, C, H·s, W·s)."""
    batch, _, height, width = x.shape
    x = x.reshape(batch, -1, upscale, upscale, height, width)
    return np.einsum("bcijhw->bchiwj", x).reshape(batch, -1, height * upscale, width * upscale)


def resize_bilinear(x: np.ndarray, size: Sequence[int]) -> np.ndarray:
    """Resize (B, C, H, W) to (height, width), pixel centres aligned (align_corners false)."""
    rows, columns = (_bilinear(*sides) for sides in zip(x.shape[2:], size, strict=True))
    return np.einsum("yh,bchw,xw->bcyx", rows, x, columns)


def resize_nearest(x: np.ndarray, factor: int) -> np.ndarray:
    return x.repeat(factor, 2).repeat(factor, 3)


def seeded(build, seed: int = 0):
    """Return a float64 network with random weights, in evaluation mode."""
    torch.manual_seed(seed)
    return build().double().eval()


def _bilinear(size: int, new_size: int) -> np.ndarray:
    """Return the (new_size, size) matrix that interpolates between pixel centres."""
    centres = np.clip((np.arange(new_size) + 0.5) * size / new_size - 0.5, 0, size - 1)
    return np.maximum(0, 1 - np.abs(centres[:, None] - np.arange(size)))
