#!/usr/bin/env bash
# Pillow 13.0.0 turns an 8-bit TIFF in which 0 is white into one in which 0 is black, and leaves a 16-bit one
# as it is: the picture is a negative, and its mode (I;16) does not tell. Versions: pillow 13.0.0,
# tifffile 2026.3.3, numpy 2.4.2.
# Expected before the run: both depths alike, turned or raw. tifffile gives the stored values of both, and the tag.
# Exits 1 when this changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check pillow==13.0.0 tifffile==2026.3.3 numpy==2.4.2
cd "$dir"
"$dir/venv/bin/python" - <<'P'
import sys

import numpy as np
import tifffile
from PIL import Image

found = {}
for dtype in (np.uint8, np.uint16):
    stored = np.linspace(0, np.iinfo(dtype).max, 72).astype(dtype).reshape(8, 9)
    name = f"{np.dtype(dtype).name}.tiff"
    tifffile.imwrite(name, stored, photometric="miniswhite")
    image = Image.open(name)
    shown = np.asarray(image)
    inverted = np.iinfo(dtype).max - stored
    found[name] = "turned" if np.array_equal(shown, inverted) else "raw" if np.array_equal(shown, stored) else "other"
    print(f"{name}: Pillow's mode {image.mode}, PhotometricInterpretation {image.tag_v2[262]}, values {found[name]}")
sys.exit(found != {"uint8.tiff": "turned", "uint16.tiff": "raw"})
P
