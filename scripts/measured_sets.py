"""What a network reaches on Set5, Set14, B100: quality, density, masks."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from statistics import mean
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from mask_figures import mask_figures
from numpy.typing import NDArray

from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.images.bicubic import downscale, mod_crop, upscale
from smsr_plugin.images.files import list_images
from smsr_plugin.images.pixels import as_lq, luma, to_image
from smsr_plugin.images.quality import compare, psnr_inside
from smsr_plugin.images.rgb import read_rgb
from smsr_plugin.sparse import to_sparse

SETS = ("Set5", "Set14", "B100")


def pairs(folder: Path, scale: int) -> Iterator[tuple[str, NDArray[np.uint8], NDArray[np.uint8]]]:
    """Yield name, gt and lq of the images of a set; grey ones as three equal channels."""
    for path in list_images(folder).paths:
        gt = read_rgb(path)
        gt = mod_crop(np.repeat(gt[..., None], 3, 2) if gt.ndim == 2 else gt, scale)
        yield path.stem, gt, downscale(gt, scale)


def as_tensor(lq: NDArray[np.uint8]) -> torch.Tensor:
    return torch.from_numpy(as_lq(lq))


def measure(
    weights: Path, sets: Path, density: float | None = None, names: Sequence[str] = SETS
) -> dict[str, dict[str, Any]]:
    """Return the mean figures of each set at a density; None: what it was trained for, and more."""
    net = load(weights)
    sparse, scale = to_sparse(net, density=density), net.config.upscale
    figures = {}
    for name in names:
        rows = []
        for _, gt, lq in pairs(sets / name / "HR", scale):
            sr, stats = sparse(as_tensor(lq), return_stats=True)
            image = to_image(sr.numpy())
            row = {"psnr": psnr_inside(luma(image), luma(gt), scale)}
            row |= {"density": stats.spa_density.mean().item(), "kept": stats.kept}
            if density is None:
                row["ssim"] = compare(image, gt, scale).ssim_y
                masks = mask_figures(lq, stats.spa_mask[0].numpy())
                row["deviation"] = masks.deviation.tolist()
                row["correlation"] = masks.correlation.tolist()
                row["blocks"] = masks.density.tolist()
                row["tiles"] = tile_share(stats.spa_mask[0])
            rows.append(row)
        figures[name] = {key: np.mean([row[key] for row in rows], 0).tolist() for key in rows[0]}
    return figures


def tile_share(spa_mask: torch.Tensor) -> float:
    """Return the share of 4×4 tiles, what kernels pay for, that hold an important pixel."""
    return F.max_pool2d(spa_mask[None].float(), 4, ceil_mode=True).mean().item()


def bicubic(sets: Path, scale: int) -> dict[str, dict[str, float]]:
    figures = {}
    for name in SETS:
        rows = [
            compare(upscale(lq, scale), gt, scale) for _, gt, lq in pairs(sets / name / "HR", scale)
        ]
        figures[name] = {"psnr": mean(q.psnr_y for q in rows), "ssim": mean(q.ssim_y for q in rows)}
    return figures
