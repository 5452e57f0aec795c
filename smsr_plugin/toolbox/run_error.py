"""The errors that end a run although its options were right."""

from __future__ import annotations


class RunError(RuntimeError):
    """The run cannot go on: a full disk, a loss that is no number; its text is one clear line."""


class EndedElsewhereError(RunError):
    """Another process of the run cannot go on, and says why."""
