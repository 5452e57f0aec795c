"""One image's part of the page: measurements as numbers, charts and embedded pictures."""

from __future__ import annotations

from dataclasses import dataclass

from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.report import figures
from smsr_plugin.report.channels import histogram, silent
from smsr_plugin.report.charts import Chart
from smsr_plugin.report.detail import Contrast, Detail
from smsr_plugin.report.measurements import Measurements
from smsr_plugin.report.pictures import Picture, exact, grey, heat_map, overlay, thumbnail
from smsr_plugin.report.speed import PartTimes, SpeedPoint


@dataclass(frozen=True)
class Layer:
    """A picture that the slider can show.

    Attributes:
        key: How the page's script calls it.
        name: How people call it.
        picture: The picture.
    """

    key: str
    name: str
    picture: Picture


@dataclass(frozen=True)
class Section:
    """What the template shows of one image.

    Arrays have become encoded pictures and charts, so that many images fit into memory.
    Attributes that are not listed are those of `Measurements` and `Detail`.

    Attributes:
        size, whole_size: Width and height of the lq image, and before its middle was taken.
        layers: For the slider; the first two are those that it shows at first.
        masks: The mask of each block over the image.
        block_contrasts: Of the high-frequency energy, for each block.
        zeros_important, zeros_unimportant: The histograms of the share of zeros, bin by bin.
        silent_important, silent_unimportant: The share of channels that are nearly always zero.
        time_curve, kept_curve: Quality against time and against multiply-adds; None where the
            image is too small to have a PSNR.
    """

    name: str
    size: tuple[int, int]
    whole_size: tuple[int, int]
    has_gt: bool
    thumbnail: Picture
    density: float
    spa_density: tuple[float, ...]
    kept: float
    macs: float
    macs_dense: float
    seconds: float
    seconds_every_pixel: float
    psnr_bicubic: float | None
    psnr_sr: float | None
    layers: tuple[Layer, ...]
    masks: tuple[Picture, ...]
    density_chart: Chart
    parts: PartTimes | None
    time_chart: Chart | None
    y: Picture
    high: Picture
    missed: Picture
    all_masks: Picture
    high_contrast: Contrast
    missed_contrast: Contrast
    block_contrasts: tuple[Contrast, ...]
    group_density: tuple[float, ...]
    group_missed: tuple[float, ...]
    detail_chart: Chart
    zeros_chart: Chart
    zeros_important: tuple[float, ...]
    zeros_unimportant: tuple[float, ...]
    silent_important: float | None
    silent_unimportant: float | None
    curve: tuple[SpeedPoint, ...]
    time_curve: Chart | None
    kept_curve: Chart | None


def make_section(m: Measurements) -> Section:
    """Turn the measurements of an image into what the page shows."""
    name, lq, detail = m.case.name, m.case.lq, m.detail
    all_masks = overlay(
        mask_overlay(lq, m.spa_mask), f"{name} in grey, coloured by how many blocks compute a pixel"
    )
    psnr_label = "PSNR on Y, dB" if m.case.gt is not None else "PSNR to threshold 0, dB"
    return Section(
        name=name,
        size=(lq.shape[1], lq.shape[0]),
        whole_size=(m.case.whole[1], m.case.whole[0]),
        has_gt=m.case.gt is not None,
        thumbnail=thumbnail(m.sr, ""),
        density=m.density,
        spa_density=m.spa_density,
        kept=m.kept,
        macs=m.macs,
        macs_dense=m.macs_dense,
        seconds=m.seconds,
        seconds_every_pixel=m.seconds_every_pixel,
        psnr_bicubic=m.psnr_bicubic,
        psnr_sr=m.psnr_sr,
        layers=_layers(m, all_masks),
        masks=_masks(m),
        density_chart=figures.density_chart(m.spa_density),
        parts=m.parts,
        time_chart=figures.time_chart(m.parts) if m.parts else None,
        **_detail_pictures(name, detail),
        all_masks=all_masks,
        high_contrast=detail.high_contrast,
        missed_contrast=detail.missed_contrast,
        block_contrasts=detail.block_contrasts,
        group_density=detail.group_density,
        group_missed=detail.group_missed,
        detail_chart=figures.detail_chart(detail),
        zeros_chart=figures.zeros_chart(m.zero_shares),
        zeros_important=tuple(histogram(m.zero_shares.important).tolist()),
        zeros_unimportant=tuple(histogram(m.zero_shares.unimportant).tolist()),
        silent_important=silent(m.zero_shares.important),
        silent_unimportant=silent(m.zero_shares.unimportant),
        curve=m.curve,
        time_curve=figures.curve_chart(
            m.curve, m.threshold, "time, ms", lambda p: p.seconds * figures.MILLI, psnr_label
        ),
        kept_curve=figures.curve_chart(
            m.curve, m.threshold, "multiply-adds kept, %", lambda p: p.kept * 100, psnr_label
        ),
    )


def _layers(m: Measurements, all_masks: Picture) -> tuple[Layer, ...]:
    name = m.case.name
    layers = [
        Layer("bicubic", "bicubic", exact(m.bicubic, f"{name}, enlarged by interpolation")),
        Layer("sr", "SMSR", exact(m.sr, f"{name}, enlarged by SMSR")),
    ]
    if m.case.gt is not None:
        picture = exact(m.case.gt, f"{name}, the ground truth")
        layers.append(Layer("gt", "ground truth", picture))
    return (*layers, Layer("masks", "masks", all_masks))


def _masks(m: Measurements) -> tuple[Picture, ...]:
    return tuple(
        overlay(
            mask_overlay(m.case.lq, mask[None]),
            f"{m.case.name} in grey; yellow where block {number} computes, "
            f"{m.spa_density[number - 1]:.0%} of the pixels, blue elsewhere",
        )
        for number, mask in enumerate(m.spa_mask, 1)
    )


def _detail_pictures(name: str, detail: Detail) -> dict[str, Picture]:
    return {
        "y": grey(detail.y, f"{name}, luminance"),
        "high": heat_map(detail.high, f"{name}, where the luminance has high frequencies"),
        "missed": heat_map(detail.missed, f"{name}, where bicubic interpolation errs"),
    }
