"""lq images that everyone has: crops of photographs of scikit-image and scikit-learn, as they are.

`CROPS` says their mean spatial densities with the released x2 weights, which keep 0.37 of Set5,
0.50 of Set14 and 0.45 of B100: "small" was chosen to be near that. The density of "china" was
wanted to be that of the whole photograph; "rocket" and "flower" are cut from the middle.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


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
