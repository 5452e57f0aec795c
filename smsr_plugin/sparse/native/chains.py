"""The final 1×1 product over all blocks' outputs, summed up while these are at hand.

A fuse can add the product of each row that it has just finished to a plane of sums; then the
block's output is not needed for that any more, and the next block may overwrite it. A block's input
is at hand together with its output: every other block does for two.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import Collect, Fuse
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.kernels import Floats
from smsr_plugin.sparse.native.packing import Array, padded


class Link(NamedTuple):
    """What a fuse does with each row of its output."""

    out: str  #: The plane of the sums.
    weights: NDArray[Any]
    bias: Floats | None  #: What the sums begin with; None to add to what is there.
    relu: bool  #: Whether the sums are complete, and end with ReLU.


def chains(program: Program[Array], arithmetic: Arithmetic) -> dict[str, Link]:
    """Return the links of all collects that can be summed up, by the outputs of the fuses."""
    links: dict[str, Link] = {}
    fuses = {step.out: step for step in program.steps if isinstance(step, Fuse)}
    for step in program.steps:
        if isinstance(step, Collect) and _can_be_summed(step, program, fuses, links):
            links |= _links_of(step, program, fuses, arithmetic)
    return links


def _can_be_summed(
    step: Collect[Array],
    program: Program[Array],
    fuses: dict[str, Fuse[Array]],
    links: dict[str, Link],
) -> bool:
    made = [other.out for other in program.steps if isinstance(other, Fuse)]
    in_order = sorted(step.xs, key=lambda x: made.index(x) if x in fuses else -1)
    return all(x in fuses and x not in links for x in step.xs) and in_order == list(step.xs)


def _links_of(
    step: Collect[Array],
    program: Program[Array],
    fuses: dict[str, Fuse[Array]],
    arithmetic: Arithmetic,
) -> dict[str, Link]:
    counts = [program.planes[x].channels for x in step.xs]
    weights = np.split(step.weight, np.cumsum(counts)[:-1], axis=1)
    filled = [packing.pad(w.T, 0, padded(count)) for w, count in zip(weights, counts, strict=True)]
    # From the last one back, because the last one has to be there.
    groups: list[list[int]] = []
    number = len(step.xs) - 1
    while number >= 0:
        pair = number > 0 and fuses[step.xs[number]].add == step.xs[number - 1]
        groups.insert(0, [number - 1, number] if pair else [number])
        number -= len(groups[0])
    links = {}
    for group in groups:
        packed = arithmetic.row_weights([filled[i] for i in group])
        first, last = group is groups[0], group is groups[-1]
        bias = packing.vector(step.bias) if first else None
        links[step.xs[group[-1]]] = Link(step.out, packed, bias, last and step.slope is not None)
    return links
