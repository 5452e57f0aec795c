"""Compare bicubic, dense and sparse on the validation photographs of the quickstart.

usage: python scripts/quickstart_table.py HR_DIR WEIGHTS DENSE_METRICS_JSON SPARSE_METRICS_JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean

import smsr_plugin.training  # noqa: F401  BasicSR does not import without it

# isort: split
import cv2
import numpy as np
import torch
from basicsr.metrics import calculate_psnr, calculate_ssim
from mask_figures import mask_figures

from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.images.bicubic import downscale, mod_crop, upscale
from smsr_plugin.sparse import to_sparse

SCALE = 2


def bicubic(folder: Path) -> tuple[float, float]:
    """Return the mean PSNR and SSIM on Y of bicubic interpolation."""
    psnr, ssim = [], []
    for path in sorted(folder.glob("*.png")):
        hr = mod_crop(cv2.imread(str(path)), SCALE)
        sr = upscale(downscale(hr, SCALE), SCALE)
        psnr.append(calculate_psnr(sr, hr, crop_border=SCALE, test_y_channel=True))
        ssim.append(calculate_ssim(sr, hr, crop_border=SCALE, test_y_channel=True))
    return mean(psnr), mean(ssim)


def table(hr_folder: Path, dense: dict[str, float], sparse: dict[str, float]) -> str:
    """Return the comparison as text."""
    psnr, ssim = bicubic(hr_folder)
    layout = "{:<11}  {:>9}  {:>6}  {:>7}  {:>13}  {:>7}"
    head = layout.format("", "PSNR (dB)", "SSIM", "density", "multiply-adds", "seconds")
    rows = [layout.format("bicubic", f"{psnr:.2f}", f"{ssim:.4f}", "", "", "")]
    for name, result, density, macs in (
        ("SMSR dense", dense, 1, f"{dense['gmacs_dense']:.2f}G"),
        (
            "SMSR sparse",
            sparse,
            sparse["spa_density"],
            f"{sparse['gmacs']:.2f}G ({sparse['macs_kept']:.0%})",
        ),
    ):
        figures = (f"{result['psnr']:.2f}", f"{result['ssim']:.4f}", f"{density:.2f}", macs)
        rows.append(layout.format(name, *figures, f"{result['seconds']:.2f}"))
    return "\n".join([head, "─" * len(head), *rows])


def masks(hr_folder: Path, weights: Path) -> str:
    """Return density and figures of the masks of each photograph as text."""
    sparse = to_sparse(load(weights))
    layout = "{:<11}  {:>7}  {:>21}  {:>11}  {:>11}"
    head = layout.format("", "density", "of each block", "deviation", "correlation")
    rows = []
    for path in sorted(hr_folder.glob("*.png")):
        lq = downscale(mod_crop(cv2.imread(str(path))[..., ::-1], SCALE), SCALE)
        x = torch.from_numpy(np.ascontiguousarray(lq)).permute(2, 0, 1)[None] / 255
        _, stats = sparse(x, return_stats=True)
        figures = mask_figures(lq, stats.spa_mask[0].numpy())
        blocks = "  ".join(f"{value:.2f}" for value in figures.density)
        means = (f"{values.mean():.2f}" for values in (figures.deviation, figures.correlation))
        rows.append(layout.format(path.stem, f"{figures.density.mean():.2f}", blocks, *means))
    return "\n".join([head, "─" * len(head), *rows])


def main(hr_folder: str, weights: str, *metrics: str) -> None:
    dense, sparse = (json.loads(Path(path).read_text())["validation"] for path in metrics)
    print(table(Path(hr_folder), dense, sparse))
    print(
        "\nMeans per image, on Y. Dense computes every pixel and masks afterwards; sparse skips\n"
        "what the masks discard. Their outputs are the same up to rounding.\n"
    )
    print(masks(Path(hr_folder), Path(weights)))
    print(
        "\nDo the masks follow the image? Deviation is their standard deviation over the pixels\n"
        "(0 for all or none, 0.50 at most), correlation that with the gradient of the lq image."
    )


if __name__ == "__main__":
    if len(sys.argv) != 5:
        sys.exit(__doc__)
    main(*sys.argv[1:])
