#!/usr/bin/env bash
# OpenCV 5.0.0 gives the values of a PGM or PPM as they are stored, whatever its header says is white: white of 10
# bits (maxval 1023) comes as 1023 in uint16, that of a maxval of 100 as 100 in uint8, and what is written from
# them says 65535 and 255: an image 64 times as dark, or 2.55 times. Pillow 13.0.0 spreads them to 65535 and 255.
# Versions: opencv-python-headless 5.0.0.93, pillow 13.0.0, numpy 2.4.2.
# Expected before the run: both spread the values over the whole range of the type. Exits 1 when this changes.
set -euo pipefail
dir=$(mktemp -d); trap 'rm -rf "$dir"' EXIT
python3 -m venv "$dir/venv"
"$dir/venv/bin/pip" install -q --disable-pip-version-check opencv-python-headless==5.0.0.93 pillow==13.0.0 numpy==2.4.2
cd "$dir"
"$dir/venv/bin/python" - <<'P'
import sys

import cv2
import numpy as np
from PIL import Image

found = {}
for name, kind, channels in (("a.pgm", b"P5", 1), ("a.ppm", b"P6", 3)):
    for largest in (1023, 100):
        ramp = np.linspace(0, largest, 12 * channels).round().astype(">u2" if largest > 255 else "u1")
        with open(name, "wb") as file:
            file.write(kind + b"\n4 3\n%d\n" % largest + ramp.tobytes())
        seen = cv2.imread(name, cv2.IMREAD_UNCHANGED)
        cv2.imwrite("again." + name, seen)
        with open("again." + name, "rb") as file:
            again = int(file.read().split(maxsplit=4)[3])
        with Image.open(name) as image:
            mode, white = image.mode, int(np.asarray(image).max())
        found[name, largest] = (int(seen.max()), str(seen.dtype), again, white)
        print(f"{name}, maxval {largest}: white is {seen.max()} ({seen.dtype}) in OpenCV, which writes it with maxval "
              f"{again}; in Pillow {white} ({mode})")
expected = {
    ("a.pgm", 1023): (1023, "uint16", 65535, 65535),
    ("a.pgm", 100): (100, "uint8", 255, 255),
    ("a.ppm", 1023): (1023, "uint16", 65535, 255),
    ("a.ppm", 100): (100, "uint8", 255, 255),
}
sys.exit(found != expected)
P
