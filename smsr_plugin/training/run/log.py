"""BasicSR's log, for one run at a time."""

from __future__ import annotations

import logging
import re
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

from basicsr.utils import MessageLogger, get_root_logger
from basicsr.utils.dist_util import get_dist_info, master_only
from torch.utils.tensorboard import SummaryWriter
from torch.utils.tensorboard.summary import hparams

from smsr_plugin.names import printable_lines
from smsr_plugin.training.options.errors import one_line, wrong
from smsr_plugin.training.options.values import Options

#: What a quiet console shows besides warnings: iterations, validations, where a run goes on.
PROGRESS = re.compile(r"iter:|Validation|Resuming|Interrupted|Testing")


#: A value that TensorBoard's HPARAMS page can sort by.
Hparam = bool | int | float | str

#: BasicSR's.
FORMAT = "%(asctime)s %(levelname)s: %(message)s"


class VisibleFormatter(logging.Formatter):
    """A record as BasicSR writes it, names and options in it as they may be printed."""

    def format(self, record: logging.LogRecord) -> str:
        return printable_lines(super().format(record))


class LogFile(logging.FileHandler):
    """A log whose disk may be full: that is said once, and the run goes on.

    What was not written stays in memory, and is written as soon as there is room.
    """

    def __init__(self, path: str) -> None:
        super().__init__(path, "w", encoding="utf-8")
        self._said = False

    def handleError(self, record: logging.LogRecord) -> None:
        error = sys.exc_info()[1]
        if isinstance(error, OSError):
            self._say(error)
        else:
            super().handleError(record)

    def close(self) -> None:
        try:
            super().close()
        except OSError as error:
            self._say(error)

    def _say(self, error: OSError) -> None:
        if not self._said:
            self._said = True
            print(f"Cannot write to {self.baseFilename}: {error.strerror}.", file=sys.stderr)


def start_log(
    log_file: str, quiet: bool, logger_name: str = "basicsr", log_level: int = logging.INFO
) -> logging.Logger:
    """Set BasicSR's logger up as it does itself: all of it in a file, which the first process has.

    Args:
        log_file: Its path.
        quiet: Show only progress and warnings on the console.
        logger_name: As for BasicSR's `get_root_logger`.
        log_level: Of the first process; the others tell errors.
    """
    logger = get_root_logger(logger_name)
    (console,) = logger.handlers
    console.setFormatter(VisibleFormatter(FORMAT))
    if quiet:
        console.addFilter(_is_progress)
    if get_dist_info()[0] == 0:
        logger.setLevel(log_level)
        file = LogFile(log_file)
        file.setFormatter(console.formatter)
        logger.addHandler(file)
    return logger


def _is_progress(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or bool(PROGRESS.search(record.getMessage()[:60]))


@contextmanager
def fresh_logger() -> Iterator[None]:
    """Let the run inside set up BasicSR's logger anew, and close its files afterwards."""
    logger = logging.getLogger("basicsr")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers = []
    try:
        yield
    finally:
        for handler in logger.handlers:
            handler.close()
        logger.handlers, level, logger.propagate = before
        logger.setLevel(level)


@master_only
def init_wandb_logger(opt: Options) -> None:
    """Start the run of a training in wandb, in the first process.

    BasicSR's function of this name calls `wandb.util.generate_id`, which wandb no longer has.

    Raises:
        OptionError: If wandb refuses, such as without a login.
    """
    import wandb  # pyright: ignore[reportMissingImports]  # optional

    section = opt["logger"]["wandb"]
    resume_id = section.get("resume_id")
    try:
        run = wandb.init(
            project=section["project"],
            name=opt["name"],
            id=resume_id,
            resume="allow" if resume_id else None,
            dir=opt["root_path"],
            config=opt,
            sync_tensorboard=True,
        )
    except wandb.Error as error:
        advice = "`wandb login`, set WANDB_MODE=offline, or write `project: ~`"
        expected = f"a project ({one_line(error)})"
        raise wrong("logger.wandb.project", expected, section["project"], advice) from error
    get_root_logger().info(f"wandb run {run.id}; resume_id: {run.id} adds to it.")


class TrainingLog(MessageLogger):
    """BasicSR's lines of a training, with learning rate and times in TensorBoard too.

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
                self.tb_logger.add_scalar("data_seconds", log_vars["data_time"], iteration)
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

    def add_hparams(self, values: Mapping[str, Hparam], metrics: Iterable[str]) -> None:
        """Note the run's options, and the scalars that runs are compared by, for the HPARAMS page.

        SummaryWriter's own makes a run beside this one, and wants values of the metrics.
        """
        if self._writer is not None:
            add = self._writer._get_file_writer().add_summary
            for summary in hparams(dict(values), dict.fromkeys(metrics, 0.0)):
                self._tried(add, summary)

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
def open_writer(log_dir: str, opt: Options) -> Writer:
    """Open TensorBoard in the first process; BasicSR's function of this kind has no guard.

    Args:
        log_dir: The folder of its files.
        opt: The options of the run, before anything is built from them, which takes keys away.
    """
    writer = Writer(log_dir)
    data, val = opt["datasets"], opt.get("val") or {}
    train = {key: data["train"].get(key) for key in ("gt_size", "batch_size_per_gpu")}
    options = {"network_g": opt["network_g"], "datasets": {"train": train}, "train": opt["train"]}
    sets = [section["name"] for phase, section in data.items() if phase.startswith("val")]
    metrics = [f"metrics/{name}/{metric}" for name in sets for metric in val.get("metrics") or ()]
    writer.add_hparams(dict(_flat(options)), metrics)
    return writer


def _flat(options: Options, path: str = "") -> Iterator[tuple[str, Hparam]]:
    """Yield the options by their paths as `--force_yml` takes them; lists as text."""
    for key, value in options.items():
        if isinstance(value, dict):
            yield from _flat(value, f"{path}{key}:")
        elif value is not None:
            yield path + key, value if isinstance(value, bool | int | float | str) else str(value)


def thread_failed(failed: threading.ExceptHookArgs) -> None:
    """Say what has ended a thread, but for TensorBoard's: its writer raises that again."""
    if not type(failed.thread).__module__.startswith("tensorboard."):
        threading.__excepthook__(failed)
