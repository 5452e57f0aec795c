"""Which exceptions are the user's to mend, and which are bugs that keep their traceback."""

from __future__ import annotations

import traceback
from collections.abc import Iterator
from contextlib import contextmanager

from smsr_plugin.toolbox.option_error import OptionError

PACKAGE = __name__.partition(".")[0]


@contextmanager
def mendable() -> Iterator[None]:
    """While a data set or model is built: make OptionErrors of what the plugin refuses.

    The plugin's code raises ValueError on options that do not fit and FileNotFoundError on files
    that are not there; the same from other code may be a bug and passes unchanged.
    """
    try:
        yield
    except (ValueError, FileNotFoundError) as error:
        if is_own_error(error) or not _raised_by_plugin(error):
            raise
        raise OptionError(str(error)) from error


def is_own_error(error: BaseException) -> bool:
    """Whether the plugin made the exception's class for its users: OptionError, DataError, …"""
    return isinstance(error, ValueError) and _is_in_plugin(type(error).__module__)


def one_line(error: BaseException) -> str:
    """Return what an error says; from a data-loader worker, without the worker's traceback."""
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[-1].removeprefix(f"{type(error).__module__}.{type(error).__qualname__}: ")


def _raised_by_plugin(error: BaseException) -> bool:
    *_, (frame, _) = traceback.walk_tb(error.__traceback__)
    return _is_in_plugin(frame.f_globals["__name__"])


def _is_in_plugin(module: str) -> bool:
    return module.partition(".")[0] == PACKAGE
