"""The options of masks by running quantiles: the section `train.masks`."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class MaskOptions:
    """The section `train.masks`.

    Attributes:
        density: The share of pixels that each block computes in the end, above 0, at most 1.
        density_start: The share with which masks begin.
        dense_iters: Up to this iteration every pixel is computed.
        density_iters: Over so many iterations after them the density falls, linearly.
        detail_iters: Over so many iterations after them the weight of `train.detail_opt` falls
            to its `end_weight`.
        lr: The learning rate of mask predictors; None: that of the rest.
    """

    density: float
    density_start: float = 0.97
    dense_iters: int = 0
    density_iters: int = 0
    detail_iters: int = 0
    lr: float | None = None

    def __post_init__(self) -> None:
        for name in ("density", "density_start"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= 1:
                raise ValueError(
                    f"train.masks.{name} must be a share of the pixels, above 0 and at most 1, "
                    f"got {value!r}"
                )
        for name in ("dense_iters", "density_iters", "detail_iters"):
            value = getattr(self, name)
            if isinstance(value, bool) or not isinstance(value, int) or value < 0:
                raise ValueError(
                    f"train.masks.{name} must be a whole number of at least 0, got {value!r}"
                )
        if self.lr is not None and (not isinstance(self.lr, int | float) or not 0 < self.lr < 1):
            raise ValueError(
                f"train.masks.lr must be a number above 0 and below 1, or ~, got {self.lr!r}"
            )

    def density_at(self, current_iter: int) -> float:
        """Return the density of a 1-based iteration; 1 while every pixel is computed."""
        done = current_iter - self.dense_iters
        if done <= 0:
            return 1.0
        share = min(done / self.density_iters, 1.0) if self.density_iters else 1.0
        return self.density_start + (self.density - self.density_start) * share

    def detail_weight(self, current_iter: int, first: float, last: float) -> float:
        """Return the weight of the detail loss at a 1-based iteration."""
        done = current_iter - self.dense_iters
        share = min(done / self.detail_iters, 1.0) if self.detail_iters else 1.0
        return first + (last - first) * share
