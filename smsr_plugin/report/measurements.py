"""Everything that a report says of one image, as numbers and arrays."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.images.bicubic import upscale
from smsr_plugin.images.pixels import Rgb, as_lq, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.report.detail import Detail, DetailMaps, compare_detail, detail_maps
from smsr_plugin.report.lq_images import LqImage
from smsr_plugin.report.speed import (
    EVERY_PIXEL,
    Curve,
    PartTimes,
    SpeedPoint,
    measure_curve,
    measure_parts,
)
from smsr_plugin.sparse import SparseNetwork, to_sparse

#: Bins of the histogram over 0…1.
BINS = 20
#: A channel with at least this share of zeros is called silent.
SILENT = 0.9


@dataclass(frozen=True)
class ZeroShares:
    """For each feature channel the share of its values that are zero after the ReLU.

    Attributes:
        important, unimportant: (K, L, C), at the pixels inside and outside of a block's mask;
            NaN where there is no such pixel.
    """

    important: NDArray[np.float64]
    unimportant: NDArray[np.float64]


def zero_shares(twin: DenseTwin, x: Tensor, spa_mask: Tensor) -> ZeroShares:
    """Count zeros in the outputs of all layers of the blocks, with every pixel computed.

    With the masks applied, sparse channels would be zero at unimportant pixels by definition;
    the dense network shows what they hold if nothing is skipped.

    Args:
        twin: The network without masks.
        x: (1, 3, H, W), 0…1.
        spa_mask: (K, H, W) bool, the masks that the sparse network decided on.
    """
    important: list[NDArray[np.float64]] = []
    unimportant: list[NDArray[np.float64]] = []

    def count(fuse: nn.Module, inputs: tuple[Tensor]) -> None:
        zero, mask = inputs[0][0] == 0, spa_mask[len(important)]
        channels = fuse.get_parameter("weight").shape[0]
        important.append(_share(zero, mask).reshape(-1, channels))
        unimportant.append(_share(zero, ~mask).reshape(-1, channels))

    # A block's fuse sees the outputs of all of its layers, one after the other.
    hooks = [
        block.get_submodule("fuse").register_forward_pre_hook(count) for block in twin.body.blocks
    ]
    try:
        with torch.inference_mode():
            twin(x)
    finally:
        for hook in hooks:
            hook.remove()
    return ZeroShares(np.stack(important), np.stack(unimportant))


def histogram(shares: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the share of channels in each of `BINS` bins over 0…1; zeros if all are NaN."""
    known = shares[~np.isnan(shares)]
    counts, _ = np.histogram(known, bins=BINS, range=(0, 1))
    return counts / max(1, known.size)


def silent(shares: NDArray[np.float64]) -> float | None:
    """Return the share of channels with at least `SILENT` of their values zero."""
    known = shares[~np.isnan(shares)]
    return float(np.mean(known >= SILENT)) if known.size else None


def _share(zero: Tensor, mask: Tensor) -> NDArray[np.float64]:
    """Return the share of zeros of each channel (channels, H, W) at the pixels of a mask."""
    pixels = int(mask.sum())
    if not pixels:
        return np.full(len(zero), np.nan)
    return (zero & mask).sum((1, 2)).double().numpy() / pixels


class Subject:
    """The network that is reported on, in its forms.

    Attributes:
        name: What the network is called.
        sparse: The network that infers.
        twin: Of an SMSR the same weights with every pixel computed, in float32.
        ch_mask: Of an SMSR (K, L, C) bool, the sparse channels.
    """

    def __init__(self, net: MaskedNetwork, precision: str = "fp32", threshold: float = 0.0) -> None:
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
        self.name = type(net).__name__
        self.sparse: SparseNetwork = to_sparse(net, precision, threshold)
        self.twin: DenseTwin | None = None
        self.ch_mask: NDArray[np.bool_] | None = None
        if isinstance(net, SMSR):
            self.twin = DenseTwin(net)
            ch_mask = net.eval().channel_masks()[0].detach()
            self.ch_mask = ch_mask.permute(0, 2, 1).numpy() > 0


@dataclass(frozen=True)
class Figures:
    """What was found for one image, in numbers.

    Attributes:
        threshold: Of the network.
        spa_density: For each block.
        macs, macs_dense: Multiply-adds that were computed, and without any skipping.
        psnr_bicubic, psnr_sr: dB on Y; None without ground truth or for too small an image.
        detail: Where the image has detail, and the masks.
        zero_shares: Zeros among the features, where the network has a dense twin.
        curve: Quality and time against the threshold.
        parts: Times of the parts, where they can be told.
    """

    threshold: float
    spa_density: tuple[float, ...]
    macs: float
    macs_dense: float
    psnr_bicubic: float | None
    psnr_sr: float | None
    detail: Detail
    zero_shares: ZeroShares | None
    curve: Curve
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
    def own(self) -> SpeedPoint:
        """The network as it was asked for."""
        return self._at(self.threshold)

    @property
    def every_pixel(self) -> SpeedPoint:
        """The network when every pixel is important."""
        return self._at(EVERY_PIXEL)

    def _at(self, threshold: float) -> SpeedPoint:
        return next(point for point in self.curve.points if point.threshold == threshold)


@dataclass(frozen=True)
class Measurements:
    """An image and what was found for it.

    Attributes:
        image: The image.
        figures: The numbers.
        bicubic: (H·s, W·s, 3) RGB, 0…255, enlarged as MATLAB does.
        sr: (H·s, W·s, 3) RGB, 0…255.
        spa_mask: (K, H, W) bool.
        maps: Where the image has detail.
    """

    image: LqImage
    figures: Figures
    bicubic: Rgb
    sr: Rgb
    spa_mask: NDArray[np.bool_]
    maps: DetailMaps


def steps(runs: int) -> int:
    """Return how often `measure` reports progress."""
    return 1 + runs + 2


@torch.inference_mode()
def measure(
    subject: Subject, image: LqImage, runs: int, progress: Callable[[], object] = lambda: None
) -> Measurements:
    """Run the network on an image in all its forms.

    Args:
        subject: The network.
        image: The image.
        runs: Timed runs of which medians are taken, more where they differ (see `speed`).
        progress: Called `steps(runs)` times.
    """
    sparse, scale = subject.sparse, subject.sparse.config.upscale
    x = torch.from_numpy(as_lq(image.lq))
    out, stats = sparse(x, return_stats=True)
    sr, bicubic = to_image(out.numpy()), upscale(image.lq, scale)
    spa_mask = stats.spa_mask[0].numpy()
    maps = detail_maps(image.lq, bicubic, sr if image.gt is None else image.gt)
    gt_y = None if image.gt is None else luma(image.gt)
    curve = measure_curve(sparse, x, gt_y, runs, progress)
    parts = measure_parts(sparse, x, runs)
    progress()
    shares = None if subject.twin is None else zero_shares(subject.twin, x, stats.spa_mask[0])
    progress()
    figures = Figures(
        threshold=sparse.threshold,
        spa_density=tuple(stats.spa_density[0].tolist()),
        macs=stats.macs[0],
        macs_dense=stats.macs_dense,
        psnr_bicubic=None if gt_y is None else psnr_inside(luma(bicubic), gt_y, scale),
        psnr_sr=None if gt_y is None else psnr_inside(luma(sr), gt_y, scale),
        detail=compare_detail(maps, spa_mask),
        zero_shares=shares,
        curve=curve,
        parts=parts,
    )
    return Measurements(image, figures, bicubic, sr, spa_mask, maps)
