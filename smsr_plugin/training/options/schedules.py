"""The temperature τ and the sparsity weight λ as pure functions of the iteration.

Both take the 1-based iteration that BasicSR counts and an explicit `iters_per_epoch`, so that
nothing has to be restored on resume. Epochs are fractional: the schedules move every iteration.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from smsr_plugin.config import SPARSITY_WARMUP_EPOCHS, TAU_EPOCHS, TAU_MIN
from smsr_plugin.training.options.values import Section, Whole


def epoch_of(current_iter: int, iters_per_epoch: int) -> float:
    """Return the epochs t that are complete before iteration `current_iter` (1-based).

    Raises:
        ValueError: If `current_iter` or `iters_per_epoch` is below 1.
    """
    if current_iter < 1 or iters_per_epoch < 1:
        raise ValueError(
            "schedules: current_iter and iters_per_epoch must be at least 1, "
            f"got {current_iter} and {iters_per_epoch}"
        )
    return (current_iter - 1) / iters_per_epoch


def tau(
    current_iter: int,
    iters_per_epoch: int,
    *,
    tau_min: float = TAU_MIN,
    tau_epochs: float = TAU_EPOCHS,
) -> float:
    """Return the Gumbel softmax temperature, τ_t = max(tau_min, 1 − t / tau_epochs).

    `tau_min=1` keeps τ constant at 1, as the released x2 weights were probably trained.

    Raises:
        ValueError: If `tau_min` is not in (0, 1] or `tau_epochs` is not above 0.
    """
    if not 0 < tau_min <= 1 or not tau_epochs > 0:
        raise ValueError(
            "schedules: tau_min must be in (0, 1] and tau_epochs above 0, "
            f"got {tau_min} and {tau_epochs}"
        )
    return max(tau_min, 1 - epoch_of(current_iter, iters_per_epoch) / tau_epochs)


def sparsity_weight(
    current_iter: int,
    iters_per_epoch: int,
    weight: float,
    *,
    warmup_epochs: float = SPARSITY_WARMUP_EPOCHS,
) -> float:
    """Return the weight of the sparsity loss, λ_t = λ₀ · min(t / warmup_epochs, 1).

    Args:
        current_iter: Iteration, 1-based.
        iters_per_epoch: Iterations per epoch.
        weight: λ₀, at least 0, for the value range of the pixel loss.
        warmup_epochs: Epochs of linear warm-up; 0 means none.

    Raises:
        ValueError: If `weight` or `warmup_epochs` is negative.
    """
    if weight < 0 or warmup_epochs < 0:
        raise ValueError(
            "schedules: weight and warmup_epochs must not be negative, "
            f"got {weight} and {warmup_epochs}"
        )
    t = epoch_of(current_iter, iters_per_epoch)
    return weight if t >= warmup_epochs else weight * t / warmup_epochs


Share = Annotated[float, Meta(gt=0, le=1)]


class MaskOptions(Section):
    """`train.masks`: how masks are learned by running quantiles.

    Attributes:
        density: The share of pixels that each block computes in the end. [it is a share of the
            pixels, e.g. {density: 0.4}]
        density_start: The share with which masks begin.
        dense_iters: Up to this iteration every pixel is computed.
        density_iters: Over so many iterations after them the density falls, linearly.
        detail_iters: Over so many iterations after them the weight of `detail_opt` falls to its
            `end_weight`.
        lr: The learning rate of mask predictors; ~ for that of the rest.
    """

    density: Share
    density_start: Share = 0.97
    dense_iters: Whole = 0
    density_iters: Whole = 0
    detail_iters: Whole = 0
    lr: Annotated[float, Meta(gt=0, lt=1)] | None = None

    def density_at(self, current_iter: int) -> float:
        """Return the density of a 1-based iteration; 1 while every pixel is computed."""
        done = current_iter - self.dense_iters
        if done <= 0:
            return 1.0
        share = min(done / self.density_iters, 1.0) if self.density_iters else 1.0
        return self.density + (self.density_start - self.density) * (1 - share)

    def detail_weight(self, current_iter: int, first: float, last: float) -> float:
        """Return the weight of the detail loss at a 1-based iteration."""
        done = current_iter - self.dense_iters
        share = min(done / self.detail_iters, 1.0) if self.detail_iters else 1.0
        return first + (last - first) * share
