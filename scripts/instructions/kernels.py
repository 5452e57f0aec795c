"""Calls each kernel between two calls of getppid(), at which `plugin.c` prints a count.

kernels.py run ISA          runs the kernels, under QEMU with the plugin; prints their names;
                            in bfloat16, where there are such kernels for ISA
kernels.py table FILE …     makes a table of what was printed, a column for each file
"""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

#: An image of a few work items, and channels as in the paper's network.
SIZE, CHANNELS = (32, 48), 64
CALLS = 4


def kernels(isa: str) -> dict[str, Callable[[], object]]:
    from smsr_plugin import _kernels
    from smsr_plugin.sparse.native import packing
    from smsr_plugin.sparse.native.arithmetic import BFLOAT16, FLOAT32
    from smsr_plugin.sparse.native.planes import Planes
    from smsr_plugin.sparse.native.run import NEIGHBOURS, all_pixels, all_tiles

    in_bfloat16 = _kernels.has_half(isa)
    arithmetic = BFLOAT16 if in_bfloat16 else FLOAT32
    planes = Planes()
    planes.resize(*SIZE)
    x, y, out = (arithmetic.plane(planes, name, CHANNELS) for name in "xyz")
    floats = FLOAT32.plane(planes, "floats", CHANNELS)
    rng = np.random.default_rng(0)
    kernel = rng.standard_normal((CHANNELS, CHANNELS, 3, 3)) / 24
    tiles, pixels = all_tiles(*SIZE), all_pixels(*SIZE)
    at_tiles, at_pixels = arithmetic.tile_weights(kernel), arithmetic.taps(kernel)
    one = arithmetic.row_weights([kernel[:, :, 0, 0].T])
    first = packing.taps(kernel[:, :3])
    around = [(x, dy, dx, 0, CHANNELS, None) for dy, dx in NEIGHBOURS]
    here = [(x, 0, 0, 0, CHANNELS, None)]
    lq = rng.random((3, *SIZE), np.float32)
    sr = np.zeros((3, 2 * SIZE[0], 2 * SIZE[1]), np.float32)
    taps = np.zeros((2, 5), np.float32)
    marked = np.full(x.shape[1:3], 2, np.uint8)
    side = [(x, CHANNELS)], one, np.zeros(CHANNELS, np.float32)
    half = (SIZE[0] // 2, SIZE[1] // 2)
    coarse = np.zeros((CHANNELS // 16, half[0] + 2, (half[1] + 15) // 16 * 16 + 2, 16), np.float32)
    halves = [np.arange(length, dtype=np.int32) // 2 for length in SIZE]
    sides = [(low, low, np.zeros(len(low), np.float32)) for low in halves]
    calls = {
        "tiles": lambda: _kernels.tiles(*SIZE, tiles, x, at_tiles, out, isa=isa),
        "rows, 3×3": lambda: _kernels.rows(*SIZE, pixels, around, at_pixels, out, isa=isa),
        "rows, 1×1": lambda: _kernels.rows(*SIZE, pixels, here, one, out, isa=isa),
        "image": lambda: _kernels.image(lq, first, out, isa=isa),
        "strided": lambda: _kernels.strided(SIZE, x, at_pixels, half, coarse, padding=1, isa=isa),
        "attend": lambda: _kernels.attend(SIZE, x, y, one, half, coarse, *sides, out, isa=isa),
        "blend": lambda: _kernels.blend(SIZE, marked, side, side, out, isa=isa),
    }
    if in_bfloat16:
        return calls
    return calls | {
        "maximum": lambda: _kernels.maximum(SIZE, x, 2, 2, half, coarse, isa=isa),
        "compose": lambda: _kernels.compose(lq, floats, taps, sr, scale=2, isa=isa),
        "list_active": lambda: _kernels.list_active(*SIZE, marked),
        "details": lambda: _kernels.details(lq, 255.0, floats, isa=isa),
    }


def run(isa: str) -> None:
    for name, call in kernels(isa).items():
        call()  # its memory, once
        os.getppid()
        for _ in range(CALLS):
            call()
        os.getppid()
        print(name, flush=True)


def table(*files: str) -> None:
    """Print thousands of instructions of a call, of each kernel, a column for each file."""
    columns = []
    for file in files:
        lines = Path(file).read_text("utf-8").splitlines()
        executed = [int(line.split()[1]) for line in lines if line.startswith("executed ")]
        names = [line for line in lines if line and not line.startswith("executed ")]
        pairs = zip(executed[::2], executed[1::2], strict=True)
        spent = [(after - before) / CALLS / 1000 for before, after in pairs]
        columns.append(dict(zip(names, spent, strict=True)))
    print("| kernel |", " | ".join(Path(file).stem for file in files), "|")
    for name in columns[0]:
        cells = (f"{column[name]:,.0f}" if name in column else "–" for column in columns)
        print(f"| {name} |", " | ".join(cells), "|")


if __name__ == "__main__":
    {"run": run, "table": table}[sys.argv[1]](*sys.argv[2:])
