"""Our figures for each image against published ones: does the evaluation pipeline agree?"""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

#: Columns that tell an image; those that are compared.
KEY = ("dataset", "image")
PSNR, SSIM = "psnr_y", "ssim_y"

Rows = Mapping[tuple[str, str], Mapping[str, float]]


class Agreement(NamedTuple):
    """On one set; PSNR on Y in dB, SSIM on Y."""

    set_name: str
    images: int
    psnr_within: int  #: Images whose PSNR is within the tolerance.
    psnr_largest: float  #: Largest difference of an image.
    psnr_mean: float  #: Difference of the means.
    ssim_within: int
    ssim_largest: float


def read_rows(file: Path, network: str | None = None) -> dict[tuple[str, str], dict[str, float]]:
    """Read a CSV file with the columns dataset, image, psnr_y and ssim_y.

    Args:
        file: `images.csv` of `smsr benchmark`, or a published table of that form.
        network: The label whose rows are taken; None takes all.

    Raises:
        ValueError: If a column is missing, or an image occurs twice.
        OSError: If the file cannot be read.
    """
    rows: dict[tuple[str, str], dict[str, float]] = {}
    with file.open(newline="", encoding="utf-8") as stream:
        for row in csv.DictReader(stream):
            if network not in (None, row.get("network")):
                continue
            try:
                key = (row[KEY[0]], row[KEY[1]])
                values = {name: float(row[name]) for name in (PSNR, SSIM)}
            except (KeyError, TypeError, ValueError) as error:
                expected = ", ".join((*KEY, PSNR, SSIM))
                raise ValueError(f"{file}: expected figures in columns {expected}") from error
            if key in rows:
                raise ValueError(f"{file}: {'/'.join(key)} occurs twice; choose a network")
            rows[key] = values
    return rows


def agreements(ours: Rows, published: Rows, psnr: float, ssim: float) -> list[Agreement]:
    """Compare set by set the images that we have.

    Args:
        ours: Each must be among the published.
        published: All that is published.
        psnr, ssim: The tolerances.

    Raises:
        ValueError: If one of our images is not published, or there is none.
    """
    if unknown := [key for key in ours if key not in published]:
        raise ValueError(f"not published: {'/'.join(unknown[0])} ({len(unknown)} images)")
    if not ours:
        raise ValueError("no images to compare")
    return [
        _agreement(name, [(ours[k], published[k]) for k in ours if k[0] == name], psnr, ssim)
        for name in dict.fromkeys(name for name, _ in ours)
    ]


def _agreement(
    name: str,
    pairs: Sequence[tuple[Mapping[str, float], Mapping[str, float]]],
    psnr: float,
    ssim: float,
) -> Agreement:
    psnr_differences = [ours[PSNR] - theirs[PSNR] for ours, theirs in pairs]
    ssim_differences = [ours[SSIM] - theirs[SSIM] for ours, theirs in pairs]
    return Agreement(
        set_name=name,
        images=len(pairs),
        psnr_within=sum(abs(difference) <= psnr for difference in psnr_differences),
        psnr_largest=max(map(abs, psnr_differences)),
        psnr_mean=sum(psnr_differences) / len(pairs),
        ssim_within=sum(abs(difference) <= ssim for difference in ssim_differences),
        ssim_largest=max(map(abs, ssim_differences)),
    )
