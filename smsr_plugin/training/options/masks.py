"""The options of masks by running quantiles: the section `train.masks`."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from smsr_plugin.training.options.values import Section, Whole, about

Share = Annotated[float, Meta(gt=0, le=1)]


class MaskOptions(Section):
    """`train.masks`: how masks are learned by running quantiles."""

    density: Annotated[
        Share,
        about(
            "The share of pixels that each block computes in the end.",
            advice="it is a share of the pixels, e.g. {density: 0.4}",
        ),
    ]
    density_start: Annotated[Share, about("The share with which masks begin.")] = 0.97
    dense_iters: Annotated[Whole, about("Up to this iteration every pixel is computed.")] = 0
    density_iters: Annotated[
        Whole, about("Over so many iterations after them the density falls, linearly.")
    ] = 0
    detail_iters: Annotated[
        Whole,
        about(
            "Over so many iterations after them the weight of `detail_opt` falls to its "
            "`end_weight`."
        ),
    ] = 0
    lr: Annotated[
        Annotated[float, Meta(gt=0, lt=1)] | None,
        about("The learning rate of mask predictors; ~ for that of the rest."),
    ] = None

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
