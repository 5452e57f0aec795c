"""Image files in folders: which are taken, and what is left out."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from pathlib import Path

from smsr_plugin.names import listed, printable

#: In folders, files are taken for images by their names.
SUFFIXES = frozenset(
    {".bmp", ".gif", ".jfif", ".jpe", ".jpeg", ".jpg", ".pbm", ".pgm", ".png", ".pnm", ".ppm",
     ".tif", ".tiff", ".webp"}
)  # fmt: skip
#: Names of images of kinds that are not read: their absence from the results should be said.
UNREAD_SUFFIXES = frozenset(
    {".arw", ".avif", ".avifs", ".cr2", ".cr3", ".dds", ".dng", ".eps", ".exr", ".hdr", ".heic",
     ".heif", ".hif", ".ico", ".j2k", ".jp2", ".jpf", ".jpx", ".jxl", ".jxr", ".nef", ".orf",
     ".pam", ".pcx", ".pfm", ".psb", ".psd", ".qoi", ".raf", ".raw", ".rw2", ".svg", ".tga", ".xcf"}
)  # fmt: skip
#: Folders that do not name a set of images but say what is in it: datasets/Set5/HR is Set5.
ROLE_NAMES = ("HR", "GT", "GTmod12", "original")
#: A note names so many files or folders, and counts the others.
MOST_NAMES = 5


class DataError(ValueError):
    """Training or validation data that cannot be used; the message names it."""


@dataclass
class Listing:
    """What was found in a folder.

    Attributes:
        paths: The images, sorted, those of each folder together.
        unread: Files with names of images of kinds that are not read.
        closed: Folders that may not be listed.
        unsearched: Folders inside that hold images and were not asked for.
    """

    paths: list[Path] = field(default_factory=list)
    unread: list[Path] = field(default_factory=list)
    closed: list[Path] = field(default_factory=list)
    unsearched: list[Path] = field(default_factory=list)

    def notes(self, option: str | None = None) -> list[str]:
        """Return what was left out, a line for each reason.

        Args:
            option: What a user gives so that the folders inside are searched, if that is possible.
        """
        hint = f", which only {option} searches" if option else ""
        reasons = (
            (self.unread, "left out, of kinds that are not read"),
            (self.closed, "left out, folders that may not be listed"),
            (self.unsearched, f"left out, folders inside{hint}"),
        )
        return [f"{reason}: {_named(paths)}" for paths, reason in reasons if paths]

    def __iadd__(self, other: Listing) -> Listing:
        """Add what was found in another folder."""
        self.paths += other.paths
        self.unread += other.unread
        self.closed += other.closed
        self.unsearched += other.unsearched
        return self


def list_images(
    folder: Path,
    recursive: bool = False,
    ignored: Collection[Path] = (),
    option: str | None = None,
) -> Listing:
    """List the image files of a folder; hidden files and folders are left out.

    Args:
        folder: Where to look.
        recursive: Also look into the folders inside; links to folders are not followed.
        ignored: Resolved folders inside that are not looked into.
        option: See `Listing.notes`.

    Raises:
        DataError: If the folder does not exist, may not be listed, or no image is found.
    """
    listing = search(folder, recursive, ignored)
    if not listing.paths:
        known = ", ".join(sorted(SUFFIXES))
        left_out = "".join(f"; {note}" for note in listing.notes(option))
        raise DataError(f"{printable(folder)} holds no images ({known}){left_out}")
    return listing


def left_out(paths: Iterable[Path]) -> list[str]:
    """Return what `list_images` leaves out of folders among paths, a line for each reason."""
    listing = Listing()
    for path in paths:
        if path.is_dir():
            listing += search(path, recursive=False)
    return listing.notes()


def search(folder: Path, recursive: bool, ignored: Collection[Path] = ()) -> Listing:
    """List the image files of a folder as `list_images` does; there may be none.

    Raises:
        DataError: If the folder does not exist, or may not be listed.
    """
    if not folder.is_dir():
        raise DataError(f"{printable(folder)} is not a folder")
    listing = Listing()
    folders = [folder]
    while folders:
        here = folders.pop(0)
        try:
            entries = sorted(os.scandir(here), key=lambda entry: entry.name)
        except OSError as error:
            if here == folder:
                reason = f"{printable(folder)} cannot be listed: {error.strerror}"
                raise DataError(reason) from error
            listing.closed.append(here)
            continue
        inside = _sort(here, entries, listing)
        inside = [path for path in inside if path.resolve() not in ignored]
        if recursive:
            folders = inside + folders
        else:
            listing.unsearched += [path for path in inside if _holds_images(path, listing)]
    return listing


def _sort(here: Path, entries: Iterable[os.DirEntry[str]], listing: Listing) -> list[Path]:
    """Add the files of a folder to a listing; return the folders inside."""
    folders = []
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = here / entry.name
        if entry.is_dir(follow_symlinks=False):
            folders.append(path)
        elif path.suffix.lower() in SUFFIXES and _is_file(path):
            listing.paths.append(path)
        elif path.suffix.lower() in UNREAD_SUFFIXES and _is_file(path):
            listing.unread.append(path)
    return folders


def _is_file(path: Path) -> bool:
    """Tell whether there is a file, or a link to nothing, which reading it will complain of."""
    return path.is_file() or (path.is_symlink() and not path.exists())


def _holds_images(folder: Path, listing: Listing) -> bool:
    try:
        return any(Path(name).suffix.lower() in SUFFIXES for name in os.listdir(folder))  # noqa: PTH208
    except OSError:
        listing.closed.append(folder)
        return False


def _named(paths: Collection[Path]) -> str:
    return listed([printable(path) for path in paths], MOST_NAMES)
