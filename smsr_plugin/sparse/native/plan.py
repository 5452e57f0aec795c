"""Whether a convolution is cheaper at tiles or at pixels: a rule by counts.

Winograd needs 4 multiplications where direct convolution needs 16, but whole tiles and two
transforms, whose share depends on the channels and the instruction set. In a trained network's
masks most tiles are whole or empty, and the choice matters where few pixels of each are active.

What was chosen shows in the last bits of the result, so that it follows from the counts alone and
is the same in every process.
"""

from __future__ import annotations

from typing import NamedTuple

from smsr_plugin.sparse.native.packing import LINE, padded


class Cost(NamedTuple):
    """Time of a 3×3 convolution at one tile or one pixel, with k and n lines of 16 channels.

    fixed + inputs·k + outputs·n + products·k·n, in nanoseconds of one core: of a Zen 5, and with
    matrix tiles of a Xeon.
    """

    fixed: float
    inputs: float
    outputs: float
    products: float

    def __call__(self, k: float, n: float) -> float:
        return self.fixed + self.inputs * k + self.outputs * n + self.products * k * n


class Costs(NamedTuple):
    """What `tiles_are_cheaper` weighs against each other."""

    tile: Cost
    pixel: Cost


#: By instruction set and by whether products are in bfloat16. Fitted to the times of
#: `scripts/plan_costs.py`, for which they are right to 7 %, and their ratios to 4 %. Since then
#: products at pixels are in bfloat16 too: with AVX-512 BF16 pixels cost less than it says, and are
#: taken a little too seldom. With matrix tiles, fitted beside other work, they are right to 37 %.
COSTS = {
    ("baseline", False): Costs(Cost(58.7, 98.5, 176.2, 377.5), Cost(13.5, 0.0, 1.4, 138.3)),
    ("avx2", False): Costs(Cost(50.0, 51.4, 47.4, 146.1), Cost(10.7, 0.0, 3.4, 35.0)),
    ("avx512", False): Costs(Cost(78.9, 59.4, 26.3, 75.5), Cost(13.1, 3.7, 1.4, 16.5)),
    ("avx512_bf16", True): Costs(Cost(81.3, 55.5, 30.8, 36.1), Cost(14.9, 3.0, 0.2, 16.9)),
    ("amx", True): Costs(Cost(61.0, 0.1, 31.8, 24.8), Cost(34.1, 2.3, 3.6, 3.1)),
}
#: Instruction sets that run the kernels of another one, and NEON's bfloat16, which no processor at
#: hand has: of 64 channels a tile takes the instructions of 5.2 pixels, by AVX2's costs the time of
#: 4.8.
SAME_KERNELS = {
    ("avx512_bf16", False): ("avx512", False),
    ("amx", False): ("avx512", False),
    ("neon_bf16", False): ("baseline", False),
    ("neon_bf16", True): ("avx2", False),
}


def tiles_are_cheaper(
    isa: str, half: bool, depth: int, count: int, tiles: int, pixels: int
) -> bool:
    """Say where a 3×3 convolution is cheaper: at tiles, or at the pixels wanted in them.

    Args:
        isa: The instruction set in use, as `smsr_plugin._kernels.isa` names it.
        half: Whether products are in bfloat16.
        depth: How many channels are convolved.
        count: How many channels come out.
        tiles: How many hold one of the pixels.
        pixels: At how many the convolution is wanted.
    """
    key = (isa, half)
    costs = COSTS[SAME_KERNELS.get(key, key)]
    k, n = (padded(channels) // LINE for channels in (depth, count))
    return tiles * costs.tile(k, n) < pixels * costs.pixel(k, n)
