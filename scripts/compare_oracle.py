#!/usr/bin/env python
"""Compare images.csv of `smsr benchmark` with published figures for each image; see --help."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from smsr_plugin.compare.agreement import agreements, read_rows
from smsr_plugin.compare.engines.report import table


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
