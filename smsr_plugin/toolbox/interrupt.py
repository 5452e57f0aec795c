"""Ctrl-C during training: finish the iteration, save, stop."""

from __future__ import annotations

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from basicsr.data import worker_init_fn as basicsr_worker_init_fn
from basicsr.data.data_sampler import EnlargedSampler
from basicsr.utils import get_root_logger


@contextmanager
def save_on_interrupt(model: Any, sampler: EnlargedSampler, start_iter: int) -> Iterator[None]:
    """On the first Ctrl-C, save `model` before its next iteration and raise KeyboardInterrupt.

    Between two iterations nothing is half done, so that the training resumes as if it had not
    been stopped. A second Ctrl-C stops at once. Outside the main thread nothing changes, because
    signals do not arrive there.

    Args:
        model: A BasicSR model that was just built; its `update_learning_rate` is wrapped.
        sampler: Knows the epoch.
        start_iter: The iterations done before; without a new one there is nothing to save.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    interrupted = threading.Event()
    update_learning_rate = model.update_learning_rate

    def remember(signum: int, frame: Any) -> None:
        interrupted.set()
        signal.signal(signal.SIGINT, signal.default_int_handler)
        print("Saving after this iteration; Ctrl-C again stops at once.", file=sys.stderr)

    def save_or_update(current_iter: int, *args: Any, **kwargs: Any) -> None:
        if interrupted.is_set():
            done = current_iter - 1
            if done > start_iter:
                model.save(sampler.epoch, done)
                get_root_logger().info(f"Interrupted; saved iteration {done} for --auto_resume.")
            raise KeyboardInterrupt
        update_learning_rate(current_iter, *args, **kwargs)

    model.update_learning_rate = save_or_update
    previous = signal.signal(signal.SIGINT, remember)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, previous)


def worker_init_fn(worker_id: int, **kwargs: Any) -> None:
    """Start a data-loader worker as BasicSR does, and let Ctrl-C be the main process's matter.

    The terminal sends it to all of them, and a worker that ends early fails the last iteration.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    basicsr_worker_init_fn(worker_id, **kwargs)
