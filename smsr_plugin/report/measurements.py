"""Everything that a report says of one image, as numbers and arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.pixels import as_lq, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.report.cases import Case
from smsr_plugin.report.channels import ZeroShares, zero_shares
from smsr_plugin.report.detail import Detail, detail
from smsr_plugin.report.speed import (
    EVERY_PIXEL,
    PartTimes,
    SpeedPoint,
    measure_curve,
    measure_parts,
)
from smsr_plugin.sparse import SparseNetwork, to_sparse


class Subject:
    """The network that is reported on, in its forms.

    Attributes:
        sparse: The network that infers.
        twin: The same weights with every pixel computed, in float32.
        ch_mask: (K, L, C) bool, the sparse channels.
    """

    def __init__(self, net: SMSR, precision: str = "fp32", threshold: float = 0.0) -> None:
        """Convert a network for RGB images.

        Raises:
            ValueError: If it is for other images, or an option is unknown.
        """
        if net.config.num_in_ch != 3:
            raise ValueError(
                f"a report needs a network for RGB images, got one of {net.config.num_in_ch} "
                "channels"
            )
        if not math.isfinite(threshold):
            raise ValueError(f"the threshold must be a number, got {threshold}")
        self.sparse: SparseNetwork = to_sparse(net, precision, threshold)
        self.twin = DenseTwin(net)
        self.ch_mask: NDArray[np.bool_] = (
            net.eval().channel_masks()[0].detach().permute(0, 2, 1).numpy() > 0
        )


@dataclass(frozen=True)
class Measurements:
    """What was found for one image.

    Attributes:
        case: The image.
        threshold: Of the network.
        bicubic: (H·s, W·s, 3) RGB, 0…255, enlarged as MATLAB does.
        sr: (H·s, W·s, 3) RGB, 0…255.
        spa_mask: (K, H, W) bool.
        spa_density: For each block.
        macs, macs_dense: Multiply-adds that were computed, and without any skipping.
        psnr_bicubic, psnr_sr: dB on Y; None without ground truth or for too small an image.
        detail: Where the image has detail.
        zero_shares: Zeros among the features.
        curve: Quality and time against the threshold.
        parts: Times of the parts, where they can be told.
    """

    case: Case
    threshold: float
    bicubic: NDArray[np.uint8]
    sr: NDArray[np.uint8]
    spa_mask: NDArray[np.bool_]
    spa_density: tuple[float, ...]
    macs: float
    macs_dense: float
    psnr_bicubic: float | None
    psnr_sr: float | None
    detail: Detail
    zero_shares: ZeroShares
    curve: tuple[SpeedPoint, ...]
    parts: PartTimes | None

    @property
    def density(self) -> float:
        """The mean density of the blocks."""
        return sum(self.spa_density) / len(self.spa_density)

    @property
    def kept(self) -> float:
        """The share of the multiply-adds that was computed."""
        return self.macs / self.macs_dense

    @property
    def seconds(self) -> float:
        """The median time of a run."""
        return self._at(self.threshold).seconds

    @property
    def seconds_every_pixel(self) -> float:
        """The median time of a run in which every pixel is important."""
        return self._at(EVERY_PIXEL).seconds

    def _at(self, threshold: float) -> SpeedPoint:
        return next(point for point in self.curve if point.threshold == threshold)


def steps(runs: int) -> int:
    """Return how often `measure` reports progress."""
    return 1 + runs + 2


@torch.inference_mode()
def measure(
    subject: Subject, case: Case, runs: int, progress: Callable[[], object] = lambda: None
) -> Measurements:
    """Run the network on an image in all its forms.

    Args:
        subject: The network.
        case: The image.
        runs: Timed runs of which medians are taken.
        progress: Called `steps(runs)` times.
    """
    sparse, scale = subject.sparse, subject.sparse.config.upscale
    x = torch.from_numpy(as_lq(case.lq))
    sr, stats = sparse(x, return_stats=True)
    picture, bicubic = to_image(sr.numpy()), upscale(case.lq, scale)
    spa_mask = stats.spa_mask[0].numpy()
    gt_y = None if case.gt is None else luma(case.gt)
    curve = measure_curve(sparse, x, gt_y, runs, progress)
    parts = measure_parts(sparse, x, runs)
    progress()
    shares = zero_shares(subject.twin, x, stats.spa_mask[0])
    progress()
    return Measurements(
        case=case,
        threshold=sparse.threshold,
        bicubic=bicubic,
        sr=picture,
        spa_mask=spa_mask,
        spa_density=tuple(stats.spa_density[0].tolist()),
        macs=stats.macs[0],
        macs_dense=stats.macs_dense,
        psnr_bicubic=None if gt_y is None else psnr_inside(luma(bicubic), gt_y, scale),
        psnr_sr=None if gt_y is None else psnr_inside(luma(picture), gt_y, scale),
        detail=detail(case.lq, bicubic, picture if case.gt is None else case.gt, spa_mask),
        zero_shares=shares,
        curve=curve,
        parts=parts,
    )
