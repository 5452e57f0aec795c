"""What every network for comparison checks of its options and its input."""

from __future__ import annotations

from torch import Tensor


def check_counts(network: str, **counts: object) -> None:
    """Raise ValueError unless every option is a whole number from 1."""
    for name, value in counts.items():
        if not isinstance(value, int) or isinstance(value, bool) or value < 1:
            raise ValueError(f"{network}: {name} must be a whole number from 1, got {value!r}")


def check_batch(network: str, x: Tensor, num_in_ch: int) -> None:
    """Raise ValueError unless `x` is a batch of images (B, num_in_ch, H, W)."""
    if x.ndim != 4 or x.shape[1] != num_in_ch or 0 in x.shape:
        raise ValueError(
            f"{network} takes a batch of shape (B, {num_in_ch}, H, W) with no empty side, "
            f"got {tuple(x.shape)}"
        )
