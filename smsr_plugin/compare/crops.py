"""The images that are super-resolved: crops of photographs that come with two libraries, or files.

The crops are taken as lq images as they are. `CROPS` says their mean spatial densities with the
released x2 weights, which keep 0.37 of Set5, 0.50 of Set14 and 0.45 of B100: "small" was chosen to
be near that. The density of "china" was wanted to be that of the whole photograph; "rocket" and
"flower" are cut from the middle.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from smsr_plugin.compare.engines.base import Image as LqImage
from smsr_plugin.images.files import FORMATS, max_pixels, too_large, without_pillows_limit
from smsr_plugin.staging import open_regular


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


@dataclass(frozen=True)
class Case:
    """An image to measure on.

    Attributes:
        name: For reports.
        lq: (1, 3, H, W), 0…1, contiguous.
    """

    name: str
    lq: LqImage

    @property
    def size(self) -> tuple[int, int]:
        """Width and height of the lq image."""
        return self.lq.shape[3], self.lq.shape[2]

    @property
    def pixels(self) -> int:
        """Pixels of the lq image."""
        return self.lq.shape[3] * self.lq.shape[2]


def _rocket() -> NDArray[np.uint8]:
    data: Any = importlib.import_module("skimage.data")
    return data.rocket()


def _china() -> NDArray[np.uint8]:
    return _sample_image("china.jpg")


def _flower() -> NDArray[np.uint8]:
    return _sample_image("flower.jpg")


def _sample_image(name: str) -> NDArray[np.uint8]:
    datasets: Any = importlib.import_module("sklearn.datasets")
    return datasets.load_sample_image(name)


#: All three photographs are 640×427.
CROPS = {
    "rocket": Crop(_rocket, left=0, top=33),  # density 0.29
    "china": Crop(_china, left=0, top=27),  # 0.54
    "flower": Crop(_flower, left=0, top=33),  # 0.17; the whole photograph has 0.15
    "small": Crop(_rocket, left=512, top=265, width=128, height=128),  # 0.46
}


def load_case(name: str) -> Case:
    """Return the crop of that name or, if there is none, the image file at that path.

    Raises:
        ValueError: If there is neither, or the file is not an image or too large.
    """
    if name in CROPS:
        return Case(name, as_lq(_cut(CROPS[name])))
    path = Path(name)
    if not path.is_file():
        raise ValueError(f"{name}: neither an image file nor one of {', '.join(CROPS)}")
    limit = max_pixels()
    try:
        with (
            open_regular(path) as file,
            without_pillows_limit(),
            Image.open(file, formats=FORMATS) as image,
        ):
            if image.width * image.height > limit:
                raise ValueError(too_large(image.width * image.height, limit))
            return Case(path.stem, as_lq(np.asarray(image.convert("RGB"))))
    except Exception as error:  # Pillow raises many types; each means that this is no image
        raise ValueError(f"{name}: cannot be read as an image: {error}") from error


def _cut(crop: Crop) -> NDArray[np.uint8]:
    try:
        photograph = crop.source()
    except ImportError as error:
        raise ValueError(f"its photograph comes with a library that is absent: {error}") from error
    return photograph[crop.top : crop.top + crop.height, crop.left : crop.left + crop.width]


def as_lq(pixels: NDArray[np.uint8]) -> LqImage:
    """Return (H, W, 3) of uint8 as (1, 3, H, W) of float32 in 0…1."""
    return np.ascontiguousarray(pixels.transpose(2, 0, 1)[None], np.float32) / np.float32(255)
