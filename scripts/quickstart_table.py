"""Compare bicubic, dense and sparse on the validation photographs of the quickstart.

usage: python scripts/quickstart_table.py HR_DIR DENSE_METRICS_JSON SPARSE_METRICS_JSON
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from statistics import mean

import smsr_plugin.training  # noqa: F401  BasicSR does not import without it

# isort: split
import cv2
from basicsr.metrics import calculate_psnr, calculate_ssim

from smsr_plugin.images.bicubic import downscale, mod_crop, upscale

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


def main(hr_folder: str, *metrics: str) -> None:
    dense, sparse = (json.loads(Path(path).read_text())["validation"] for path in metrics)
    print(table(Path(hr_folder), dense, sparse))
    print(
        "\nMeans per image, on Y. Dense computes every pixel and masks afterwards; sparse skips\n"
        "what the masks discard. Their outputs are the same up to rounding."
    )


if __name__ == "__main__":
    if len(sys.argv) != 4:
        sys.exit(__doc__)
    main(*sys.argv[1:])
