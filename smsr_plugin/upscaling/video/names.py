"""Which files are videos, by their names; PyAV is not needed for that."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from smsr_plugin.upscaling.errors import RequestError

#: Suffixes of videos that are read.
VIDEOS = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm")
#: By the suffix of a result, FFmpeg's writer.
FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: For sources whose format is not written.
FALLBACK = ".mkv"


def names_a_video(argument: str) -> bool:
    """Tell whether an input is named like a video, and is no folder."""
    path = Path(argument)
    return path.suffix.lower() in VIDEOS and not path.is_dir()


def result_path(inputs: Sequence[str], out: Path, suffix: str = "") -> Path:
    """Return where the result of a video goes.

    Args:
        inputs: The video.
        out: A folder, or a file with a suffix of `FORMATS`.
        suffix: Put after the name in a folder.

    Raises:
        RequestError: If there are several inputs, or the file named is of another format.
    """
    if len(inputs) != 1:
        raise RequestError("give one video at a time, and images apart from it")
    if out.is_dir() or not out.suffix:
        source = Path(inputs[0])
        ending = source.suffix if source.suffix.lower() in FORMATS else FALLBACK
        return out / f"{source.stem}{suffix}{ending}"
    if out.suffix.lower() not in FORMATS:
        raise RequestError(f"{out}: videos are written as {', '.join(FORMATS)}")
    if suffix:
        raise RequestError(f"{out} is a whole name: leave out the suffix")
    return out
