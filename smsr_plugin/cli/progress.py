"""How far a long command is: a bar on a terminal, else a line a minute."""

from __future__ import annotations

import sys
import time
from typing import Self

from tqdm import tqdm

#: Seconds from one line to the next.
EVERY = 60.0


class Progress:
    """Counts the steps of a command on stderr.

    Args:
        command: Its name, with which lines begin.
        total: Steps.
        done: How many of them an interrupted run has taken.
    """

    def __init__(self, command: str, total: int, done: int = 0) -> None:
        self.command, self.total, self.done = command, total, done
        # None: on a terminal only.
        self.bar = tqdm(
            total=total, initial=done, unit="step", file=sys.stderr, disable=None, leave=False
        )
        self._told, self._at = done, time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.bar.close()

    def step(self, doing: str) -> None:
        """Count a step of something."""
        self.done += 1
        self.bar.set_postfix_str(doing, refresh=False)
        self.bar.update()
        elapsed = time.monotonic() - self._at
        if not self.bar.disable or elapsed < EVERY:
            return
        left = (self.total - self.done) * elapsed / (self.done - self._told)
        line = f"{self.done:,} of {self.total:,} steps, {tqdm.format_interval(left)} left ({doing})"
        print(f"smsr {self.command}: {line}", file=sys.stderr, flush=True)
        self._told, self._at = self.done, time.monotonic()
