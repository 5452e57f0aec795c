"""What ends a training between two iterations: save first, then stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

from basicsr.utils import get_root_logger

from smsr_plugin.processes import (
    FAILED,
    LOST,
    AgreedStop,
    LostProcessError,
    current,
    is_lost,
)
from smsr_plugin.training.data.loaders import SIGNALS
from smsr_plugin.training.options.errors import EndedElsewhereError, RunError
from smsr_plugin.training.run.saving import Saver


class Interruption(KeyboardInterrupt):
    """A signal has ended the run."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


def stop_together() -> None:
    """Wait for the other processes at the end of a run.

    Raises:
        Interruption: When a signal has ended another one.
        EndedElsewhereError: When another one cannot go on.
    """
    if code := current().agree():
        leave_together(code)
        raise ending(code)


def leave_together(code: int) -> None:
    """Meet once more before the end: when one process ends, its launcher ends the others."""
    with suppress(LostProcessError):
        current().agree(code)


def ending(code: int) -> BaseException:
    """Return the exception that ends a process which has agreed to stop."""
    if code == FAILED:
        return EndedElsewhereError("another process cannot go on")
    return Interruption(code)


class Watch:
    """Follows a training, and saves it when Ctrl-C, SIGTERM or an error ends it, as a context.

    Between two iterations nothing is half done, so that the training resumes as if it had not
    been stopped. A signal takes effect after the iteration, or at once while validating; a second
    one stops at once without saving. An error may come from an image, a worker that ran out of
    memory, or a validation; one inside an iteration saves nothing. Outside the main thread
    signals do not arrive, and only errors count.

    Several processes stop after the same iteration, whichever of them was told to or cannot go on,
    and leave when the first has saved.

    Args:
        save: Saves an iteration.
        saver: Knows what was saved last.

    Raises:
        Interruption: When a signal has ended the training.
        EndedElsewhereError: When another process cannot go on.
    """

    def __init__(self, save: Callable[[int], None], saver: Saver) -> None:
        self._save, self._saver = save, saver
        self._processes = current()
        self.current_iter = saver.last_iter
        self._complete, self._validating, self._stopping = True, False, False
        self._signum: int | None = None
        self._previous: dict[signal.Signals, Any] = {}

    def __enter__(self) -> None:
        if threading.current_thread() is threading.main_thread():
            self._previous = {signum: signal.signal(signum, self._remember) for signum in SIGNALS}

    def __exit__(self, kind: Any, error: BaseException | None, traceback: Any) -> None:
        try:
            if isinstance(error, Exception) and not isinstance(error, EndedElsewhereError):
                self._fail(error)
        finally:
            for signum, handler in self._previous.items():
                signal.signal(signum, handler)

    def begin(self, current_iter: int) -> None:
        """Begin an iteration, unless one of the processes has to stop."""
        if code := self._processes.agree(self._signum or 0):
            self._stop(code)
        self.current_iter, self._complete = current_iter, False

    @contextmanager
    def step(self) -> Iterator[None]:
        """Around the step of an iteration, which completes it."""
        try:
            yield
        except RuntimeError as error:
            if self._processes.launched and is_lost(error):
                raise LostProcessError(LOST) from error
            raise
        self._complete = True

    @contextmanager
    def validation(self) -> Iterator[None]:
        """Around a validation, which signals do not wait for."""
        self._validating = True
        try:
            yield
        except Interruption as interruption:
            self._stop(self._processes.agree(interruption.signum))
        except AgreedStop as agreed:
            self._stop(agreed.code)
        finally:
            self._validating = False

    def _remember(self, signum: int, frame: Any) -> None:
        """The handler of the first signal."""
        self._signum = signum
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The others would wait for a process that leaves a meeting half-way.
        if self._validating and not (self._processes.meeting or self._stopping):
            raise Interruption(signum)
        if self._processes.rank == 0 and not self._stopping:
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            print(f"Saving after this iteration; {name} again stops at once.", file=sys.stderr)

    def _stop(self, code: int) -> None:
        """End the training in all processes, which have agreed on `code`."""
        self._stopping = True
        try:
            self._save_complete("Stopped by another process" if code == FAILED else "Interrupted")
        finally:
            leave_together(code)
        raise ending(code)

    def _fail(self, error: Exception) -> None:
        """Save what is complete, and let the other processes stop where they wait."""
        # In the middle of an iteration they wait for gradients: they notice that this one leaves.
        lost = isinstance(error, LostProcessError)
        waited_for = self._complete and not self._stopping and not lost
        self._stopping = True
        if waited_for:
            leave_together(FAILED)
        try:
            if not isinstance(error, RunError):
                self._save_complete(f"Stopped by {type(error).__name__}")
        finally:
            if waited_for:
                leave_together(FAILED)

    def _save_complete(self, reason: str) -> None:
        """Save the last iteration if it is complete and was not saved."""
        if self._complete and self.current_iter > self._saver.last_iter:
            self._save(self.current_iter)
            text = f"{reason}; saved iteration {self.current_iter} for --auto_resume."
            get_root_logger().info(text)
