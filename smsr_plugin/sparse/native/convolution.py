"""Convolutions at every pixel: of one plane, or of a sum of planes in shares."""

from __future__ import annotations

from collections.abc import Iterator

from smsr_plugin.archs.steps import Conv
from smsr_plugin.sparse.native.context import Context
from smsr_plugin.sparse.native.layers import MapConv, MapProduct
from smsr_plugin.sparse.native.operation import FLOATS, Image, Operation
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.planes import Plane
from smsr_plugin.sparse.native.run import Run
from smsr_plugin.sparse.native.slots import Access


def shares(context: Context, step: Conv[Array]) -> Iterator[tuple[str | None, Operation]]:
    """Yield the operations that compute a convolution, in order.

    Each comes with the plane after which it is to be computed, None for the step's own place.
    """
    conv = _conv_of(context, step)
    written = [other.writes for other in context.program.steps]
    xs = sorted(step.xs, key=written.index)
    # What is put off until another plane is there must not take more room than what it stands for.
    channels = context.program.planes[step.xs[0]].channels
    at_once = step.add is None and len(step.bias) <= channels
    for number, x in enumerate(xs):
        first, last = number == 0, number == len(xs) - 1
        operation = _share(context, step, conv, x, first, last)
        yield (x if at_once and not last else None), operation


def _share(
    context: Context, step: Conv[Array], conv: MapConv, x: str, first: bool, last: bool
) -> Operation:
    added = step.add if first else step.out

    def compute(image: Image) -> None:
        conv(
            image.run,
            image.plane(x),
            image.plane(step.out),
            bias=first,
            residual=None if added is None else image.plane(added),
            relu=last and step.slope is not None,
        )

    reads = [x] if step.add is None or not first else [x, step.add]
    return Operation(step.part, None, Access([context.wanted(step.out)], reads), compute)


def _conv_of(context: Context, step: Conv[Array]) -> MapConv:
    arithmetic = context.arithmetic
    if step.weight.shape[-1] == 3:
        is_last = context.wanted(step.out).kind == FLOATS
        pack = arithmetic.last_weights if is_last else arithmetic.tile_weights
        return MapConv(pack(step.weight), step.bias)
    product = MapProduct(arithmetic, [step.weight[..., 0, 0].T], step.bias)

    def conv(run: Run, x: Plane, out: Plane, **options: bool | Plane | None) -> None:
        product(run, [x], out, **options)  # pyright: ignore[reportArgumentType]

    return conv  # pyright: ignore[reportReturnType]
