from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

MakeImages = Callable[[Path, Mapping[str, tuple[int, int]]], Path]


@pytest.fixture
def make_images() -> MakeImages:
    """Return a function that fills a folder with RGB images, given (height, width) by name."""

    def make(folder: Path, sizes: Mapping[str, tuple[int, int]]) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for seed, (name, size) in enumerate(sizes.items()):
            pixels = np.random.default_rng(seed).integers(0, 256, (*size, 3), dtype=np.uint8)
            Image.fromarray(pixels).save(folder / name)
        return folder

    return make
