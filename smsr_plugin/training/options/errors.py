"""The errors that end a run in one line, what their text is made of, and which are the user's.

Others are bugs, and keep their traceback.
"""

from __future__ import annotations

import difflib
import math
import traceback
from collections.abc import Generator, Mapping, Sequence
from contextlib import contextmanager
from itertools import chain
from pathlib import Path

from smsr_plugin.names import listed, printable
from smsr_plugin.processes import current

PACKAGE = __name__.partition(".")[0]
#: Stands for a key that is not there, where None is a value.
MISSING = object()
#: Characters of a value that an error shows.
VALUE_LENGTH = 200
#: How many images of a batch an error names.
NAMED_IMAGES = 4


class OptionError(ValueError):
    """An error that the user can mend; its text is one clear line."""


class RunError(RuntimeError):
    """The run cannot go on: a full disk, a loss that is no number; its text is one clear line."""


class EndedElsewhereError(RunError):
    """Another process of the run cannot go on, and says why."""


class NonFiniteError(ArithmeticError):
    """A training step gave NaN or infinity.

    Args:
        current_iter: The iteration.
        values: What was computed, by name; all of it may be finite but the gradients.
        images: The paths or keys of the batch's images.
    """

    def __init__(
        self, current_iter: int, values: Mapping[str, float], images: Sequence[str]
    ) -> None:
        wrong = [f"{name} is {value}" for name, value in values.items() if not math.isfinite(value)]
        names = listed([printable(Path(image).name) for image in images], NAMED_IMAGES)
        super().__init__(
            f"iteration {current_iter}: {', '.join(wrong) or 'a gradient is not finite'} "
            f"on the batch {names}"
        )


def suspects(finite: bool, images: Sequence[str]) -> list[str]:
    """Return the images whose loss is not finite, in any process; all if it was a gradient.

    Args:
        finite: Whether the loss of this process is.
        images: The paths or keys of its batch.
    """
    batches = current().gather((finite, list(images)))
    wrong = [names for is_finite, names in batches if not is_finite]
    return list(chain.from_iterable(wrong or [names for _, names in batches]))


def wrong(key: str, expected: str, value: object, advice: str) -> OptionError:
    """Return the error for a key (its sections joined by dots).

    Args:
        key: Which key.
        expected: What it should hold.
        value: What it holds; `MISSING` for nothing at all.
        advice: What to do.
    """
    came = "nothing" if value is MISSING else shown(value)
    return OptionError(f"{key}: expected {expected}, got {came}; {advice}")


def shown(value: object) -> str:
    """Return a value as an error shows it: in Python's notation, cut where it is long."""
    text = repr(value)
    return text if len(text) <= VALUE_LENGTH else f"{text[:VALUE_LENGTH]}…"


def suggestion(name: object, known: Sequence[str]) -> str:
    """Return ` (did you mean …?)` with the known name nearest to `name`, or nothing."""
    nearest = difflib.get_close_matches(str(name), known, n=1)
    return f" (did you mean {nearest[0]}?)" if nearest else ""


@contextmanager
def mendable() -> Generator[None]:
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
