"""A progress bar over the iterations of a training, beside BasicSR's log."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


@contextmanager
def progress_bar(model: Any, total_iter: int, start_iter: int = 0) -> Iterator[None]:
    """Show a bar on stderr while `model` trains; without a terminal, do nothing at all.

    BasicSR calls `update_learning_rate` first in each iteration, for every type of model: it is
    wrapped on the instance, so that the training step stays untouched. Log lines go above the bar.

    Args:
        model: A BasicSR model that was just built.
        total_iter: The iterations of the whole training.
        start_iter: Those done before.
    """
    with tqdm(total=total_iter, initial=start_iter, unit="iter", disable=None) as bar:
        if bar.disable:
            yield
            return
        update_learning_rate = model.update_learning_rate

        def update_and_tick(current_iter: int, *args: Any, **kwargs: Any) -> None:
            losses = getattr(model, "log_dict", {})
            shown = {name: f"{losses[name]:.3g}" for name in losses if name.startswith("l_")}
            bar.set_postfix(shown, refresh=False)
            bar.update(current_iter - 1 - bar.n)
            update_learning_rate(current_iter, *args, **kwargs)

        model.update_learning_rate = update_and_tick
        with logging_redirect_tqdm(loggers=[logging.getLogger("basicsr")]):
            yield
        bar.update(bar.total - bar.n)  # the last iteration has no next one to tick it
