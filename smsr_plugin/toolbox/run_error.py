"""The error that ends a run although its options were right."""

from __future__ import annotations


class RunError(RuntimeError):
    """The run cannot go on: a full disk, a loss that is no number; its text is one clear line."""
