"""Print how much cutting images into tiles changes them, and what that costs in PSNR.

usage: python scripts/tile_difference.py WEIGHTS HR_FOLDER [TILE [OVERLAP]]
"""

from __future__ import annotations

import sys
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.images.bicubic import downscale
from smsr_plugin.images.files import list_images
from smsr_plugin.images.pixels import as_lq, luma, to_image
from smsr_plugin.images.rgb import read_rgb
from smsr_plugin.upscaling.network import Network
from smsr_plugin.upscaling.pytorch import PyTorchModel


def main(weights: Path, folder: Path, tile: int = 128, overlap: int = 32) -> None:
    net = load(weights)
    scale = net.config.upscale
    model = PyTorchModel(net)
    whole, tiled = Network(model, tile=0), Network(model, tile=tile, overlap=overlap)
    rows = []
    for path in list_images(folder).paths:
        hr = read_rgb(path)
        hr = hr[: hr.shape[0] // scale * scale, : hr.shape[1] // scale * scale]
        lq = as_lq(downscale(hr, scale))[0]
        once, parts = enlarged(whole, lq), enlarged(tiled, lq)
        inner = np.s_[scale:-scale, scale:-scale]
        apart, most = cv2.PSNR(once, parts), float(cv2.absdiff(once, parts).max())
        before, after = (psnr_y(sr[inner], hr[inner]) for sr in (once, parts))
        rows.append((apart, most, before, after))
        print(
            f"{path.stem:12} {apart:6.2f} dB apart, {most:3.0f} at most; {before:.3f} → {after:.3f}"
        )
    apart, most, before, after = np.transpose(rows)
    print(f"\n{len(rows)} images in tiles of {tile} overlapping by {overlap}, against the whole:")
    print(
        f"PSNR_Y {before.mean():.3f} → {after.mean():.3f} dB; worst {(after - before).min():+.3f}"
    )
    middle = np.median(apart)
    print(f"{middle:.1f} dB apart (median), {apart.min():.1f} at worst; {most.max():.0f} at most")


def enlarged(network: Network, lq: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Return (H, W, 3), 0…255."""
    return to_image(network(lq).sr[None])


def psnr_y(sr: NDArray[np.uint8], hr: NDArray[np.uint8]) -> float:
    error = luma(sr) - luma(hr)
    return float(10 * np.log10(255**2 / np.mean(error**2)))


if __name__ == "__main__":
    if not 3 <= len(sys.argv) <= 5:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:]))
