"""A comparison as Markdown that is also readable as plain text. Nothing here prints."""

from __future__ import annotations

import math
from collections.abc import Sequence

from smsr_plugin.compare.image_markdown import image_parts
from smsr_plugin.compare.images import NTIRE_SET
from smsr_plugin.compare.paper import NTIRE_NOTES, ntire_markdown
from smsr_plugin.compare.results import Comparison, NetworkResult
from smsr_plugin.compare.tables import UNKNOWN, optional_text, seconds_text, table
from smsr_plugin.names import code_span, listed, table_cell

#: What the plots show.
CAPTIONS = {
    "quality_macs.svg": "Quality against multiply-adds; the dashed line is the Pareto frontier",
    "quality_time.svg": "Quality against measured time; the dashed line is the Pareto frontier",
    "time_macs.svg": "Measured time against multiply-adds, a point for each image",
    "density.svg": "Measured time against the share of important pixels",
}
#: Shown of a reason for which a network has no figures on some images.
REASONS_SHOWN = 3


def markdown(comparison: Comparison, plots: Sequence[str] = ()) -> str:
    """Return the whole report.

    Args:
        comparison: What was measured.
        plots: Files of plots, relative to the report.
    """
    sets = ", ".join(f"{table_cell(name)} ({count})" for name, count in comparison.sets.items())
    parts = [f"# Comparison, x{comparison.scale}"]
    if comparison.quality_sets:
        parts += [quality_table(comparison), NOTES]
        if comparison.perceptual_metrics:
            parts += [perceptual_table(comparison), PERCEPTUAL_NOTES]
        parts += ["## How they were run", run_table(comparison)]
        parts += [TIME_NOTES] if comparison.timed else []
    parts += image_parts(comparison)
    if NTIRE_SET in comparison.sets:
        parts += ["## As in the NTIRE challenges", ntire_markdown(comparison), NTIRE_NOTES]
    shown = [name for name in plots if name in CAPTIONS]
    parts += [f"![{CAPTIONS[name]}]({name})\n\n{CAPTIONS[name]}." for name in shown]
    parts += [f"- {table_cell(line)}" for line in doubts(comparison)]
    parts += failure_texts(comparison)
    parts += ["## Conditions", f"- images: {sets}\n{machine_text(comparison)}"]
    return "\n\n".join(parts) + "\n"


NOTES = """\
PSNR (dB) / SSIM on Y, mean over the images of a set, cut at a border of the scale; lq images are
MATLAB's bicubic of the HR images. Multiply-adds are for an output of 1280×720. Of a sparse SMSR
they are those kept at the mean densities of these images, and in brackets those of every pixel.
Parameters are without channel mask logits."""

PERCEPTUAL_NOTES = """\
LPIPS (AlexNet) and DISTS of RGB, whole images, mean over a set: less is better."""

TIME_NOTES = """\
Seconds: the mean over a set's images of the median run. Peak memory: beyond the imported library,
over all images. Activations: outputs of convolutions, for an output of 1280×720. Density: share of
pixels that the masks keep, mean over images and blocks."""


def printed(comparison: Comparison) -> str:
    """Return the tables alone."""
    parts = image_parts(comparison)
    if comparison.quality_sets:
        perceptual = [perceptual_table(comparison)] if comparison.perceptual_metrics else []
        parts = [quality_table(comparison), *perceptual, run_table(comparison), *parts]
    if NTIRE_SET in comparison.sets:
        parts.append(ntire_markdown(comparison))
    return "\n\n".join(parts)


def quality_table(comparison: Comparison) -> str:
    """Return the table in the papers' form."""
    head = ["network", "params", "multiply-adds", *comparison.quality_sets]
    rows = [
        [
            network.label,
            optional_text(network.params and network.params / 1e3, "{:.0f}K"),
            macs_text(network),
            *(quality_text(network, name) for name in comparison.quality_sets),
        ]
        for network in comparison.networks
    ]
    return table(head, rows)


def perceptual_table(comparison: Comparison) -> str:
    """Return the metrics of `compare.perceptual`, a column for each and each set."""
    columns = [(m, name) for name in comparison.quality_sets for m in comparison.perceptual_metrics]
    head = ["network", *(f"{name} {metric.upper()}" for metric, name in columns)]
    rows = [
        [
            network.label,
            *(optional_text(network.perceptual(*column), "{:.4f}") for column in columns),
        ]
        for network in comparison.networks
    ]
    return table(head, rows)


def run_table(comparison: Comparison) -> str:
    """Return how each network was run and what that took."""
    head = ["network", "run by", "precision", "activations", "density"]
    if comparison.timed:
        head += [f"{name}, s" for name in comparison.quality_sets] + ["peak MiB"]
    rows = []
    for network in comparison.networks:
        row = [
            network.label,
            ", ".join(filter(None, (network.run_by, network.loaded))),
            network.precision or UNKNOWN,
            optional_text(network.activations and network.activations / 1e6, "{:.0f}M"),
            optional_text(network.density, "{:.3f}"),
        ]
        if comparison.timed:
            times = (network.seconds(name) for name in comparison.quality_sets)
            row += [UNKNOWN if time is None else seconds_text(time) for time in times]
            row.append(optional_text(network.peak_mib, "{:.0f}"))
        rows.append(row)
    return table(head, rows, left=3)


def macs_text(network: NetworkResult) -> str:
    """Return the multiply-adds, and those of every pixel where masks save some."""
    if network.macs is None:
        return UNKNOWN
    text = f"{network.macs / 1e9:.1f}G"
    if network.dense_macs is not None and network.dense_macs != network.macs:
        text += f" ({network.dense_macs / 1e9:.1f}G)"
    return text


def quality_text(network: NetworkResult, set_name: str) -> str:
    """Return "37.99/0.9602" for a set."""
    psnr, ssim = network.psnr_y(set_name), network.ssim_y(set_name)
    if psnr is None or ssim is None:
        return UNKNOWN
    return f"{'∞' if math.isinf(psnr) else f'{psnr:.2f}'}/{ssim:.4f}"


def doubts(comparison: Comparison) -> list[str]:
    """Return a line on each network whose images are worse than bicubic interpolation's."""
    lines = []
    for network in comparison.networks:
        for name in comparison.quality_sets:
            found, bicubic = network.psnr_y(name), comparison.networks[0].psnr_y(name)
            if found is not None and bicubic is not None and found < bicubic:
                lines.append(
                    f"{network.label}: {found:.2f} dB on {name} is below bicubic's {bicubic:.2f}: "
                    "a training that failed, or values of another range (,img_range=255)"
                )
    return lines


def failure_texts(comparison: Comparison) -> list[str]:
    """Return a paragraph on what could not be measured, or none."""
    lines = []
    for network in comparison.networks:
        for reason in dict.fromkeys(network.failures.values()):
            images = [image for image, given in network.failures.items() if given == reason]
            text = f"{network.label}: {listed(images, REASONS_SHOWN)}: {reason}"
            lines.append(f"- {table_cell(text)}")
    return ["## Not measured", "\n".join(lines)] if lines else []


def machine_text(comparison: Comparison) -> str:
    """Return where, when and how it was measured."""
    machine, schedule = comparison.machine, comparison.schedule
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items() if v)
    load = f"{machine['load_average'][0]:.2f}" if machine["load_average"] else UNKNOWN
    lines = [
        f"{machine['cpu']}, {machine['cores_usable'] or machine['cores']} cores",
        f"caches {caches or UNKNOWN}; memory {machine['memory_gib'] or UNKNOWN} GiB; "
        f"{' '.join(machine['isa']) or UNKNOWN}",
        f"{machine['os']}, Python {machine['python']}, {packages}",
        f"{comparison.date}, {comparison.threads} threads, {schedule['rounds']:g} rounds of "
        f"{schedule['untimed']:g} untimed and {schedule['timed']:g} timed runs, load average "
        f"{load} before",
        code_span(" ".join(comparison.command)),
    ]
    return "\n".join(f"- {line}" for line in lines)
