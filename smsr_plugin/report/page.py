"""The page on images: the part of each, and what holds for all of them, as one HTML text."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.images.mask_overlay import mask_colours, mask_overlay
from smsr_plugin.machine import describe
from smsr_plugin.report import charts, measurements, rendering
from smsr_plugin.report.detail import BLUR_SIGMA
from smsr_plugin.report.measurements import Figures, Measurements, Subject
from smsr_plugin.report.rendering import Embedded, exact, grey, heat_map, overlay, thumbnail
from smsr_plugin.report.speed import STEADY
from smsr_plugin.sparse.native.kernels import load_kernels

#: A load average, per usable core, above which a machine is called busy.
BUSY = 0.5
#: The columns of the overview that are averaged.
AVERAGED: dict[str, Callable[[Section], float | None]] = {
    "density": lambda s: s.figures.density,
    "kept": lambda s: s.figures.kept,
    "seconds": lambda s: s.figures.own.seconds,
    "psnr_bicubic": lambda s: s.figures.psnr_bicubic,
    "psnr_sr": lambda s: s.figures.psnr_sr,
}


@dataclass(frozen=True)
class Layer:
    """A picture that the slider can show.

    Attributes:
        key: How the page's script calls it.
        name: How people call it.
        picture: The picture.
        is_mask: It is the colours of masks, which the page lays over the lq image.
    """

    key: str
    name: str
    picture: Embedded
    is_mask: bool = False


@dataclass(frozen=True)
class Section:
    """What the template shows of one image; arrays have become encoded pictures.

    Attributes:
        name: Of the image.
        size, whole_size: Width and height of the lq image, and before its middle was taken.
        has_gt: Whether there is a ground truth.
        notes: What the file holds that is not shown.
        figures: The numbers.
        thumbnail: The result, small.
        lq: The lq image.
        layers: For the slider; the first two are those that it shows at first.
        masks: The mask of each block over the image, then that of all blocks.
        y, high, missed: Where the image has detail.
    """

    name: str
    size: tuple[int, int]
    whole_size: tuple[int, int]
    has_gt: bool
    notes: tuple[str, ...]
    figures: Figures
    thumbnail: Embedded
    lq: Embedded
    layers: tuple[Layer, ...]
    masks: tuple[Layer, ...]
    y: Embedded
    high: Embedded
    missed: Embedded

    @property
    def psnr_label(self) -> str:
        """What the quality of a result is measured against."""
        return "PSNR on Y, dB" if self.has_gt else "PSNR to threshold 0, dB"


def make_section(m: Measurements, network: str) -> Section:
    """Turn the measurements of an image into what the page shows.

    Args:
        m: The measurements.
        network: What the network is called.
    """
    name, lq = m.image.name, m.image.lq
    return Section(
        name=name,
        size=(lq.shape[1], lq.shape[0]),
        whole_size=(m.image.whole[1], m.image.whole[0]),
        has_gt=m.image.gt is not None,
        notes=m.image.notes,
        figures=m.figures,
        thumbnail=thumbnail(m.sr, ""),
        lq=exact(lq, f"{name}, the lq image"),
        layers=(*_images(m, network), *_masks(m, covered=False)),
        masks=_masks(m, covered=True),
        y=grey(m.maps.y, f"{name}, luminance"),
        high=heat_map(m.maps.high, f"{name}, where the luminance has high frequencies"),
        missed=heat_map(m.maps.missed, f"{name}, where bicubic interpolation errs"),
    )


def _images(m: Measurements, network: str) -> list[Layer]:
    name = m.image.name
    layers = [
        Layer("bicubic", "bicubic", exact(m.bicubic, f"{name}, enlarged by interpolation")),
        Layer("sr", network, exact(m.sr, f"{name}, enlarged by {network}")),
    ]
    if m.image.gt is not None:
        picture = exact(m.image.gt, f"{name}, the ground truth")
        layers.append(Layer("gt", "ground truth", picture))
    return layers


def _masks(m: Measurements, covered: bool) -> tuple[Layer, ...]:
    """Return the masks of each block, then of all; over the image in grey, or their colours."""
    kinds = [
        (
            f"block-{number}",
            f"block {number}",
            mask[None],
            f"yellow where block {number} computes, "
            f"{m.figures.spa_density[number - 1]:.0%} of the pixels, blue elsewhere",
        )
        for number, mask in enumerate(m.spa_mask, 1)
    ]
    kinds.append(("blocks", "all blocks", m.spa_mask, "coloured by how many blocks compute"))

    def picture(spa_mask: NDArray[np.bool_], alt: str) -> Embedded:
        if covered:
            return overlay(mask_overlay(m.image.lq, spa_mask), f"{m.image.name} in grey; {alt}")
        return exact(mask_colours(spa_mask), f"{m.image.name}: {alt}")

    return tuple(Layer(key, name, picture(mask, alt), True) for key, name, mask, alt in kinds)


@dataclass(frozen=True)
class Context:
    """What the page says beside its images. Make it before the first run, for the load average.

    Attributes:
        network: What the network is called.
        weights: The name of the checkpoint.
        upscale: The scale of the network.
        precision: "fp32", "bf16" or "int8".
        threshold: Of the masks' decision.
        ch_mask: (K, L, C) bool, the sparse channels, of an SMSR.
        kernels: The instruction set of the native kernels; None if plain PyTorch runs the network.
        threads: How many threads the network may use.
        machine: As `smsr_plugin.machine.describe` tells.
    """

    network: str
    weights: str
    upscale: int
    precision: str
    threshold: float
    ch_mask: NDArray[np.bool_] | None
    kernels: str | None
    threads: int = field(default_factory=torch.get_num_threads)
    machine: dict[str, Any] = field(default_factory=describe)

    @property
    def is_busy(self) -> bool:
        """Whether other work took so much of the machine that times say little."""
        cores = self.machine["cores_usable"] or self.machine["cores"] or 1
        load = self.machine["load_average"]
        return load is not None and load[0] > BUSY * cores

    @classmethod
    def of(cls, subject: Subject, weights: str) -> Context:
        """Describe a network, and the machine as it is now."""
        sparse = subject.sparse
        kernels = load_kernels() if sparse.runs_native else None
        return cls(
            subject.name,
            weights,
            sparse.config.upscale,
            sparse.precision,
            sparse.threshold,
            subject.ch_mask,
            None if kernels is None else kernels.isa(),
        )


def render(sections: Sequence[Section], context: Context) -> str:
    """Return the page as HTML; see `rendering.render`."""
    return rendering.render(
        "images.html.j2",
        sections=sections,
        means={name: _mean([value(s) for s in sections]) for name, value in AVERAGED.items()},
        context=context,
        charts=charts,
        measurements=measurements,
        steady=STEADY,
        blur_sigma=BLUR_SIGMA,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if len(known) == len(values) else None
