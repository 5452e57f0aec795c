"""What can go wrong with a request as a whole, and with one image."""

from __future__ import annotations


class RequestError(ValueError):
    """The request cannot be carried out; nothing was read or written yet."""


class ImageError(ValueError):
    """One image cannot be read, upscaled or written; the others can."""
