"""Which image files or video a request names, and where each result goes."""

from __future__ import annotations

import glob
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from smsr_plugin.images.files import DataError, Listing, search
from smsr_plugin.images.writing import FORMATS
from smsr_plugin.upscaling import RequestError

#: Suffixes that `ext` can ask for; SAME keeps the input's if it is one of them.
EXTENSIONS = ("same", "png", "jpg", "webp", "tiff")
#: The option that also takes the folders inside folders.
RECURSIVE = "--recursive"
#: For inputs whose format is not written.
FALLBACK = ".png"
#: Suffixes of videos that are read.
VIDEOS = (".avi", ".flv", ".m4v", ".mkv", ".mov", ".mp4", ".mpg", ".ts", ".webm")
#: By the suffix of a result, FFmpeg's writer.
VIDEO_FORMATS = {".mp4": "mp4", ".m4v": "mp4", ".mov": "mov", ".mkv": "matroska"}
#: For sources whose format is not written.
VIDEO_FALLBACK = ".mkv"


@dataclass(frozen=True)
class Job:
    """One image to enlarge.

    Attributes:
        source: The file to read.
        target: The file to write.
        masks: Where to write the masks laid over the image, if that is wanted.
    """

    source: Path
    target: Path
    masks: Path | None = None

    @property
    def outputs(self) -> tuple[Path, ...]:
        """The files to write."""
        return (self.target,) if self.masks is None else (self.target, self.masks)


@dataclass(frozen=True)
class Naming:
    """Where results go.

    Attributes:
        out: A folder; or, for a single image, a file with a suffix of `FORMATS`.
        suffix: Put after each name, before the extension.
        ext: One of `EXTENSIONS`.
        masks: The folder of mask overlays, if they are wanted.
    """

    out: Path
    suffix: str = ""
    ext: str = "same"
    masks: Path | None = None

    @property
    def folders(self) -> list[Path]:
        """Those that results are put into."""
        return [folder for folder in (self.out, self.masks) if folder]

    def job(self, source: Path, below: Path) -> Job:
        """Return the job for an image that was found in a folder `below` what was named."""
        ending = source.suffix if self.ext == "same" else f".{self.ext}"
        if ending.lower() not in FORMATS:
            ending = FALLBACK
        target = self.out / below / f"{source.stem}{self.suffix}{ending}"
        if self.masks is None:
            return Job(source, target)
        return Job(source, target, self.masks / below / f"{source.stem}{self.suffix}_masks.png")


@dataclass(frozen=True)
class Plan:
    """What a request comes to.

    Attributes:
        jobs: The images to enlarge.
        notes: On what the folders hold beside them, a line for each reason.
    """

    jobs: list[Job]
    notes: list[str]


def plan(arguments: Sequence[str], naming: Naming, recursive: bool = False) -> Plan:
    """Find the images and decide where each result goes, before anything is read or written.

    Args:
        arguments: Files, folders and patterns such as `photos/*.jpg`.
        naming: Where results go.
        recursive: Also take the folders inside folders; results keep their place.

    Raises:
        RequestError: If an argument names nothing, results would overwrite inputs or one another,
            or would lie outside the folder.
        OSError: If a name is too long, or a folder may not be entered.
    """
    if os.sep in naming.suffix or (os.altsep and os.altsep in naming.suffix):
        raise RequestError(f"the suffix {naming.suffix!r} must not name a folder")
    notes: list[str] = []
    if _names_a_file(naming.out):
        jobs = [_single(arguments, naming)]
    else:
        found: list[tuple[Path, Path]] = []
        listing = Listing()
        for argument in arguments:
            found += _find(argument, naming, recursive, listing)
        jobs = [naming.job(source, below) for source, below in dict.fromkeys(found)]
        notes = listing.notes(RECURSIVE)
        _check_places(jobs, naming.folders)
    _check_overwriting(jobs)
    return Plan(jobs, notes)


def _names_a_file(out: Path) -> bool:
    return out.suffix.lower() in FORMATS and not out.is_dir()


def _single(arguments: Sequence[str], naming: Naming) -> Job:
    """Return the job whose target was named as a file."""
    if len(arguments) != 1 or not Path(arguments[0]).is_file():
        raise RequestError(f"{naming.out} is the name of one image: give one file to enlarge")
    if naming.suffix or naming.ext != "same":
        raise RequestError(f"{naming.out} is a whole name: leave out the suffix and extension")
    masks = None if naming.masks is None else naming.masks / f"{naming.out.stem}_masks.png"
    return Job(Path(arguments[0]), naming.out, masks)


def _find(
    argument: str, naming: Naming, recursive: bool, listing: Listing
) -> list[tuple[Path, Path]]:
    """Return the images that an argument names, each with its folder below a folder named.

    What is left out of folders is added to the listing.
    """
    path = Path(argument)
    if path.is_dir():
        return _in_folder(path, naming, recursive, listing)
    if path.exists() or path.is_symlink():
        return [(path, Path())]
    if not glob.has_magic(argument):
        with suppress(FileNotFoundError, NotADirectoryError):
            path.stat()  # a folder that may not be entered: since Python 3.14 exists() hides it
        raise RequestError(f"{path} does not exist")
    matches = sorted(glob.glob(argument, recursive=True))  # noqa: PTH207  may be absolute
    files = [(Path(match), Path()) for match in matches if Path(match).is_file()]
    if not files:
        raise RequestError(f"no file matches {argument}")
    return files


def _in_folder(
    folder: Path, naming: Naming, recursive: bool, listing: Listing
) -> list[tuple[Path, Path]]:
    # Results of an earlier run must not be enlarged again.
    ignored = {place.resolve() for place in naming.folders} - {folder.resolve()}
    try:
        found = search(folder, recursive, ignored)
    except DataError as error:
        raise RequestError(str(error)) from error
    if not found.paths:
        hint = "" if recursive else f"; {RECURSIVE} looks into its folders"
        left_out = "".join(f"; {note}" for note in found.notes(RECURSIVE))
        raise RequestError(f"{folder} holds no images{hint}{left_out}")
    listing += found
    return [(path, path.parent.relative_to(folder)) for path in found.paths]


def _check_places(jobs: Sequence[Job], folders: Sequence[Path]) -> None:
    """Raise RequestError if a folder is none, or a link in it leads a result out of it."""
    for folder in folders:
        if folder.exists() and not folder.is_dir():
            raise RequestError(f"{folder} is not a folder")
    roots = [folder.resolve() for folder in folders]
    for parent in sorted({output.parent for job in jobs for output in job.outputs}):
        if not any(parent.resolve().is_relative_to(root) for root in roots):
            places = " and ".join(map(str, folders))
            raise RequestError(f"{parent} leads out of {places}")


def _check_overwriting(jobs: Sequence[Job]) -> None:
    """Raise RequestError if a result would replace an input or another result."""
    inputs = {key: job.source for job in jobs if (key := _identity(job.source))}
    writers: dict[str, Path] = {}
    for job in jobs:
        for output in job.outputs:
            name = os.path.normcase(output.parent.resolve() / output.name)
            if name in writers:
                raise RequestError(
                    f"{writers[name]} and {job.source} would both be written to {output}"
                )
            writers[name] = job.source
            if output.is_dir():
                raise RequestError(f"{output}, to be written for {job.source}, is a folder")
            if (key := _identity(output)) in inputs:
                raise RequestError(
                    f"{output}, to be written for {job.source}, would replace the input "
                    f"{inputs[key]}: choose another folder or a suffix"
                )


def _identity(path: Path) -> tuple[int, int] | None:
    """Return what two names of one file have in common, None if there is no file."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def names_a_video(argument: str) -> bool:
    """Tell whether an input is named like a video, and is no folder."""
    path = Path(argument)
    return path.suffix.lower() in VIDEOS and not path.is_dir()


def result_path(inputs: Sequence[str], out: Path, suffix: str = "") -> Path:
    """Return where the result of a video goes.

    Args:
        inputs: The video.
        out: A folder, or a file with a suffix of `VIDEO_FORMATS`.
        suffix: Put after the name in a folder.

    Raises:
        RequestError: If there are several inputs, or the file named is of another format.
    """
    if len(inputs) != 1:
        raise RequestError("give one video at a time, and images apart from it")
    if out.is_dir() or not out.suffix:
        source = Path(inputs[0])
        ending = source.suffix if source.suffix.lower() in VIDEO_FORMATS else VIDEO_FALLBACK
        return out / f"{source.stem}{suffix}{ending}"
    if out.suffix.lower() not in VIDEO_FORMATS:
        raise RequestError(f"{out}: videos are written as {', '.join(VIDEO_FORMATS)}")
    if suffix:
        raise RequestError(f"{out} is a whole name: leave out the suffix")
    return out
