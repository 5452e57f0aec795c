"""The choice between tiles and pixels: by counts, and the same in every process."""

from __future__ import annotations

from itertools import product

import pytest

from smsr_plugin.sparse.native import plan

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")


def tiles_are_cheaper(tiles, pixels, isa="avx512", half=False, depth=64, width=64):
    return plan.tiles_are_cheaper(isa, half, depth, width, tiles, pixels)


def test_the_lesser_sum_of_costs_is_chosen(monkeypatch):
    tile, pixel = plan.Cost(1, 2, 3, 4), plan.Cost(1, 0, 0.5, 1)  # with k = 2, n = 3: 38 and 8.5
    monkeypatch.setitem(plan.COSTS, ("avx512", False), plan.Costs(tile, pixel))
    assert tiles_are_cheaper(tiles=10, pixels=45, depth=20, width=40)
    assert not tiles_are_cheaper(tiles=10, pixels=44, depth=20, width=40)
    assert not tiles_are_cheaper(tiles=0, pixels=0, depth=20, width=40)


@pytest.mark.parametrize(("isa", "half"), [*((isa, False) for isa in kernels.available()),
                         ("avx512_bf16", True), ("amx", False), ("amx", True),
                         ("neon_bf16", False), ("neon_bf16", True)])  # fmt: skip
def test_whole_tiles_run_at_tiles_and_single_pixels_at_pixels(isa, half):
    for depth, width in product([16, 48, 64, 128], [16, 48, 64, 128]):
        assert tiles_are_cheaper(100, 1600, isa, half, depth, width)
        assert not tiles_are_cheaper(100, 200, isa, half, depth, width)


def test_products_in_bfloat16_make_tiles_cheaper():
    floats = [tiles_are_cheaper(10, n, "avx512_bf16") for n in range(161)]
    halves = [tiles_are_cheaper(10, n, "avx512_bf16", half=True) for n in range(161)]
    assert floats == sorted(floats)
    assert halves == sorted(halves)
    assert sum(halves) > sum(floats)


#: Prints digests of what a network makes of an image, in a process whose clock runs as it is told.
#: The densities are near where pixels become as cheap as tiles.
INFERS = """
import hashlib, itertools, sys, time
rate = float(sys.argv[1])
ticks = itertools.count()
now = lambda: (next(ticks) ** 2 * rate) % 7.0
time.perf_counter = time.monotonic = now
import torch
from smsr_plugin import SMSR, to_sparse
torch.manual_seed(0)
net = SMSR(num_feat=32, num_block=2).eval()
x = torch.rand(1, 3, 40, 56)
for precision in sys.argv[2:]:
    for density in (0.1, 0.2, 0.3, 0.4):
        masks = (torch.rand(1, 2, 40, 56) < density).float()
        sr = to_sparse(net, precision, backend="native")(x, spa_mask=masks)
        print(hashlib.sha256(sr.numpy().tobytes()).hexdigest())
"""


def test_a_result_is_the_same_in_every_process_whatever_its_clock(tmp_path, interpreter):
    precisions = ["fp32", "bf16"] if kernels.has_half() else ["fp32"]
    done = [interpreter(tmp_path, INFERS, rate, *precisions) for rate in ("0.001", "1e-6", "2.3")]
    assert [process.returncode for process in done] == [0] * 3
    printed = [process.stdout.split() for process in done]
    assert len(printed[0]) == 4 * len(precisions)
    assert printed[1:] == printed[:1] * 2
