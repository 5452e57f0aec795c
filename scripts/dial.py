"""Quality of a network over its dial, on sets of HR images, as the table of a model card.

usage: python scripts/dial.py WEIGHTS HR_FOLDER...

PSNR on Y without a border as wide as the scale, lq images by MATLAB's bicubic; in brackets the
share of the pixels that was computed, mean over blocks and images.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from smsr_plugin import Runtime
from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.files import list_images
from smsr_plugin.images.pixels import Rgb, as_lq, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.images.rgb import read_rgb

DENSITIES = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


def cell(runtime: Runtime, pairs: Sequence[tuple[Rgb, Rgb]]) -> str:
    """Return mean PSNR and density over pairs of lq and gt."""
    psnr, density = [], []
    for lq, gt in pairs:
        found = runtime(as_lq(lq)[0])
        sr = to_image(found.sr[None])
        psnr.append(psnr_inside(luma(sr), luma(gt), runtime.upscale))
        density.append(found.spa_mask.mean())
    return f"{np.mean(psnr):.3f} ({np.mean(density):.2f})"


def main(weights: str, *folders: str) -> None:
    """Print the table."""
    scale = Runtime.load(weights).upscale
    sets: dict[str, list[tuple[Rgb, Rgb]]] = {}
    for folder in map(Path, folders):
        images = [mod_crop(read_rgb(path), scale) for path in list_images(folder).paths]
        name = folder.parent.name if folder.name == "HR" else folder.name
        sets[name] = [(downscale(gt, scale), gt) for gt in images]
    print("| asked for |", " | ".join(sets), "|")
    print("|---|" + "---|" * len(sets))
    for density in DENSITIES:
        runtime = Runtime.load(weights, density=density)
        cells = [cell(runtime, pairs) for pairs in sets.values()]
        print(f"| {density:g} |", " | ".join(cells), "|", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
