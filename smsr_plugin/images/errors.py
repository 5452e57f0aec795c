"""What can go wrong with one image."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from PIL import Image, UnidentifiedImageError

#: Kinds of files that are read, told from their content, whatever their name. Others stay out: for
#: one Pillow would start Ghostscript.
KINDS = ("BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
SHORTAGE = "needs more memory than there is"
UNKNOWN = f"is damaged or not an image of a known kind ({', '.join(KINDS)})"


class ImageError(ValueError):
    """One image cannot be read, upscaled or written; the others can. The message is one line."""


@contextmanager
def guarded(failed: str = "is damaged or cannot be read") -> Iterator[None]:
    """Make ImageErrors of all that decoders raise; the limit on pixels is ours, not Pillow's.

    Args:
        failed: What an error says before the reason.
    """
    try:
        with _open_to_all():
            yield
    except ImageError:
        raise
    except UnidentifiedImageError as error:
        raise ImageError(UNKNOWN) from error
    except MemoryError as error:
        raise ImageError(SHORTAGE) from error
    except Exception as error:  # decoders raise many types; each means that this is no image
        reason = getattr(error, "strerror", None) or str(error) or type(error).__name__
        raise ImageError(f"{failed}: {reason.splitlines()[0]}") from error


class _OpenToAll:
    """Keeps Pillow's limit and all warnings away while any thread reads or writes an image.

    Both belong to the process: the first thread that comes takes them away, the last one that goes
    brings them back.
    """

    def __init__(self) -> None:
        self._lock, self._inside, self._undo = Lock(), 0, ExitStack()

    @contextmanager
    def __call__(self) -> Iterator[None]:
        with self._lock:
            if not self._inside:
                self._undo.callback(setattr, Image, "MAX_IMAGE_PIXELS", Image.MAX_IMAGE_PIXELS)
                self._undo.enter_context(warnings.catch_warnings())
                Image.MAX_IMAGE_PIXELS = None
                warnings.simplefilter("ignore")
            self._inside += 1
        try:
            yield
        finally:
            with self._lock:
                self._inside -= 1
                if not self._inside:
                    self._undo.close()


_open_to_all = _OpenToAll()
