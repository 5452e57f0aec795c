"""Other counters of multiply-adds."""

from __future__ import annotations

import importlib
import warnings
from importlib import metadata
from types import ModuleType

import pytest


def thop_itself() -> ModuleType:
    """Return thop, of the distribution of that name: another one has a module `thop` that counts
    the children of a module with a rule once more."""
    owners = metadata.packages_distributions().get("thop", [])
    if owners != ["thop"]:
        pytest.skip(f"the module thop is of {owners or 'no distribution'}")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # it compares versions with distutils
        return importlib.import_module("thop")
