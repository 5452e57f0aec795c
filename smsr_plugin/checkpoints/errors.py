"""The one exception of this package."""

from __future__ import annotations


class CheckpointError(ValueError):
    """A checkpoint cannot be read, does not hold an SMSR network, or cannot be written."""
