"""From a program to the native operations that compute it, in order.

What is computed is what the program says. These are done differently:

- A convolution of a sum is a sum of convolutions. The share of a plane that was there long before
  is computed at once, into the plane of the output, and the plane need not be kept (the global skip
  into a tail).
- A `Collect` is summed up while fuses have its inputs at hand; see `chains`.
- The layers of a block may be computed in bands; see `bands`.
- Planes that are never needed at the same time share memory; see `slots`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from typing import Any, NamedTuple

import numpy as np

from smsr_plugin.archs.program import Program
from smsr_plugin.archs.steps import (
    Blend,
    Collect,
    Conv,
    Decide,
    DecideTiles,
    Fuse,
    Hourglass,
    ImageConv,
    LocalAttention,
    MaskedConv,
    Upsample,
)
from smsr_plugin.sparse.native import layers
from smsr_plugin.sparse.native.arithmetic import Arithmetic
from smsr_plugin.sparse.native.attention import factors
from smsr_plugin.sparse.native.band_lowering import Banded, in_bands
from smsr_plugin.sparse.native.bands import Layer
from smsr_plugin.sparse.native.context import Context
from smsr_plugin.sparse.native.convolution import shares
from smsr_plugin.sparse.native.hourglass import NativeHourglass
from smsr_plugin.sparse.native.kernels import Bytes, Chain
from smsr_plugin.sparse.native.operation import Image, Operation, activity_name
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.slots import Access
from smsr_plugin.sparse.native.tile_lowering import (
    active_conv,
    blend,
    decide_tiles,
    is_active_conv,
    local_attention,
)
from smsr_plugin.sparse.native.upsampling import taps_of


class Lowered(NamedTuple):
    """The operations of a program, in order.

    Attributes:
        whole: For planes that are all as large as the image.
        banded: With blocks in bands (see `bands`); None where there are none that could be.
    """

    whole: list[Operation]
    banded: Banded | None


def lower(program: Program[Array], arithmetic: Arithmetic) -> Lowered:
    """Return the operations of a program; its weights are packed for an arithmetic."""
    context = Context(program, arithmetic)
    early: dict[str | None, list[Operation]] = defaultdict(list)
    late: dict[str, list[Operation]] = {}
    for step in program.steps:
        if isinstance(step, Conv):
            late[step.out] = []
            for after, share in shares(context, step):
                (late[step.out] if after is None else early[after]).append(share)
    operations: list[Operation] = []
    inside = {name for steps in context.blocks.values() for name in steps.inside}
    for step in program.steps:
        if step.writes in inside:
            continue
        if isinstance(step, Conv):
            operations += late[step.out]
        elif not (isinstance(step, Collect) and step.out in context.summed):
            operations.append(_LOWER[type(step)](context, step))
        operations += [replace(share, part=step.part) for share in early[step.writes]]
    return Lowered(operations, in_bands(context, operations))


def _image_conv(context: Context, step: ImageConv[Array]) -> Operation:
    conv = layers.ImageConv(step.weight, step.bias, step.slope)

    def compute(image: Image) -> None:
        conv(image.run, image.lq, image.plane(step.out))

    return Operation(step.part, None, Access([context.wanted(step.out)]), compute)


def _hourglass(context: Context, step: Hourglass[Array]) -> Operation:
    hourglass = NativeHourglass(step, context.arithmetic, context.unit(step.x))
    x = context.read_by_products(step.x)

    def compute(image: Image) -> None:
        def mark(activity: Bytes) -> None:
            hourglass(image.run, image.plane(x), activity, image.threshold)

        image.decide(step.mask, mark)

    access = Access([context.activity(step.mask)], [x])
    return Operation(step.part, step.mask, access, compute)


def _decide(context: Context, step: Decide[Array]) -> Operation:
    def compute(image: Image) -> None:
        height, width = image.run.size
        inside = np.s_[1 : height + 1, 1 : width + 1]
        kernels = image.run.kernels

        def mark(activity: Bytes) -> None:
            logits = image.plane(step.x)[0][inside][..., 0]
            important = logits > np.float32(image.threshold)
            activity[inside] = np.where(important, kernels.ACTIVE, kernels.INACTIVE)

        image.decide(step.mask, mark)

    access = Access([context.activity(step.mask)], [step.x])
    return Operation(step.part, step.mask, access, compute)


def _masked_conv(context: Context, step: MaskedConv[Array]) -> Operation:
    if is_active_conv(context, step):
        return active_conv(context, step)
    dense_in = context.program.planes[step.x].dense
    conv = layers.MaskedConv(
        context.arithmetic,
        step.weight,
        step.dense,
        dense_in,
        step.bias,
        step.slope is not None,
        layers.Units(context.unit(step.x), context.units.get(step.out)),
    )
    source = context.read_by_products(step.x)

    def compute(image: Image) -> None:
        x, out = image.plane(source), image.plane(step.out)
        sums = conv(image.run, x, out, image.masks[step.mask])
        image.means[step.out] = sums / image.run.pixel_count

    context.layers[step.out] = Layer(step, conv, source)
    access = Access([context.wanted(step.out)], [source, activity_name(step.mask)])
    return Operation(step.part, step.mask, access, compute, step.out)


def _fuse(context: Context, step: Fuse[Array]) -> Operation:
    planes = [context.program.planes[x] for x in step.xs]
    ends = np.cumsum([plane.channels for plane in planes])
    weights = [weight.T for weight in np.split(step.weight, ends[:-1], axis=1)]
    units = [context.units[x] for x in step.xs] if step.xs[0] in context.units else None
    dense = [plane.dense for plane in planes]
    fuse = layers.Fuse(context.arithmetic, weights, dense, step.bias, units)
    link, levels = context.links.get(step.out), context.levels(step.out)

    def compute(image: Image) -> None:
        chain: Chain | None = None
        if link is not None:
            chain = (link.weights, link.bias, image.plane(link.out), link.relu)
        fuse(
            image.run,
            None if step.add is None else image.plane(step.add),
            image.planes(step.xs),
            image.plane(step.out),
            image.masks[step.mask],
            factors(step, image.means),
            chain,
            None if levels is None else (image.plane(levels[0].name), levels[1]),
        )

    out = context.wanted(step.out)
    wants = [out] if link is None else [out, context.wanted(link.out)]
    wants += [] if levels is None else [levels[0]]
    reads = [*step.reads, activity_name(step.mask)]
    in_place = None
    if step.add is not None and context.wanted(step.add).kind == out.kind:
        in_place = step.add
    context.fuses[step.out] = fuse
    return Operation(step.part, step.mask, Access(wants, reads, in_place), compute, step.out)


def _collect(context: Context, step: Collect[Array]) -> Operation:
    ends = np.cumsum([context.program.planes[x].channels for x in step.xs])
    weights = [weight.T for weight in np.split(step.weight, ends[:-1], axis=1)]
    product = layers.MapProduct(context.arithmetic, weights, step.bias)

    def compute(image: Image) -> None:
        xs, out = image.planes(step.xs), image.plane(step.out)
        product(image.run, xs, out, relu=step.slope is not None)

    access = Access([context.wanted(step.out)], step.xs)
    return Operation(step.part, None, access, compute)


def _upsample(context: Context, step: Upsample[Array]) -> Operation:
    taps = None if step.base == "none" else taps_of(step.base, context.program.upscale)

    def compute(image: Image) -> None:
        residual = image.plane(step.x)
        image.run.kernels.compose(
            image.lq,
            residual,
            taps,
            image.sr,
            scale=context.program.upscale,
            threads=image.run.threads,
        )

    return Operation(step.part, None, Access([], [step.x]), compute)


_LOWER: dict[type, Callable[[Context, Any], Operation]] = {
    ImageConv: _image_conv,
    Hourglass: _hourglass,
    Decide: _decide,
    DecideTiles: decide_tiles,
    MaskedConv: _masked_conv,
    Blend: blend,
    LocalAttention: local_attention,
    Fuse: _fuse,
    Collect: _collect,
    Upsample: _upsample,
}
