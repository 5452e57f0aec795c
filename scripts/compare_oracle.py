#!/usr/bin/env python
"""Compare images.csv of `smsr benchmark` with published figures for each image; see --help."""

from __future__ import annotations

import argparse
import csv
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from smsr_plugin.compare.tables import table

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


def main() -> int:
    """Print a table; return 0 if every image is within the tolerances, 1 if not, 2 on an error."""
    parser = argparse.ArgumentParser(
        description="Compare PSNR and SSIM on Y of each image with published ones. Both files have "
        "the columns dataset, image, psnr_y and ssim_y."
    )
    add = parser.add_argument
    add("ours", type=Path, metavar="IMAGES_CSV", help="written by smsr benchmark")
    add("published", type=Path, metavar="CSV")
    add("--network", help="whose rows of IMAGES_CSV to take, by its label")
    add("--sets", nargs="+", metavar="SET", help="default: all of IMAGES_CSV")
    add("--psnr", type=float, default=1e-3, metavar="DB", help="tolerance (default: %(default)g)")
    add("--ssim", type=float, default=1e-4, metavar="D", help="tolerance (default: %(default)g)")
    args = parser.parse_args()
    try:
        ours = read_rows(args.ours, args.network)
        ours = {key: row for key, row in ours.items() if key[0] in (args.sets or [key[0]])}
        found = agreements(ours, read_rows(args.published), args.psnr, args.ssim)
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: error: {error}", file=sys.stderr)
        return 2
    head = ["set", f"PSNR within {args.psnr:g} dB", "largest", "of the mean"]
    head += [f"SSIM within {args.ssim:g}", "largest"]
    rows = [
        [
            a.set_name,
            f"{a.psnr_within} of {a.images}",
            f"{a.psnr_largest:.6f}",
            f"{a.psnr_mean:+.6f}",
            f"{a.ssim_within} of {a.images}",
            f"{a.ssim_largest:.6f}",
        ]
        for a in found
    ]
    print(table(head, rows))
    return int(any(min(a.psnr_within, a.ssim_within) < a.images for a in found))


if __name__ == "__main__":
    sys.exit(main())
