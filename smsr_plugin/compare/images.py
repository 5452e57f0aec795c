"""The images that networks are compared on: HR folders with lq images made from them, lq images."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.files import ROLE_NAMES, DataError, list_images
from smsr_plugin.images.pixels import as_lq
from smsr_plugin.images.rgb import read_rgb
from smsr_plugin.names import printable


@dataclass(frozen=True)
class Crop:
    """A part of a photograph.

    Attributes:
        source: Returns the photograph, (H, W, 3) of uint8.
        left, top, width, height: The part, in pixels.
    """

    source: Callable[[], NDArray[np.uint8]]
    left: int
    top: int
    width: int = 640
    height: int = 360

    def cut(self) -> NDArray[np.uint8]:
        """Return the part, (height, width, 3).

        Raises:
            ValueError: If the library that brings the photograph is not installed.
        """
        try:
            photograph = self.source()
        except ImportError as error:
            raise ValueError(f"its photograph comes with a library: {error}") from error
        return photograph[self.top : self.top + self.height, self.left : self.left + self.width]


def _rocket() -> NDArray[np.uint8]:
    data: Any = importlib.import_module("skimage.data")
    return data.rocket()


def _sample_image(name: str) -> NDArray[np.uint8]:
    datasets: Any = importlib.import_module("sklearn.datasets")
    return datasets.load_sample_image(name)


#: The side of the lq images of the NTIRE challenges on efficient networks.
NTIRE_SIDE = 256

#: All three photographs are 640×427.
CROPS = {
    "rocket": Crop(_rocket, left=0, top=33),  # density 0.29
    "china": Crop(partial(_sample_image, "china.jpg"), left=0, top=27),  # 0.54
    "flower": Crop(
        partial(_sample_image, "flower.jpg"), left=0, top=33
    ),  # 0.17; the whole photograph has 0.15
    "small": Crop(_rocket, left=512, top=265, width=128, height=128),  # 0.46
}
#: The middle of each photograph.
NTIRE_CROPS = {
    f"{name}_256": Crop(CROPS[name].source, 192, 85, NTIRE_SIDE, NTIRE_SIDE)
    for name in ("rocket", "china", "flower")
}

#: The sets of images without a ground truth: `CROPS`, `NTIRE_CROPS`, and files.
CROP_SET, NTIRE_SET, LQ_SET = "crops", "ntire", "lq"


@dataclass(frozen=True)
class ImageSource:
    """Where an image comes from.

    Attributes:
        set_name: What its set is called in tables.
        name: What it is called: a file's name without its suffix.
        path: The file; None for one of `CROPS` or `NTIRE_CROPS`.
        is_gt: Whether it is an HR image, from which the lq image is made.
    """

    set_name: str
    name: str
    path: Path | None = None
    is_gt: bool = False

    def __str__(self) -> str:
        return f"{self.set_name}/{self.name}"


@dataclass(frozen=True)
class Case:
    """An image to measure on.

    Attributes:
        image: Where it comes from.
        lq: (B, 3, H, W) RGB, 0…1, contiguous; of an HR image MATLAB's bicubic, 8 bits.
        gt: (H·s, W·s, 3) RGB, 0…255, the HR image cut to a multiple of the scale; None for images
            that are taken as lq.
    """

    image: ImageSource
    lq: NDArray[np.float32]
    gt: NDArray[np.uint8] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the lq image."""
        return self.lq.shape[3], self.lq.shape[2]


def list_cases(arguments: Sequence[str]) -> list[ImageSource]:
    """Return the images that arguments name, sets one after the other, sorted by name in a folder.

    An argument is a folder of HR images, one of `CROPS`, or a file that is taken as lq. The set of
    a folder is called as the folder, or as the folder above where that is called HR or GT.

    Raises:
        DataError: If there is nothing of that name, or a folder holds no image, or two sets or two
            images of a set have the same name.
    """
    sets: dict[str, dict[str, ImageSource]] = {}
    folders: dict[str, Path] = {}
    for argument in arguments:
        path = Path(argument)
        if argument in CROPS:
            found = [ImageSource(CROP_SET, argument)]
        elif path.is_file():
            found = [ImageSource(LQ_SET, printable(path.stem), path)]
        elif not path.is_dir():
            known = ", ".join(CROPS)
            raise DataError(f"{argument} is not a folder, an image file or one of {known}")
        else:
            name = _set_name(path)
            if name in sets:
                raise DataError(f"{folders.get(name, name)} and {path} would both be called {name}")
            folders[name] = path
            found = [
                ImageSource(name, printable(file.stem), file, is_gt=True)
                for file in list_images(path).paths
            ]
        for image in found:
            images = sets.setdefault(image.set_name, {})
            if image.name in images:
                earlier = images[image.name].path
                raise DataError(f"{image.path} and {earlier and earlier.name} have the same name")
            images[image.name] = image
    return [image for images in sets.values() for image in images.values()]


def ntire_cases() -> list[ImageSource]:
    """Return the lq images of NTIRE's table."""
    return [ImageSource(NTIRE_SET, name) for name in NTIRE_CROPS]


def load_case(image: ImageSource, scale: int) -> Case:
    """Read an image; shrink it if it is an HR image.

    Raises:
        DataError: If it cannot be read or is smaller than the scale.
    """
    if image.path is None:
        try:
            return Case(image, as_lq({**CROPS, **NTIRE_CROPS}[image.name].cut()))
        except ValueError as error:
            raise DataError(f"{image.name}: {error}") from error
    try:
        pixels = read_rgb(image.path)
        if not image.is_gt:
            return Case(image, as_lq(pixels))
        gt = mod_crop(pixels, scale)
    except OSError as error:
        raise DataError(f"{image.path}: cannot be read ({error.strerror})") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{image.path}: {error}") from error
    return Case(image, as_lq(downscale(gt, scale)), gt)


def _set_name(folder: Path) -> str:
    place = folder.resolve()
    name = place.parent.name if place.name in ROLE_NAMES else place.name
    return printable(name)
