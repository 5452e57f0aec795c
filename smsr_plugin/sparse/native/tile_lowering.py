"""Operations for the steps of networks with masks at tiles; see `lowering`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from smsr_plugin.archs.steps import Fuse, MaskedConv
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, LocalAttention
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.active_block import ActiveBlock, BlockSteps
from smsr_plugin.sparse.native.active_conv import ActiveConv
from smsr_plugin.sparse.native.blend import NativeBlend, with_squeezed
from smsr_plugin.sparse.native.context import Context
from smsr_plugin.sparse.native.kernels import Bytes
from smsr_plugin.sparse.native.layers import MapProduct
from smsr_plugin.sparse.native.limits import is_at_tiles
from smsr_plugin.sparse.native.local_attention import NativeLocalAttention
from smsr_plugin.sparse.native.operation import FEATURES, FLOATS, Image, Operation, activity_name
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.slots import Access, Wanted
from smsr_plugin.sparse.native.tiles import NativePredictor, mark_tiles


def decide_tiles(context: Context, step: DecideTiles[Array]) -> Operation:
    """Return the operation that decides all masks of a step."""
    predictor = NativePredictor(step)
    details = Wanted("/details", step.conv1.shape[1], FLOATS)

    needs_pixels = {
        other.mask
        for other in context.program.steps
        if isinstance(other, Fuse)
        or (isinstance(other, MaskedConv) and not is_active_conv(context, other))
    }

    def compute(image: Image) -> None:
        scores = None
        if image.given is None:
            scores = predictor(image.run, image.lq, image.plane(details.name))
        for number, mask in enumerate(step.masks):
            tiles = None if scores is None else scores[number] > np.float32(image.threshold)

            def mark(activity: Bytes, tiles: NDArray[np.bool_] | None = tiles) -> None:
                assert tiles is not None  # no masks are given, or this is not called
                mark_tiles(tiles, image.run, activity)

            image.decide(mask, mark, None if mask in needs_pixels else tiles)

    masks = [context.activity(mask) for mask in step.masks]
    return Operation(step.part, None, Access([details, *masks]), compute)


def is_active_conv(context: Context, step: MaskedConv[Array]) -> bool:
    """Tell whether a masked convolution is computed by whole tiles, with constants between them."""
    return is_at_tiles(step) or bool(context.program.planes[step.x].rest)


def active_conv(context: Context, step: MaskedConv[Array]) -> Operation:
    """Return the operation of a masked convolution at tiles."""
    x = context.program.planes[step.x]
    rest = context.rests.get(step.x)
    conv = ActiveConv(step, rest, x.dense < x.channels, context.arithmetic)
    residual = context.residuals.get(step.out)
    averaged = any(  # an attention of the whole image asks for the mean
        isinstance(other, Fuse) and other.attention is not None and step.out in other.xs
        for other in context.program.steps
    )

    def compute(image: Image) -> None:
        sums = conv(
            image.run,
            image.plane(step.x),
            image.plane(step.out),
            image.masks[step.mask],
            None if residual is None else image.plane(residual),
            averaged,
        )
        if sums is not None:
            image.means[step.out] = sums / image.run.pixel_count

    reads = [step.x, activity_name(step.mask), *([] if residual is None else [residual])]
    return Operation(step.part, step.mask, Access([context.wanted(step.out)], reads), compute)


def blend(context: Context, step: Blend[Array]) -> Operation:
    """Return the operation of a blend, or of the block that it ends.

    What an attention squeezes of it is made with it.
    """
    steps = context.blocks.get(step.out)
    if steps is not None:
        return active_block(context, steps)
    # Where a plane was added to another one as that was made, their sum is there.
    xs = step.xs[1:] if step.xs[-1] in context.residuals else step.xs
    attention = context.squeezed.get(step.out)
    native = NativeBlend(
        step if attention is None else with_squeezed(step, attention), len(xs), context.arithmetic
    )
    narrow = None
    if step.narrow is not None:
        narrow = Wanted(f"/narrow {step.out}", len(step.narrow.conv), FEATURES)

    def compute(image: Image) -> None:
        native(
            image.run,
            image.planes(xs),
            image.plane(step.x),
            None if narrow is None else image.plane(narrow.name),
            image.plane(step.out),
            image.masks[step.mask],
        )

    wants = [context.wanted(step.out), *([] if narrow is None else [narrow])]
    reads = [*xs, step.x, activity_name(step.mask)]
    return Operation(step.part, step.mask, Access(wants, reads), compute)


def active_block(context: Context, steps: BlockSteps) -> Operation:
    """Return the operation of a block."""
    step = steps.blend
    block = ActiveBlock(steps, context.squeezed.get(step.out), context.arithmetic)
    attention = None
    if steps.attention is not None:
        first = packing.padded(len(steps.attention.excite))
        attention = NativeLocalAttention(steps.attention, first, context.arithmetic)

    def compute(image: Image) -> None:
        run, x = image.run, image.plane(steps.x)
        told = None if attention is None else attention.told(run, x)
        block(run, x, image.plane(step.out), image.masks[step.mask], told)

    access = Access([context.wanted(step.out)], [steps.x, activity_name(step.mask)])
    return Operation(steps.convs[0].part, step.mask, access, compute, rows=block.rows)


def local_attention(context: Context, step: LocalAttention[Array]) -> Operation:
    """Return the operation of an attention."""
    squeeze, squeezed = None, Wanted(f"/squeezed {step.out}", len(step.squeeze), FEATURES)
    first = packing.padded(len(step.excite))
    if step.x not in context.squeezed:
        first = 0
        squeeze = MapProduct(context.arithmetic, [step.squeeze.T], step.squeeze_bias)

    attention = NativeLocalAttention(step, first, context.arithmetic)

    def compute(image: Image) -> None:
        run, x, a = image.run, image.plane(step.x), image.plane(step.x)
        if squeeze is not None:
            a = image.plane(squeezed.name)
            squeeze(run, [x], a)
        attention(run, x, a, image.plane(step.out))

    out = context.wanted(step.out)
    in_place = step.x if context.wanted(step.x).kind == out.kind else None
    wants = [out] if squeeze is None else [out, squeezed]
    return Operation(step.part, None, Access(wants, [step.x], in_place), compute)
