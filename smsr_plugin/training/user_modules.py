"""The user's own modules, which register networks, losses, data sets and models."""

from __future__ import annotations

import importlib
import importlib.util
import os
import sys
import traceback
from collections.abc import Iterable
from pathlib import Path

from smsr_plugin.names import printable
from smsr_plugin.training.options.errors import OptionError

#: Names them for the processes that a command starts, parted as in PATH.
VARIABLE = "SMSR_IMPORT"


def import_user_modules(names: Iterable[str]) -> None:
    """Import modules, here and in the processes that this one starts.

    Args:
        names: Of modules that Python finds, or paths of files that end in `.py`.

    Raises:
        OptionError: If one cannot be imported, with the line at fault.
    """
    names = list(names)
    for name in names:
        try:
            _import(name)
        except Exception as error:  # whatever a stranger's module raises
            raise OptionError(f"--import {printable(name)}: {_reason(error)}") from error
    if names:
        os.environ[VARIABLE] = os.pathsep.join(map(_absolute, names))


def import_inherited() -> None:
    """Import what the process that started this one has imported."""
    names = os.environ.get(VARIABLE)
    import_user_modules(names.split(os.pathsep) if names else ())


def _import(name: str) -> None:
    if not name.endswith(".py"):
        importlib.import_module(name)
        return
    path = Path(name).resolve(strict=True)
    if path.stem in sys.modules:
        if getattr(sys.modules[path.stem], "__file__", None) == str(path):
            return
        raise ImportError(f"a module {path.stem} is there already: give the file another name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("is no Python file")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if name.endswith(".py") else name


def _reason(error: Exception) -> str:
    """Return type and message, and of an error inside a module its file and line."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_inside = last.filename.endswith(".py") and "importlib" not in last.filename
    if isinstance(error, SyntaxError) or not is_inside or last.filename == __file__:
        return text
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"
