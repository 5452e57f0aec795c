#!/usr/bin/env bash
# Pillow 13.0.0 resizes in two passes, and clips uint8 and 16-bit images to their range after each: where the
# filter overshoots, the result differs from that of the same image in float32, clipped once at the end. A white
# square on black, enlarged by bicubic or Lanczos, differs by several levels of 255. Versions: pillow 13.0.0, numpy 2.4.2.
# Expected before the run: a difference of rounding alone, at most 1 level. Exits 1 when this changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 numpy==2.4.2
cd "$dir"
"$dir/venv/bin/python" - <<'P'
import sys

import numpy as np
from PIL import Image

square = np.zeros((24, 24))
square[8:16, 8:16] = 1
size = (72, 72)
largest, explained = {}, {}
for filter in ("BILINEAR", "BICUBIC", "LANCZOS"):
    method = Image.Resampling[filter]
    for dtype, peak in ((np.uint8, 255), (np.uint16, 65535)):
        whole = Image.fromarray((square * peak).astype(dtype)).resize(size, method)
        exact = Image.fromarray((square * peak).astype(np.float32)).resize(size, method)
        across = Image.fromarray((square * peak).astype(np.float32)).resize((size[0], 24), method)
        clipped = Image.fromarray(np.clip(np.asarray(across), 0, peak)).resize(size, method)
        between = np.abs(np.asarray(whole, np.float64) - np.clip(np.asarray(clipped), 0, peak)).max()
        explained[filter, peak] = between * 255 / peak
        difference = np.abs(np.asarray(whole, np.float64) - np.clip(np.asarray(exact), 0, peak)).max()
        largest[filter, peak] = difference * 255 / peak
        print(f"{filter:8} {np.dtype(dtype).name:6} differs by {largest[filter, peak]:.2f} of 255, "
              f"from float32 clipped between the passes by {explained[filter, peak]:.2f}")
same = all(value <= 1 for (name, _), value in largest.items() if name == "BILINEAR")
other = all(value > 1.5 for (name, _), value in largest.items() if name != "BILINEAR")
sys.exit(not (same and other and max(explained.values()) <= 1))
P
