"""What every network checks of its options and its input."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

#: Images in 0…1 overshoot it by little, and one in 0…255 that stays below this is black.
BRIGHTEST = 8.0


def check_counts(network: str, **counts: object) -> None:
    """Raise ValueError unless every option is a whole number from 1."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{network}: {name} must be a whole number from 1, got {value!r}")


def check_tensor(network: str, x: object, num_in_ch: int) -> None:
    """Raise TypeError unless `x` is a tensor of floating-point numbers, as images are."""
    from torch import Tensor  # the checks below do without

    expected = f"{network} takes a batch of shape (B, {num_in_ch}, H, W)"
    if not isinstance(x, Tensor):
        raise TypeError(
            f"{expected}, a tensor with values in 0…1, got {type(x).__module__}."
            f"{type(x).__name__}; torchvision's to_tensor(picture)[None] makes one of a picture"
        )
    if not x.is_floating_point():
        raise TypeError(
            f"{expected} with values in 0…1, got {x.dtype}; "
            "of a picture in 0…255, x.float() / 255 makes one"
        )


def check_batch(network: str, x: Tensor, num_in_ch: int) -> None:
    """Raise unless `x` is a batch of images (B, num_in_ch, H, W) of floating-point numbers.

    Raises:
        TypeError: If it is no tensor of such numbers.
        ValueError: If its shape does not fit.
    """
    check_tensor(network, x, num_in_ch)
    if x.ndim != 4 or x.shape[1] != num_in_ch or 0 in x.shape:
        raise ValueError(
            f"{network} takes a batch of shape (B, {num_in_ch}, H, W) with no empty side, "
            f"got {tuple(x.shape)}"
        )


def check_range(network: str, x: Tensor) -> None:
    """Raise ValueError if `x`, of any shape, is in 0…255 where 0…1 is expected.

    NaN and infinity pass: what is not a number shows in the result.
    """
    if x.device.type != "cpu" or not x.numel():
        return  # looking at values would make the device wait
    x = x.detach()
    # NumPy needs no threads: to wake PyTorch's takes longer, beside those of the kernels.
    highest = x.amax() if x.element_size() < 4 else x.numpy().max()
    check_brightest(network, float(highest))


def check_brightest(network: str, highest: float) -> None:
    """Raise ValueError if the highest value of an image says that it is in 0…255."""
    if BRIGHTEST < highest < float("inf"):
        raise ValueError(
            f"{network} takes values in 0…1, got values up to {highest:g}; "
            "if they are in 0…255, divide by 255"
        )


def check_threshold(threshold: float) -> float:
    """Return a threshold of masks as a float.

    Raises:
        ValueError: If it is not a number; −∞ (every pixel) and ∞ (none) are.
    """
    threshold = float(threshold)
    if math.isnan(threshold):
        raise ValueError("the threshold must be a number, from −inf (every pixel) to inf, got nan")
    return threshold
