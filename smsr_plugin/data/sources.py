"""The images that data are made from: HR files, their keys, and given LR files if there are any."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smsr_plugin.images.files import DataError, list_images
from smsr_plugin.images.picture import Header
from smsr_plugin.images.rgb import read_header
from smsr_plugin.names import printable

#: The option that also takes the images of folders inside.
RECURSIVE = "--recursive"
#: How many faults an error lists before it only counts them.
_MAX_LISTED = 5


@dataclass(frozen=True)
class Source:
    """One HR image, and the LR images that were given with it.

    Attributes:
        key: Its name in LMDBs, without a dot.
        hr: The HR file.
        lr: The given LR file for a scale; the others are made.
        height: Of the HR image, in pixels, as it is used.
        width: Of the HR image, in pixels, as it is used.
        reduced: What the file's sides are multiplied by first, in (0, 1].
    """

    key: str
    hr: Path
    lr: Mapping[int, Path]
    height: int
    width: int
    reduced: float = 1.0

    @property
    def changed_at(self) -> float:
        """When the newest of its files was written, seconds since the epoch."""
        return max(path.stat().st_mtime for path in (self.hr, *self.lr.values()))

    def copy_reduced(self, factor: float) -> Source:
        """Return the source of a reduced copy, under a key of its own; its LR images are made."""
        height, width = round(self.height * factor), round(self.width * factor)
        key = f"{self.key}_r{round(factor * 1000):03d}"
        return Source(key, self.hr, {}, height, width, factor)


@dataclass(frozen=True)
class Found:
    """What a folder of HR images gives.

    Attributes:
        sources: The images that can be used, sorted by key.
        notes: On what was left out, a line for each reason.
    """

    sources: list[Source]
    notes: list[str]


def find_sources(
    hr_folder: Path,
    lr_folders: Mapping[int, Path],
    min_size: int,
    *,
    skip_small: bool = False,
    recursive: bool = False,
) -> Found:
    """List the images of a folder and check names and headers of all of them.

    Args:
        hr_folder: Holds the HR images.
        lr_folders: Given LR images by scale: `0001x2.png` is that of `0001.png`.
        min_size: Least height and width of an HR image, in pixels.
        skip_small: Leave smaller ones out.
        recursive: Also take the images of folders inside; their keys begin with the folder.

    Raises:
        DataError: If there are no images, or some cannot be used; names all of these.
    """
    listing = list_images(hr_folder, recursive, option=RECURSIVE)
    faults = _key_faults(listing.paths, hr_folder)
    sources: list[Source] = []
    small: list[Source] = []
    for path in listing.paths:
        try:
            header = read_header(path, printable(path))
            lr = {scale: _lr_path(lr_folders[scale], path, scale) for scale in lr_folders}
            source = Source(_key(path, hr_folder), path, lr, header.height, header.width)
            if min(header.height, header.width) < min_size:
                small.append(source)
                continue
            for scale, lr_path in lr.items():
                _check_lr(lr_path, path, header, scale)
        except (DataError, OSError) as error:
            faults.append(str(error))
        else:
            sources.append(source)
    notes = listing.notes(RECURSIVE)
    if small and skip_small and sources:
        notes.append(f"left out, {_smaller(small, min_size)}")
    elif small:
        advice = "" if skip_small else "; --skip-small leaves them out, a smaller --crop-size fits"
        faults.append(_smaller(small, min_size) + advice)
    raise_faults(faults)
    return Found(sorted(sources, key=lambda source: source.key), notes)


def with_reduced(
    sources: Sequence[Source], factors: Sequence[float], min_size: int
) -> list[Source]:
    """Return the sources and those of their reduced copies that are not below `min_size`.

    Args:
        sources: Images at their full size.
        factors: In (0, 1); large photographs are smooth pixel by pixel, reduced ones are not.
        min_size: Least height and width, in pixels.

    Raises:
        DataError: If a copy would be called as another image.
    """
    copies = [source.copy_reduced(factor) for factor in factors for source in sources]
    every = [*sources, *(copy for copy in copies if min(copy.height, copy.width) >= min_size)]
    twice = [key for key, count in Counter(source.key for source in every).items() if count > 1]
    if twice:
        raise DataError(
            f"{len(twice)} reduced copies would be called as another image, the first "
            f"{printable(twice[0])}: rename that, or choose factors that differ by 0.001 or more"
        )
    return every


def raise_faults(faults: Sequence[str]) -> None:
    """Raise one DataError that lists the faults, if there are any."""
    if not faults:
        return
    listed = "; ".join(faults[:_MAX_LISTED])
    rest = len(faults) - _MAX_LISTED
    raise DataError(listed + (f"; and {rest} more" if rest > 0 else ""))


def _key(path: Path, folder: Path) -> str:
    # BasicSR takes the name up to its first dot as the key.
    parts = path.relative_to(folder).with_suffix("").parts
    return "_".join(parts).replace(".", "_")


def _key_faults(paths: Sequence[Path], folder: Path) -> list[str]:
    faults: list[str] = []
    first: dict[str, Path] = {}
    for path in paths:
        key = _key(path, folder)
        if not (key.isascii() and key.isprintable()):
            faults.append(
                f"{printable(path)}: the name must be plain ASCII to serve as a key; rename it"
            )
        elif first.setdefault(key, path) != path:
            earlier = first[key].relative_to(folder)
            faults.append(f"{path} and {earlier} would share the key {key!r}; rename one")
    return faults


def _smaller(small: Sequence[Source], min_size: int) -> str:
    """Say which images are too small; the smallest is named."""
    least = min(small, key=lambda source: (min(source.height, source.width), source.key))
    size = f"{least.height}×{least.width}"
    needed = f"at least {min_size}×{min_size} is needed"
    if len(small) == 1:
        return f"{printable(least.hr)} is {size} (height×width), but {needed}"
    return f"{len(small)} images are too small, the smallest {printable(least.hr)}: {size} " + (
        f"(height×width), but {needed}"
    )


def _lr_path(folder: Path, hr: Path, scale: int) -> Path:
    return folder / f"{hr.stem}x{scale}.png"


def _check_lr(path: Path, hr: Path, header: Header, scale: int) -> None:
    if not path.is_file():
        raise DataError(f"{path}, the X{scale} image of {hr.name}, is missing")
    lr = read_header(path, str(path))
    expected = (header.height // scale, header.width // scale)
    if (lr.height, lr.width) != expected:
        raise DataError(
            f"{path} is {lr.height}×{lr.width} (height×width), but {hr.name} at scale {scale} "
            f"is {expected[0]}×{expected[1]}"
        )
