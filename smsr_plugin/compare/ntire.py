"""The table of the NTIRE challenges on efficient super-resolution, for Markdown and LaTeX.

Runtime, multiply-adds, activations and memory are for lq images of 256×256, PSNR is on RGB. The
challenges count with noise; what networks with masks compute depends on the image, so that here
three photographs are taken, and the means over them.
"""

from __future__ import annotations

import math

from smsr_plugin.compare.images import NTIRE_SET
from smsr_plugin.compare.latex import RULE, escaped, line, tabular
from smsr_plugin.compare.results import Comparison, NetworkResult
from smsr_plugin.compare.tables import optional_text, table
from smsr_plugin.names import printable

HEAD = ("runtime, ms", "params, M", "FLOPs, G", "activations, M", "memory, MiB")
NOTES = """\
For lq images of 256×256, parts of three photographs. Runtime: the median run, mean over the three.
FLOPs: multiply-adds, each counted once; of networks with masks FLOPs and activations are what the
masks keep. PSNR (dB): on RGB, cut at a border of the scale."""


def ntire_markdown(comparison: Comparison) -> str:
    """Return the table of a comparison on the images of `NTIRE_SET`."""
    return table(_head(comparison), [_row(each, comparison) for each in comparison.networks])


def ntire_latex(comparison: Comparison) -> str:
    """Return the same for LaTeX."""
    rows = [_row(network, comparison) for network in comparison.networks]
    head, *lines = (line(map(escaped, row)) for row in (_head(comparison), *rows))
    return tabular("l" + "r" * len(rows[0][1:]), [head, RULE, *lines])


def _head(comparison: Comparison) -> list[str]:
    return ["method", *(f"PSNR {name}" for name in comparison.quality_sets), *HEAD]


def _row(network: NetworkResult, comparison: Comparison) -> list[str]:
    psnr = (
        network.mean(lambda m: m.quality and m.quality.psnr_rgb, name)
        for name in comparison.quality_sets
    )
    seconds = network.seconds(NTIRE_SET)
    macs = network.mean(lambda m: m.macs, NTIRE_SET)
    activations = network.mean(lambda m: m.activations, NTIRE_SET)
    measured = [m for m in network.measurements if m.set_name == NTIRE_SET]
    memory = max((m.peak_mib for m in measured if m.peak_mib is not None), default=None)
    return [
        printable(network.label),
        *("∞" if value == math.inf else optional_text(value, "{:.2f}") for value in psnr),
        optional_text(seconds and seconds * 1e3, "{:.2f}"),
        optional_text(network.params and network.params / 1e6, "{:.3f}"),
        optional_text(macs and macs / 1e9, "{:.2f}"),
        optional_text(activations and activations / 1e6, "{:.2f}"),
        optional_text(memory, "{:.1f}"),
    ]
