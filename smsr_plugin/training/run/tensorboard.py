"""TensorBoard beside a training: more to see in it, and no training that ends for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

from basicsr.utils import MessageLogger, get_root_logger
from basicsr.utils.dist_util import master_only
from torch.utils.tensorboard import SummaryWriter

from smsr_plugin.training.options.file import Options


class TrainingLog(MessageLogger):
    """BasicSR's lines of a training, with the learning rate and the speed in TensorBoard too.

    Args:
        opt: The options of the run.
        start_iter: The iterations done before.
        tb_logger: A `Writer`, None for no TensorBoard.
    """

    def __init__(self, opt: Options, start_iter: int = 1, tb_logger: Any = None) -> None:
        super().__init__(opt, start_iter, tb_logger)
        self.max_iters += 1  # BasicSR takes off one too many: -1 is left after the last

    def __call__(self, log_vars: dict[str, Any]) -> None:
        if self.tb_logger is not None:
            iteration, rates = log_vars["iter"], log_vars["lrs"]
            for number, rate in enumerate(rates, 1):
                name = "lr" if len(rates) == 1 else f"lr/group_{number}"
                self.tb_logger.add_scalar(name, rate, iteration)
            if log_vars["time"] > 0:
                speed = 1 / log_vars["time"]
                self.tb_logger.add_scalar("iterations_per_second", speed, iteration)
        super().__call__(log_vars)


class Writer:
    """TensorBoard's SummaryWriter until the disk is full or its folder gone, then nothing.

    Args:
        log_dir: The folder of its files.
    """

    def __init__(self, log_dir: str) -> None:
        self._log_dir = log_dir
        self._writer: SummaryWriter | None = None
        self._writer = self._tried(SummaryWriter, log_dir)

    def __getattr__(self, name: str) -> Callable[..., Any]:
        """Return a method of SummaryWriter, such as `add_scalar` or `close`."""
        method = getattr(SummaryWriter, name)
        return lambda *args, **kwargs: (
            None if self._writer is None else self._tried(method, self._writer, *args, **kwargs)
        )

    def _tried(self, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        try:
            return function(*args, **kwargs)
        except OSError as error:
            self._writer = None
            get_root_logger().warning(
                f"TensorBoard cannot write to {self._log_dir}: {error.strerror or error}; the "
                "training goes on without it."
            )
            return None


@master_only
def open_writer(log_dir: str) -> Writer:
    """Open TensorBoard in the first process; BasicSR's function of this kind has no guard."""
    return Writer(log_dir)


def thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Say what has ended a thread, but for TensorBoard's: its writer raises that again."""
    if not type(failed.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(failed)
