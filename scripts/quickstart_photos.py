"""Write the quickstart's photographs as PNG: those that scikit-image ships, CC0 or public domain.

usage: python scripts/quickstart_photos.py DIR
"""

from __future__ import annotations

import sys
from pathlib import Path

from skimage import color, data, io

TRAIN = ("brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "retina")
VALID = ("astronaut", "rocket")


def main(folder: Path) -> None:
    for split, names in (("train", TRAIN), ("valid", VALID)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            image = getattr(data, name)()
            image = color.gray2rgb(image) if image.ndim == 2 else image
            io.imsave(folder / split / f"{name}.png", image, check_contrast=False)
        print(f"{len(names):2d} photographs to {split} on: {', '.join(names)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
