"""A training ends where its loss is NaN or infinite, with the iteration and the batch named."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager

from smsr_plugin.training.errors import RunError
from smsr_plugin.training.model.nonfinite import NonFiniteError, suspects
from smsr_plugin.training.run.saving import Saver

ADVICE = "lower the learning rate or look at these images"


def check_losses(current_iter: int, losses: Mapping[str, float], images: Sequence[str]) -> None:
    """Raise NonFiniteError if a loss of a step is NaN or infinite.

    Args:
        current_iter: The iteration.
        losses: By name, the same in all processes.
        images: The paths or keys of this process's batch.
    """
    if not all(map(math.isfinite, losses.values())):
        # All processes log the same losses, so that all of them are here.
        raise NonFiniteError(current_iter, losses, suspects(True, images))


@contextmanager
def nonfinite_explained(saver: Saver) -> Iterator[None]:
    """Make a RunError of a NonFiniteError, with what to do and what was saved last."""
    try:
        yield
    except NonFiniteError as error:
        raise RunError(f"{error}; {ADVICE}; {saver.last_usable()}") from error
