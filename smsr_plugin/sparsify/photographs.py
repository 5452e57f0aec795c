"""Pieces of photographs to fit a network on, and images that are kept aside to judge it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.files import DataError, list_images
from smsr_plugin.images.pixels import Rgb, as_lq
from smsr_plugin.images.rgb import read_rgb

#: Side of the lq pieces, and how many there are.
PIECE, PIECES = 96, 64
#: Side of the lq images that are kept aside, and how many there are at most.
JUDGED_SIDE, JUDGED = 160, 4
#: Photographs from a camera are smooth pixel by pixel: they are also reduced by these.
REDUCTIONS = (2, 3, 1)
#: Of so many places in a photograph the one with most detail is taken.
PLACES = 3


@dataclass(frozen=True)
class Pair:
    """An lq image and its ground truth; (H, W, 3), 0…255."""

    lq: Rgb
    gt: Rgb


@dataclass(frozen=True)
class Photographs:
    """What a folder gives.

    Attributes:
        pieces: lq, (N, 3, PIECE, PIECE), 0…1.
        judged: Images of photographs that no piece is from.
    """

    pieces: Tensor
    judged: list[Pair]


def read_photographs(folder: Path, scale: int, seed: int = 0, pieces: int = PIECES) -> Photographs:
    """Read a folder of photographs of any sizes; no ground truth is needed, lq is made of them.

    Every eighth photograph, but at least one, is kept aside.

    Raises:
        DataError: If there are fewer than two, one cannot be read, or one is too small.
        OSError: If one cannot be read.
    """
    paths = list_images(folder).paths
    if len(paths) < 2:
        raise DataError(f"{folder}: expected at least 2 photographs, one to judge by, got 1")
    random = np.random.default_rng(seed)
    random.shuffle(paths)  # pyright: ignore[reportArgumentType]
    aside = min(JUDGED, max(1, len(paths) // 8))
    judged = [_judged(read_rgb(path), scale, n, path) for n, path in enumerate(paths[:aside])]
    rest = paths[aside:]
    taken: list[Tensor] = []
    for number in range(min(len(rest), pieces)):
        image = read_rgb(rest[number])
        for turn in range(number, pieces, len(rest)):
            lq = _reduced(image, scale, PIECE, turn, rest[number]).lq
            taken.append(torch.from_numpy(as_lq(_detailed(lq, random))))
    return Photographs(torch.cat(taken), judged)


def _judged(image: Rgb, scale: int, turn: int, path: Path) -> Pair:
    pair = _reduced(image, scale, PIECE, turn, path)
    height, width = (min(side, JUDGED_SIDE) for side in pair.lq.shape[:2])
    top, left = (pair.lq.shape[0] - height) // 2, (pair.lq.shape[1] - width) // 2
    inside = np.s_[top : top + height, left : left + width]
    of_gt = np.s_[top * scale : (top + height) * scale, left * scale : (left + width) * scale]
    return Pair(pair.lq[inside], pair.gt[of_gt])


def _reduced(image: Rgb, scale: int, least: int, turn: int, path: Path) -> Pair:
    """Reduce a photograph by one of `REDUCTIONS`, as long as its lq has sides of `least`."""
    side = min(image.shape[:2]) // scale
    if side < least:
        raise DataError(
            f"{path}: expected at least {least * scale} pixels a side, got {image.shape[1]}×"
            f"{image.shape[0]}"
        )
    fitting = [factor for factor in REDUCTIONS if side // factor >= least]
    factor = fitting[turn % len(fitting)]
    gt = mod_crop(image if factor == 1 else downscale(image, factor), scale)
    return Pair(downscale(gt, scale), gt)


def _detailed(lq: Rgb, random: np.random.Generator) -> Rgb:
    """Return of a few pieces the one with the largest mean step between neighbours."""
    rows, columns = (side - PIECE + 1 for side in lq.shape[:2])
    places = [(random.integers(rows), random.integers(columns)) for _ in range(PLACES)]
    pieces = [lq[top : top + PIECE, left : left + PIECE] for top, left in places]
    return max(pieces, key=lambda piece: float(np.abs(np.diff(piece.astype(float), axis=0)).mean()))
