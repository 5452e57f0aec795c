"""Quality against density: what a network with a dial is worth at each of its positions."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
import torch
from torch import nn

from smsr_plugin.archs.density import logits_at
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.images import bicubic
from smsr_plugin.images.pixels import Rgb, as_lq, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.sparse import to_sparse
from smsr_plugin.sparsify.photographs import Pair

#: Timed runs of an image at each position of the dial.
RUNS = 3
#: Positions of the dial that are measured; the first one is the dense network's.
ASKED = (1.0, 0.9, 0.8, 0.7, 0.6, 0.5, 0.4, 0.3)


@dataclass(frozen=True)
class Point:
    """One position of the dial, mean over images.

    Attributes:
        asked: The density that was asked for.
        density: The share of pixels that were computed, mean over blocks.
        kept: The share of multiply-adds.
        psnr: On Y, in dB, without a border as wide as the scale.
        to_dense: The same against what the dense network gives, in place of the ground truth;
            infinite where they are equal.
        seconds: Of a megapixel of lq, in sparse inference on this machine, float32.
    """

    asked: float
    density: float
    kept: float
    psnr: float
    to_dense: float
    seconds: float


def bicubic_psnr(pairs: Sequence[Pair], scale: int) -> float:
    """Return the mean PSNR on Y of bicubic interpolation."""
    return float(np.mean([_psnr(bicubic.upscale(p.lq, scale), p.gt, scale) for p in pairs]))


@torch.inference_mode()
def dense_psnr(dense: nn.Module, pairs: Sequence[Pair], scale: int) -> float:
    """Return the mean PSNR on Y of a network."""
    results = [dense(torch.from_numpy(as_lq(pair.lq))).numpy() for pair in pairs]
    images = [to_image(sr) for sr in results]
    return float(np.mean([_psnr(sr, p.gt, scale) for sr, p in zip(images, pairs, strict=True)]))


@torch.inference_mode()
def measure(net: TileMasked, pairs: Sequence[Pair]) -> Iterator[Point]:
    """Measure a fitted network on images, yield each point of `ASKED`."""
    cost, scale = masked_cost(net.program()), net.config.upscale
    dense: list[Rgb] = []
    assert net.density_curve is not None
    for asked in ASKED:
        threshold = float(logits_at(net.density_curve, asked)[0])
        rows: list[tuple[float, ...]] = []
        for number, pair in enumerate(pairs):
            lq = torch.from_numpy(as_lq(pair.lq))
            out = cast(MaskedOutput, net(lq, threshold=threshold, return_masks=True))
            of_blocks = out.spa_mask.double().mean((0, 2, 3)).tolist()
            pixels, sr = lq.shape[2] * lq.shape[3], to_image(out.sr.numpy())
            if asked == ASKED[0]:
                dense.append(sr)
            kept = cost.macs(of_blocks, pixels) / cost.dense_macs(pixels)
            quality = _psnr(sr, pair.gt, scale), _psnr(sr, dense[number], scale)
            rows.append((float(np.mean(of_blocks)), kept, *quality))
        density, kept, psnr, to_dense = np.mean(rows, 0).tolist()
        seconds = _seconds(net, threshold, pairs)
        yield Point(asked, density, kept, psnr, to_dense, seconds)


def _seconds(net: TileMasked, threshold: float, pairs: Sequence[Pair]) -> float:
    """Return the seconds of a megapixel, of each image the least of a few runs."""
    sparse = to_sparse(net, threshold=threshold)
    seconds, pixels = 0.0, 0
    for pair in pairs:
        lq = torch.from_numpy(as_lq(pair.lq))
        sparse(lq)  # makes room for its planes
        runs = []
        for _ in range(RUNS):
            start = time.perf_counter()
            sparse(lq)
            runs.append(time.perf_counter() - start)
        seconds, pixels = seconds + min(runs), pixels + lq.shape[2] * lq.shape[3]
    return seconds / pixels * 1e6


def _psnr(sr: Rgb, gt: Rgb, scale: int) -> float:
    psnr = psnr_inside(luma(sr), luma(gt), scale)
    assert psnr is not None  # images that are judged have sides far above the border
    return psnr


def table(points: Sequence[Point]) -> str:
    """Return the curve as a table in Markdown; losses are against the first point."""
    rows = [
        f"| {p.asked:g} | {p.density:.3f} | {p.kept:.2f} | {p.psnr:.3f} | "
        f"{p.psnr - points[0].psnr:+.3f} | {p.to_dense:.1f} | {p.seconds:.2f} |"
        for p in points
    ]
    titles = "asked", "density", "multiply-adds kept", "PSNR (Y) in dB", "against dense"
    head = f"| {' | '.join((*titles, 'from dense', 'seconds'))} |"
    return "\n".join([head, "|---:" * (len(titles) + 2) + "|", *rows])
