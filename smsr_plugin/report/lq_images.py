"""The images that a report is made of: lq images, and their ground truth where there is one."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError, list_images
from smsr_plugin.images.pixels import Rgb, eight_bits, over_white
from smsr_plugin.images.reading import MAX_PIXELS, read_picture
from smsr_plugin.names import printable


@dataclass(frozen=True)
class LqFile:
    """Where an lq image comes from.

    Attributes:
        path: The image file.
        gt: The file of its ground truth, or a folder that holds it.
        is_gt: The image is the ground truth itself; its lq image is made from it.
    """

    path: Path
    gt: Path | None = None
    is_gt: bool = False


@dataclass(frozen=True)
class LqImage:
    """An lq image to report on.

    Attributes:
        name: That of its file.
        lq: (H, W, 3) RGB, 0…255.
        gt: (H·s, W·s, 3) RGB, 0…255, or None.
        whole: Height and width of the lq image before its middle was taken.
        notes: What the file holds that is not in `lq`, each in a few words.
    """

    name: str
    lq: Rgb
    gt: Rgb | None
    whole: tuple[int, int]
    notes: tuple[str, ...] = ()


def find_files(inputs: Sequence[Path], gt: Path | None, is_gt: bool) -> list[LqFile]:
    """List the images of files and folders, in the order given.

    Args:
        inputs: Image files, and folders of them.
        gt: The ground truth: a file, if there is one image, or a folder.
        is_gt: The images are the ground truth.

    Raises:
        DataError: If there is nothing at a path, a folder has no images, or `gt` is one file for
            several images.
    """
    paths: list[Path] = []
    for path in inputs:
        if not path.exists():
            raise DataError(f"{path}: there is no such file or folder")
        paths += list_images(path).paths if path.is_dir() else [path]
    if gt is not None and not gt.exists():
        raise DataError(f"{gt}: there is no such file or folder")
    if gt is not None and not gt.is_dir() and len(paths) > 1:
        raise DataError(f"{gt} is one image for {len(paths)}; give a folder of ground truths")
    return [LqFile(path, gt, is_gt) for path in paths]


def load_lq(file: LqFile, upscale: int, max_pixels: int) -> LqImage:
    """Read an image and its ground truth, of any kind that is read, as 8-bit RGB.

    Args:
        file: Where they are.
        upscale: The scale s of the network.
        max_pixels: Of an lq image with more pixels the middle is taken.

    Raises:
        DataError: If a file is no image, the ground truth is missing or its size is not that of
            the image times `upscale` (up to `upscale` − 1 rows and columns more are cut).
    """
    (image, notes), gt = _read(file.path), None
    if file.is_gt:
        if min(image.shape[:2]) < upscale:
            raise DataError(f"{file.path}: too small to be reduced by {upscale}")
        gt, lq = mod_crop(image, upscale), downscale(image, upscale)
    else:
        lq = image
        if file.gt is not None:
            gt = _matching_gt(_gt_file(file.path, file.gt, upscale), lq, upscale)
    rows, columns = _middle(lq.shape[0], lq.shape[1], max_pixels)
    if gt is not None:
        gt = gt[_times(rows, upscale), _times(columns, upscale)]
    whole = (lq.shape[0], lq.shape[1])
    return LqImage(printable(file.path.name), lq[rows, columns], gt, whole, notes)


def _read(path: Path) -> tuple[Rgb, tuple[str, ...]]:
    """Return an image as 8-bit RGB, with notes on what that leaves out."""
    try:
        picture = read_picture(path, option=MAX_PIXELS)
    except ImageError as error:
        raise DataError(f"{path}: {error}") from error
    colour, notes = eight_bits(picture.colour), picture.notes
    if picture.dtype != np.uint8:
        notes = (*notes, "its 16 bits became 8")
    if picture.alpha is not None:
        colour = over_white(colour, eight_bits(picture.alpha))
        notes = (*notes, "its transparency is laid on white")
    return np.ascontiguousarray(np.broadcast_to(colour, (*colour.shape[:2], 3))), notes


def _gt_file(path: Path, gt: Path, upscale: int) -> Path:
    """Return the ground truth of an image; data sets call the lq image of 0801 also 0801x2."""
    if not gt.is_dir():
        return gt
    stems = {path.stem, path.stem.removesuffix(f"x{upscale}")}
    found = [file for file in list_images(gt).paths if file.stem in stems]
    if len(found) != 1:
        count = "no image" if not found else f"{len(found)} images"
        raise DataError(f"{path}: {count} called {' or '.join(sorted(stems))} in {gt}")
    return found[0]


def _matching_gt(path: Path, lq: Rgb, upscale: int) -> Rgb:
    gt, _ = _read(path)
    expected = tuple(side * upscale for side in lq.shape[:2])
    if tuple(side - side % upscale for side in gt.shape[:2]) != expected:
        raise DataError(
            f"{path}: expected {expected[1]}×{expected[0]} pixels, {upscale} times the lq image, "
            f"got {gt.shape[1]}×{gt.shape[0]}"
        )
    return mod_crop(gt, upscale)


def _middle(height: int, width: int, max_pixels: int) -> tuple[slice, slice]:
    """Return the rows and columns of the largest middle part of the same shape."""
    share = min(1.0, math.sqrt(max_pixels / (height * width)))
    return _centred(height, share), _centred(width, share)


def _centred(side: int, share: float) -> slice:
    kept = max(1, int(side * share))
    return slice((side - kept) // 2, (side - kept) // 2 + kept)


def _times(part: slice, upscale: int) -> slice:
    return slice(part.start * upscale, part.stop * upscale)
