"""BasicSR's log, for one run at a time."""

from __future__ import annotations

import logging
import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from basicsr.utils import get_root_logger
from basicsr.utils.dist_util import get_dist_info

#: What a quiet console shows besides warnings: iterations, validations, where a run goes on.
PROGRESS = re.compile(r"iter:|Validation|Resuming|Interrupted|Testing")


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
