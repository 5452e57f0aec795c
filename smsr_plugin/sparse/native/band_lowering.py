"""The operations of a program whose blocks are computed in bands."""

from __future__ import annotations

from collections import defaultdict
from typing import NamedTuple

from smsr_plugin.archs.steps import Fuse
from smsr_plugin.sparse.native.bands import AttendedSum, BandedBlock, Layer
from smsr_plugin.sparse.native.context import Context
from smsr_plugin.sparse.native.operation import FEATURES, Image, Operation, activity_name
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.slots import Access, Wanted


class Banded(NamedTuple):
    """The operations of a program, in order, and its blocks that are computed in bands."""

    operations: list[Operation]
    blocks: list[BandedBlock]


def in_bands(context: Context, operations: list[Operation]) -> Banded | None:
    """Return the operations with those of blocks replaced, None where there is no such block."""
    found = {step.out: layers for step, layers in _blocks(context)}
    if not found:
        return None
    blocks: list[BandedBlock] = []
    steps = {step.writes: step for step in context.program.steps}
    replaced = {layer.step.out for layers in found.values() for layer in layers}
    result: list[Operation] = []
    for operation in operations:
        step = steps.get(operation.makes)
        if isinstance(step, Fuse) and step.out in found:
            blocks.append(BandedBlock(found[step.out], step, context.fuses[step.out]))
            result += _passes(context, operation, step, blocks[-1])
        elif operation.makes not in replaced:
            result.append(operation)
    return Banded(result, blocks)


def _blocks(context: Context) -> list[tuple[Fuse[Array], list[Layer]]]:
    """Return the fuses, with their layers, of which nothing but the fuse is read elsewhere.

    Only those with an attention: without one no plane but the sum would be needed at all.
    """
    readers: dict[str, set[str | None]] = defaultdict(set)
    for step in context.program.steps:
        for x in step.reads:
            readers[x].add(step.writes)
    found: list[tuple[Fuse[Array], list[Layer]]] = []
    for step in context.program.steps:
        if isinstance(step, Fuse) and step.attention is not None and step.add is not None:
            layers = [layer for name, layer in context.layers.items() if name in step.xs]
            own: set[str | None] = {step.out, *step.xs}
            alone = all(readers[x] <= own for x in step.xs) and step.add not in own
            if len(layers) == len(step.xs) and alone and _one_mask(step, layers):
                found.append((step, layers))
    return found


def _one_mask(step: Fuse[Array], layers: list[Layer]) -> bool:
    return all(layer.step.mask == step.mask for layer in layers)


def _passes(
    context: Context, operation: Operation, step: Fuse[Array], block: BandedBlock
) -> list[Operation]:
    """Return the two passes over a block."""
    added = f"/added {step.out}"
    levels = context.levels(step.out)
    total = AttendedSum(step, context.arithmetic, context.links.get(step.out), levels)
    assert step.add is not None
    base: str = step.add

    def compute(image: Image) -> None:
        block(image, image.plane(added))

    def add(image: Image) -> None:
        total(image, image.plane(added), image.plane(base), image.plane(step.out))

    own = {layer.step.out for layer in block.layers}
    outside = [layer.x for layer in block.layers if layer.x not in own]
    first = Access(
        [Wanted(added, len(step.bias), FEATURES)],
        [*dict.fromkeys([*outside, base]), activity_name(step.mask)],
    )
    access = operation.access
    second = Access(access.wants, [added, base], access.in_place)
    part = block.layers[0].step.part
    return [
        Operation(part, operation.block, first, compute),
        Operation(operation.part, operation.block, second, add),
    ]
