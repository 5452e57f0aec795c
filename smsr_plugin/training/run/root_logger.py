"""BasicSR's logger, for one run at a time."""

from __future__ import annotations

import logging
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest.mock import patch

from basicsr.utils.logger import get_root_logger, initialized_logger

#: What a quiet console shows besides warnings: iterations, validations, where a run goes on.
PROGRESS = re.compile(r"iter:|Validation|Resuming|Interrupted|Testing")


def get_quiet_root_logger(*args: Any, **kwargs: Any) -> logging.Logger:
    """Set BasicSR's logger up as it does itself, with only progress on the console.

    The log file still gets everything: the options, the network, what was loaded.
    """
    logger = get_root_logger(*args, **kwargs)
    for handler in logger.handlers:
        if not isinstance(handler, logging.FileHandler):
            handler.addFilter(_is_progress)
    return logger


def _is_progress(record: logging.LogRecord) -> bool:
    return record.levelno >= logging.WARNING or bool(PROGRESS.search(record.getMessage()[:60]))


@contextmanager
def fresh_root_logger() -> Iterator[None]:
    """Let the run inside set up BasicSR's logger anew, and close its files afterwards.

    BasicSR sets it up once per process: a second run would write into the first one's file.
    """
    logger = logging.getLogger("basicsr")
    before = logger.handlers[:], logger.level, logger.propagate
    logger.handlers = []
    with patch.dict(initialized_logger, clear=True):
        try:
            yield
        finally:
            for handler in logger.handlers:
                handler.close()
            logger.handlers, level, logger.propagate = before
            logger.setLevel(level)
