"""The version of the package; setup.py reads it too."""

from __future__ import annotations

__version__ = "0.1.0"
