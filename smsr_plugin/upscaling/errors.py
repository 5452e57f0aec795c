"""What can go wrong with a request as a whole."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be carried out; nothing was read or written yet."""
