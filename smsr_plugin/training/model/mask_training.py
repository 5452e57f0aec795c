"""What a training does about masks; the paper's way and that by running quantiles are two of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from smsr_plugin.archs.gumbel import MaskSeeds
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR

#: Runs the network on lq images with arguments on its masks.
Forward = Callable[[Tensor, dict[str, Any]], MaskedOutput]


class MaskTraining(Protocol):
    """A way to train masks; the calls of an iteration in their order."""

    def begin(
        self, net: SMSR, lq: Tensor, seeds: MaskSeeds | None, current_iter: int, forward: Forward
    ) -> list[dict[str, Any]]:
        """Return the arguments on masks for each part of a batch.

        Args:
            net: The network.
            lq: The whole batch, (B, C, H, W), 0…1.
            seeds: Of the noise; None to take PyTorch's own generator.
            current_iter: 1-based.
            forward: Runs the network without taking a step.
        """
        ...

    def losses(
        self, out: MaskedOutput, reference: Tensor, lq: Tensor, current_iter: int
    ) -> dict[str, Tensor]:
        """Return the losses on the masks of a part, each a scalar, by their names in the log."""
        ...

    def see(self, out: MaskedOutput, share: float) -> None:
        """Note the masks of a part, which is a share of the batch in 0…1."""
        ...

    def end(self, net: SMSR, current_iter: int) -> None:
        """Follow the optimizer's step."""
        ...

    def schedules(self, current_iter: int) -> dict[str, float]:
        """Return what is set, not learned, in an iteration, for the log."""
        ...
