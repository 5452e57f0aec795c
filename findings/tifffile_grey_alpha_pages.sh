#!/usr/bin/env bash
# tifffile 2026.3.3 writes an array (H, W, 2), a grey image with its opacity, as H pages of W rows and 2 columns,
# where (H, W, 3) and (H, W, 4) become one page; a reader of the first page gets 2×W pixels. With
# planarconfig="contig" it is one page of two samples. Versions: tifffile 2026.3.3, pillow 13.0.0, numpy 2.4.2.
# Expected before the run: one page of two samples, as for 3 and 4. Exits 1 when this changes.
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

HEIGHT, WIDTH = 40, 30
found = {}
for samples, options in ((2, {}), (3, {}), (4, {}), (2, {"planarconfig": "contig", "photometric": "minisblack"})):
    image = np.zeros((HEIGHT, WIDTH, samples), np.uint8)
    tifffile.imwrite("a.tiff", image, **options)
    with tifffile.TiffFile("a.tiff") as file:
        pages, shape = len(file.pages), file.pages[0].shape
    opened = Image.open("a.tiff")
    key = (samples, bool(options))
    found[key] = (pages, shape)
    print(f"(H, W, {samples}) {options or ''}: {pages} pages, the first {shape}; Pillow sees {opened.size} {opened.mode}")
expected = {
    (2, False): (HEIGHT, (WIDTH, 2)),
    (3, False): (1, (HEIGHT, WIDTH, 3)),
    (4, False): (1, (HEIGHT, WIDTH, 4)),
    (2, True): (1, (HEIGHT, WIDTH, 2)),
}
sys.exit(found != expected)
P
