"""The images that data are made from: HR files, their keys, and given LR files if there are any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from smsr_plugin.images.files import DataError, list_images
from smsr_plugin.images.header import Header
from smsr_plugin.images.rgb import read_header

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

    def copy_reduced(self, factor: float) -> Source:
        """Return the source of a reduced copy, under a key of its own; its LR images are made."""
        height, width = round(self.height * factor), round(self.width * factor)
        key = f"{self.key}_r{round(factor * 1000):03d}"
        return Source(key, self.hr, {}, height, width, factor)


def find_sources(
    hr_folder: Path, lr_folders: Mapping[int, Path], min_size: int, advice: str
) -> list[Source]:
    """List the images of a folder and check names and headers of all of them.

    Args:
        hr_folder: Holds the HR images.
        lr_folders: Given LR images by scale: `0001x2.png` is that of `0001.png`.
        min_size: Least height and width of an HR image, in pixels.
        advice: What to do about smaller ones.

    Raises:
        DataError: If there are no images, or some cannot be used; names all of these.
    """
    paths = list_images(hr_folder).paths
    faults = _key_faults(paths)
    sources: list[Source] = []
    for path in paths:
        try:
            header = read_header(path, str(path))
            _check_size(path, header, min_size, advice)
            lr = {scale: _lr_path(lr_folders[scale], path, scale) for scale in lr_folders}
            for scale, lr_path in lr.items():
                _check_lr(lr_path, path, header, scale)
        except (DataError, OSError) as error:
            faults.append(str(error))
        else:
            sources.append(Source(_key(path), path, lr, header.height, header.width))
    raise_faults(faults)
    return sorted(sources, key=lambda source: source.key)


def with_reduced(
    sources: Sequence[Source], factors: Sequence[float], min_size: int
) -> list[Source]:
    """Return the sources and those of their reduced copies that are not below `min_size`.

    Args:
        sources: Images at their full size.
        factors: In (0, 1); large photographs are smooth pixel by pixel, reduced ones are not.
        min_size: Least height and width, in pixels.
    """
    copies = [source.copy_reduced(factor) for factor in factors for source in sources]
    return [*sources, *(copy for copy in copies if min(copy.height, copy.width) >= min_size)]


def raise_faults(faults: Sequence[str]) -> None:
    """Raise one DataError that lists the faults, if there are any."""
    if not faults:
        return
    listed = "; ".join(faults[:_MAX_LISTED])
    rest = len(faults) - _MAX_LISTED
    raise DataError(listed + (f"; and {rest} more" if rest > 0 else ""))


def _key(path: Path) -> str:
    # BasicSR takes the name up to its first dot as the key.
    return path.stem.replace(".", "_")


def _key_faults(paths: Sequence[Path]) -> list[str]:
    faults: list[str] = []
    first: dict[str, Path] = {}
    for path in paths:
        key = _key(path)
        if not (key.isascii() and key.isprintable()):
            # Quoted, because it may hold the end of a line.
            faults.append(
                f"{str(path)!r}: the name must be plain ASCII to serve as a key; rename it"
            )
        elif first.setdefault(key, path) != path:
            faults.append(f"{path} and {first[key].name} would share the key {key!r}; rename one")
    return faults


def _check_size(path: Path, header: Header, min_size: int, advice: str) -> None:
    if min(header.height, header.width) < min_size:
        raise DataError(
            f"{path} is {header.height}×{header.width} (height×width), but at least "
            f"{min_size}×{min_size} is needed; {advice}"
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
