"""Lets BasicSR 1.4.2 be installed on Python 3.13 and later; an interpreter finds it by PYTHONPATH.

Its setup.py takes the version from `locals()` after an `exec()` inside a function. Since PEP 667
such an `exec()` writes into a copy, and setup.py ends in KeyError: '__version__'.
"""

import builtins
import sys

_exec = builtins.exec


def _exec_into_the_caller(source, globals=None, locals=None, /, **options):
    caller = sys._getframe(1)
    if globals is None:
        globals, locals = caller.f_globals, caller.f_locals
    _exec(source, globals, locals, **options)


if sys.version_info >= (3, 13):
    builtins.exec = _exec_into_the_caller
