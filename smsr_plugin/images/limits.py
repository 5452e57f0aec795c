"""How large an image may be: a small file can claim any size."""

from __future__ import annotations

import os

from smsr_plugin.images.errors import ImageError

#: The environment variable that sets the most pixels an image may have.
MAX_PIXELS = "SMSR_MAX_PIXELS"
#: Without it: Pillow's own limit, 256 MiB of RGB.
DEFAULT_MAX_PIXELS = 1024 * 1024 * 1024 // 4 // 3


def max_pixels() -> int:
    """Return the most pixels an image may have.

    Raises:
        ImageError: If the environment variable holds no whole number above 0.
    """
    text = os.environ.get(MAX_PIXELS) or str(DEFAULT_MAX_PIXELS)
    if not text.isdecimal() or not 0 < int(text) < 2**63:
        raise ImageError(f"{MAX_PIXELS} must be a whole number above 0, got {text!r}")
    return int(text)


def too_large(pixels: int, limit: int, option: str = MAX_PIXELS) -> str:
    """Say that an image is refused for its size, and which option raises the limit."""
    return (
        f"has {pixels:,} pixels, above the limit of {limit:,}; unless it is a decompression bomb, "
        f"raise {option}"
    )
