"""What ends a training between two iterations: save first, then stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

from basicsr.data import worker_init_fn as basicsr_worker_init_fn
from basicsr.utils import get_root_logger

from smsr_plugin.processes import (
    FAILED,
    LOST,
    AgreedStop,
    LostProcessError,
    current,
    is_lost,
)
from smsr_plugin.training.data.data_order import IterationSampler
from smsr_plugin.training.errors import EndedElsewhereError, RunError
from smsr_plugin.training.run.saving import Saver

SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Interruption(KeyboardInterrupt):
    """A signal has ended the run."""

    def __init__(self, signum: int) -> None:
        super().__init__(signum)
        self.signum = signum


@contextmanager
def save_on_interrupt(model: Any, sampler: IterationSampler, saver: Saver) -> Iterator[None]:
    """Save `model` when Ctrl-C, SIGTERM or an error ends the training between two iterations.

    Between two iterations nothing is half done, so that the training resumes as if it had not
    been stopped. A signal takes effect after the iteration, or at once while validating; a second
    one stops at once without saving. An error may come from an image, a worker that ran out of
    memory, or a validation; one inside an iteration saves nothing. Outside the main thread
    signals do not arrive, and only errors count.

    Several processes stop after the same iteration, whichever of them was told to or cannot go on,
    and leave when the first has saved.

    Args:
        model: A BasicSR model that was just built; its methods are wrapped.
        sampler: Knows the epoch.
        saver: Knows what was saved last.

    Raises:
        Interruption: When a signal has ended the training.
        EndedElsewhereError: When another process cannot go on.
    """
    watch = _Watch(model, sampler, saver)
    previous = {}
    if threading.current_thread() is threading.main_thread():
        previous = {signum: signal.signal(signum, watch.remember) for signum in SIGNALS}
    try:
        yield
    except EndedElsewhereError:
        raise
    except Exception as error:
        watch.fail(error)
        raise
    finally:
        for signum, handler in previous.items():
            signal.signal(signum, handler)


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


class _Watch:
    """Follows a training: which iteration was the last, and whether it is complete."""

    def __init__(self, model: Any, sampler: IterationSampler, saver: Saver) -> None:
        self.model, self.sampler, self.saver = model, sampler, saver
        self.processes = current()
        self.current_iter = saver.last_iter
        self.complete, self.validating, self.stopping = True, False, False
        self.signum: int | None = None
        self._update_learning_rate = model.update_learning_rate
        self._optimize_parameters = model.optimize_parameters
        self._validation = model.validation
        model.update_learning_rate = self.update_learning_rate
        model.optimize_parameters = self.optimize_parameters
        model.validation = self.validation

    def remember(self, signum: int, frame: Any) -> None:
        """The handler of the first signal."""
        self.signum = signum
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        # The others would wait for a process that leaves a meeting half-way.
        if self.validating and not (self.processes.meeting or self.stopping):
            raise Interruption(signum)
        if self.processes.rank == 0 and not self.stopping:
            name = "Ctrl-C" if signum == signal.SIGINT else signal.Signals(signum).name
            print(f"Saving after this iteration; {name} again stops at once.", file=sys.stderr)

    def stop(self, code: int) -> None:
        """End the training in all processes, which have agreed on `code`."""
        self.stopping = True
        try:
            self.save("Stopped by another process" if code == FAILED else "Interrupted")
        finally:
            leave_together(code)
        raise ending(code)

    def fail(self, error: Exception) -> None:
        """Save what is complete, and let the other processes stop where they wait."""
        # In the middle of an iteration they wait for gradients: they notice that this one leaves.
        lost = isinstance(error, LostProcessError)
        waited_for = self.complete and not self.stopping and not lost
        self.stopping = True
        if waited_for:
            leave_together(FAILED)
        try:
            if not isinstance(error, RunError):
                self.save(f"Stopped by {type(error).__name__}")
        finally:
            if waited_for:
                leave_together(FAILED)

    def save(self, reason: str) -> None:
        """Save the last iteration if it is complete and was not saved."""
        if self.complete and self.current_iter > self.saver.last_iter:
            self.model.save(self.sampler.epoch, self.current_iter)
            text = f"{reason}; saved iteration {self.current_iter} for --auto_resume."
            get_root_logger().info(text)

    def update_learning_rate(self, current_iter: int, *args: Any, **kwargs: Any) -> None:
        if code := self.processes.agree(self.signum or 0):
            self.stop(code)
        self.current_iter, self.complete = current_iter, False
        self._update_learning_rate(current_iter, *args, **kwargs)

    def optimize_parameters(self, current_iter: int) -> None:
        try:
            self._optimize_parameters(current_iter)
        except RuntimeError as error:
            if self.processes.launched and is_lost(error):
                raise LostProcessError(LOST) from error
            raise
        self.complete = True

    def validation(self, *args: Any, **kwargs: Any) -> None:
        self.validating = True
        try:
            self._validation(*args, **kwargs)
        except Interruption as interruption:
            self.stop(self.processes.agree(interruption.signum))
        except AgreedStop as agreed:
            self.stop(agreed.code)
        finally:
            self.validating = False


def worker_init_fn(worker_id: int, **kwargs: Any) -> None:
    """Start a data-loader worker as BasicSR does, and leave signals to the main process.

    A terminal or a job manager sends them to all processes, and a worker that ends early fails
    the last iteration. A worker ends by itself when its main process does.
    """
    for signum in SIGNALS:
        signal.signal(signum, signal.SIG_IGN)
    basicsr_worker_init_fn(worker_id, **kwargs)
