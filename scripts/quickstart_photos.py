"""Write the quickstart's photographs as PNG: those that scikit-image ships, CC0 or public domain.

usage: python scripts/quickstart_photos.py DIR

Those that are there are left alone, so that the LMDBs made of them are not older.
"""

from __future__ import annotations

import sys
from pathlib import Path

from PIL import Image
from skimage import color, data

from smsr_plugin.staging import staged_file

TRAIN = ("brick", "camera", "chelsea", "coffee", "grass", "gravel", "hubble_deep_field", "retina")
VALID = ("astronaut", "rocket")


def main(folder: Path) -> None:
    for split, names in (("train", TRAIN), ("valid", VALID)):
        (folder / split).mkdir(parents=True, exist_ok=True)
        for name in names:
            path = folder / split / f"{name}.png"
            if path.exists():
                continue
            image = getattr(data, name)()
            image = color.gray2rgb(image) if image.ndim == 2 else image
            with staged_file(path) as new:
                Image.fromarray(image).save(new, "PNG")
        print(f"{len(names):2d} photographs to {split} on: {', '.join(names)}")


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
