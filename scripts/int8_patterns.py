"""How far int8 and bf16 are from fp32 on images unlike photographs: PSNR, clamped to 0…1.

usage: python scripts/int8_patterns.py [WEIGHTS]   (an SMSR with peaks; default: the package's x2)
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from measured_sets import as_tensor
from PIL import Image
from skimage import data

from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.images.pixels import Rgb
from smsr_plugin.sparse import to_sparse

SIDE = 120


def patterns() -> dict[str, Rgb]:
    """Return lq images of photographs, drawn over or not, and of patterns."""
    random = np.random.default_rng(0)
    photograph = Image.fromarray(data.coffee()).resize((300, 200), Image.Resampling.BICUBIC)
    pixels = np.asarray(photograph)
    rows, columns = np.indices((SIDE, SIDE))
    grey = {
        "text": data.text(),
        "stripes of 2 pixels": columns // 2 % 2 * 255,
        "checkerboard of single pixels": (rows + columns) % 2 * 255,
    }
    images = {
        "photograph": pixels,
        "with noise of 25": np.clip(pixels + random.normal(0, 25, pixels.shape), 0, 255),
        "in 16 colours": np.asarray(photograph.quantize(16).convert("RGB")),
        "dithered to 1 bit": np.asarray(photograph.convert("1").convert("RGB")),
        "white noise": random.integers(0, 256, (SIDE, SIDE, 3)),
        **{name: np.repeat(image[..., None], 3, 2) for name, image in grey.items()},
    }
    return {name: image.astype(np.uint8) for name, image in images.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("weights", nargs="?", type=Path)
    path = parser.parse_args().weights
    net = load(path) if path else load(model="smsr", scale=2)
    sparse = {name: to_sparse(net, name) for name in ("fp32", "bf16", "int8")}
    for name, image in patterns().items():
        lq = as_tensor(image)
        sr = {key: run(lq).clamp(0, 1) for key, run in sparse.items()}
        psnr = {key: -10 * (sr[key] - sr["fp32"]).square().mean().log10().item() for key in sr}
        print(f"{name:30} int8 {psnr['int8']:.1f} dB, bf16 {psnr['bf16']:.1f} dB")


if __name__ == "__main__":
    main()
