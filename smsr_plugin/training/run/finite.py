"""A training ends where its loss is NaN or infinite, with the iteration and the batch named."""

from __future__ import annotations

import math
from typing import Any

from smsr_plugin.training.errors import RunError
from smsr_plugin.training.model.nonfinite import NonFiniteError, suspects
from smsr_plugin.training.model.smsr_model import SMSRModel
from smsr_plugin.training.run.saving import Saver

ADVICE = "lower the learning rate or look at these images"


def stop_when_not_finite(model: Any, saver: Saver) -> None:
    """Raise RunError after a step of `model` that gave NaN or infinity.

    SMSRModel looks before it steps; of other models the losses that they log are looked at.

    Args:
        model: A BasicSR model that was just built; its methods are wrapped.
        saver: Knows what was saved last.
    """
    feed_data, optimize_parameters = model.feed_data, model.optimize_parameters
    images: list[str] = []

    def remember_and_feed(data: dict[str, Any]) -> None:
        images[:] = data.get("lq_path") or ()
        feed_data(data)

    def optimize_and_check(current_iter: int) -> None:
        try:
            optimize_parameters(current_iter)
            losses = {k: v for k, v in getattr(model, "log_dict", {}).items() if k.startswith("l_")}
            if not isinstance(model, SMSRModel) and not all(map(math.isfinite, losses.values())):
                # All processes log the same losses, so that all of them are here.
                raise NonFiniteError(current_iter, losses, suspects(True, images))
        except NonFiniteError as error:
            raise RunError(f"{error}; {ADVICE}; {saver.last_usable()}") from error

    model.feed_data, model.optimize_parameters = remember_and_feed, optimize_and_check
