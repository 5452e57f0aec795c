"""The images that networks are compared on: HR folders, and lq images made from them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.compare.crops import as_lq
from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.files import DataError, list_images, read_image

#: Folders that do not name a set but say what is in it: datasets/Set5/HR is Set5.
ROLE_NAMES = ("HR", "GT", "GTmod12", "original")


@dataclass(frozen=True)
class HRImage:
    """An image of a set.

    Attributes:
        set_name: What its set is called in tables.
        name: The file's name without its suffix.
        path: The file.
    """

    set_name: str
    name: str
    path: Path

    def __str__(self) -> str:
        return f"{self.set_name}/{self.name}"


@dataclass(frozen=True)
class Pair:
    """An lq image and its ground truth.

    Attributes:
        image: Where they come from.
        gt: (H·s, W·s, 3) RGB, 0…255; cut to a multiple of the scale.
        lq: (1, 3, H, W) RGB, 0…1, contiguous; MATLAB's bicubic, 8 bits.
    """

    image: HRImage
    gt: NDArray[np.uint8]
    lq: NDArray[np.float32]

    @property
    def lq_size(self) -> tuple[int, int]:
        """Width and height of the lq image."""
        return self.lq.shape[3], self.lq.shape[2]


def list_sets(folders: Sequence[Path]) -> list[HRImage]:
    """Return the images of HR folders, folder by folder, sorted by name.

    A set is called as its folder, or as the folder above where that is called HR or GT.

    Raises:
        DataError: If a folder does not exist or holds no image, or two sets or two images of a set
            have the same name.
    """
    images: list[HRImage] = []
    names: dict[str, Path] = {}
    for folder in folders:
        place = folder.resolve()
        name = place.parent.name if place.name in ROLE_NAMES else place.name
        if name in names:
            raise DataError(f"{names[name]} and {folder} would both be called {name}")
        names[name] = folder
        stems: dict[str, Path] = {}
        for path in list_images(folder):
            if path.stem in stems:
                raise DataError(f"{path} and {stems[path.stem].name} have the same name")
            stems[path.stem] = path
            images.append(HRImage(name, path.stem, path))
    return images


def load_pair(image: HRImage, scale: int) -> Pair:
    """Read an HR image and shrink it.

    Raises:
        DataError: If it cannot be read or is smaller than the scale.
    """
    try:
        gt = mod_crop(read_image(image.path), scale)
    except OSError as error:
        raise DataError(f"{image.path}: cannot be read ({error.strerror})") from error
    except DataError:
        raise
    except ValueError as error:
        raise DataError(f"{image.path}: {error}") from error
    return Pair(image, gt, as_lq(downscale(gt, scale)))
