"""A progress bar over the iterations of a training, beside BasicSR's log."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import ExitStack
from typing import Any

from tqdm import tqdm
from tqdm.contrib.logging import logging_redirect_tqdm


class Progress:
    """A bar on stderr, as a context; without a terminal nothing at all. Log lines go above it.

    Args:
        total_iter: The iterations of the whole training.
        start_iter: Those done before.
        shown: False for no bar.
    """

    def __init__(self, total_iter: int, start_iter: int = 0, shown: bool = True) -> None:
        self._total, self._start, self._shown = total_iter, start_iter, shown
        self._bar: tqdm[Any] | None = None
        self._stack = ExitStack()

    def __enter__(self) -> None:
        if not self._shown:
            return
        # None: on a terminal
        bar = tqdm(total=self._total, initial=self._start, unit="iter", disable=None)
        if bar.disable:
            return
        self._bar = bar
        self._stack.enter_context(bar)
        self._stack.enter_context(logging_redirect_tqdm(loggers=[logging.getLogger("basicsr")]))

    def __exit__(self, kind: type[BaseException] | None, *error: Any) -> None:
        if self._bar is not None and kind is None:
            self._bar.update(self._total - self._bar.n)  # no next iteration tells of the last
        self._stack.close()

    def begin(self, current_iter: int, losses: Mapping[str, float]) -> None:
        """Show that an iteration begins, and the losses of the one before."""
        if self._bar is not None:
            shown = {name: f"{value:.3g}" for name, value in losses.items()}
            self._bar.set_postfix(shown, refresh=False)
            self._bar.update(current_iter - 1 - self._bar.n)
