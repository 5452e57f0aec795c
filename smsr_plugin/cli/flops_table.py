"""The table of `smsr flops`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.complexity import Complexity, SMSRCost, dense_channels, measured
from smsr_plugin.images.files import read_image


class Row(NamedTuple):
    """One line of the table."""

    label: str
    value: float
    unit: str
    note: str = ""


def network_rows(complexity: Complexity) -> list[Row]:
    """Return the rows that every network has."""
    rows = [Row("parameters", (complexity.params - complexity.mask_params) / 1e3, "K")]
    if complexity.mask_params:
        rows.append(Row("channel mask logits", complexity.mask_params / 1e3, "K"))
    return [*rows, Row("multiply-adds", complexity.macs / 1e9, "G")]


def smsr_rows(
    net: SMSR, lq_pixels: int, densities: Sequence[float], images: Sequence[Path], *, fresh: bool
) -> list[Row]:
    """Return the rows that only SMSR has.

    Args:
        net: The network.
        lq_pixels: Pixels of the lq image that the other rows are for.
        densities: Also count with these.
        images: Also count with the masks of these lq images.
        fresh: The weights are fresh: every channel is taken as sparse.

    Raises:
        ValueError: If there are images for fresh weights, or a density is not in 0…1.
    """
    if fresh and images:
        raise ValueError("--image needs --weights: the masks of fresh weights say nothing")
    sparse = [[0] * net.config.num_layer] * net.config.num_block
    cost = SMSRCost(net.config, sparse if fresh else dense_channels(net))
    rows = part_rows(cost, lq_pixels) + density_rows(cost, lq_pixels, densities)
    return rows + [image_row(net, path) for path in images]


def part_rows(cost: SMSRCost, lq_pixels: int) -> list[Row]:
    """Return the parts of an SMSR's multiply-adds."""
    parts = {
        "head": cost.head,
        "mask predictors": cost.mask,
        "collect": cost.collect,
        "tail": cost.tail,
        "SMM, every pixel": sum(cost.smm_dense),
        "SMM, important pixels": sum(cost.smm_sparse),
    }
    rows = [Row(f"  {part}", value * lq_pixels / 1e9, "G") for part, value in parts.items()]
    rows[-1] = rows[-1]._replace(note="× density")
    return rows


def density_rows(cost: SMSRCost, lq_pixels: int, densities: Sequence[float]) -> list[Row]:
    """Return the multiply-adds with the same density in each block, for each density."""
    return [
        Row(
            f"at density {density:g}",
            cost.macs([density] * cost.config.num_block, lq_pixels) / 1e9,
            "G",
        )
        for density in densities
    ]


def image_row(net: SMSR, path: Path) -> Row:
    """Return the multiply-adds for one lq image, with the density in each block."""
    image = torch.from_numpy(read_image(path)).permute(2, 0, 1)
    result = measured(net, image.unsqueeze(0) / 255)
    densities = " ".join(f"{density:.3f}" for density in result.spa_densities)
    height, width = image.shape[1:]
    return Row(
        f"{path.name}, lq {width}×{height}",
        result.macs / 1e9,
        "G",
        f"{result.kept:.1%} of {result.dense_macs / 1e9:.2f} G; density in blocks {densities}",
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows aligned, one a line."""
    width = max(len(row.label) for row in rows)
    lines = (f"{row.label:<{width}} {row.value:10.2f} {row.unit} {row.note}" for row in rows)
    return "\n".join(line.rstrip() for line in lines)
