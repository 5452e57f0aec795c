"""Losses and gradients that are NaN or infinite."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from itertools import chain
from pathlib import Path

from smsr_plugin.names import listed, printable
from smsr_plugin.processes import current

#: How many images of a batch an error names.
NAMED_IMAGES = 4


class NonFiniteError(ArithmeticError):
    """A training step gave NaN or infinity.

    Args:
        current_iter: The iteration.
        values: What was computed, by name; all of it may be finite but the gradients.
        images: The paths or keys of the batch's images.
    """

    def __init__(
        self, current_iter: int, values: Mapping[str, float], images: Sequence[str]
    ) -> None:
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        names = listed([printable(Path(image).name) for image in images], NAMED_IMAGES)
        super().__init__(
            f"iteration {current_iter}: {', '.join(wrong) or 'a gradient is not finite'} "
            f"on the batch {names}"
        )


def suspects(finite: bool, images: Sequence[str]) -> list[str]:
    """Return the images whose loss is not finite, in any process; all if it was a gradient.

    Args:
        finite: Whether the loss of this process is.
        images: The paths or keys of its batch.
    """
    batches = current().gather((finite, list(images)))
    wrong = [names for is_finite, names in batches if not is_finite]
    return list(chain.from_iterable(wrong or [names for _, names in batches]))
