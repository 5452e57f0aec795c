"""Operations for the steps of networks with masks at tiles; see `lowering`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from smsr_plugin.archs.steps import MaskedConv
from smsr_plugin.archs.tile_steps import Blend, DecideTiles, LocalAttention
from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.active_conv import ActiveConv
from smsr_plugin.sparse.native.blend import ListedProduct, NativeBlend
from smsr_plugin.sparse.native.context import Context
from smsr_plugin.sparse.native.kernels import Bytes, Chain
from smsr_plugin.sparse.native.local_attention import NativeLocalAttention
from smsr_plugin.sparse.native.operation import FLOATS, Image, Operation, activity_name
from smsr_plugin.sparse.native.packing import Array
from smsr_plugin.sparse.native.run import all_pixels
from smsr_plugin.sparse.native.slots import Access, Wanted
from smsr_plugin.sparse.native.tiles import NativePredictor, mark_tiles


def decide_tiles(context: Context, step: DecideTiles[Array]) -> Operation:
    """Return the operation that decides all masks of a step."""
    predictor = NativePredictor(step)
    details = Wanted("/details", step.conv1.shape[1], FLOATS)

    def compute(image: Image) -> None:
        scores = None
        if image.given is None:
            scores = predictor(image.run, image.lq, image.plane(details.name))
        for number, mask in enumerate(step.masks):

            def mark(activity: Bytes, number: int = number) -> None:
                assert scores is not None  # no masks are given, or this is not called
                important = scores[number] > np.float32(image.threshold)
                mark_tiles(important, image.run, activity)

            image.decide(mask, mark)

    masks = [context.activity(mask) for mask in step.masks]
    return Operation(step.part, None, Access([details, *masks]), compute)


def active_conv(context: Context, step: MaskedConv[Array]) -> Operation:
    """Return the operation of a masked convolution at tiles."""
    x = context.program.planes[step.x]
    rest = context.rests.get(step.x)
    assert context.arithmetic.tile_weights is not None  # else it is no arithmetic for such steps
    conv = ActiveConv(step, rest, x.dense < x.channels, context.arithmetic.tile_weights)
    residual = context.residuals.get(step.out)

    def compute(image: Image) -> None:
        sums = conv(
            image.run,
            image.plane(step.x),
            image.plane(step.out),
            image.masks[step.mask],
            None if residual is None else image.plane(residual),
        )
        image.means[step.out] = sums / image.run.pixel_count

    reads = [step.x, activity_name(step.mask), *([] if residual is None else [residual])]
    return Operation(step.part, step.mask, Access([context.wanted(step.out)], reads), compute)


def blend(context: Context, step: Blend[Array]) -> Operation:
    """Return the operation of a blend; what an attention squeezes of it is made with it."""
    tiles, rows = context.arithmetic.tile_weights, context.arithmetic.row_weights
    assert tiles is not None  # as above
    assert rows is not None
    # Where a plane was added to another one as that was made, their sum is there.
    xs = step.xs[1:] if step.xs[-1] in context.residuals else step.xs
    native = NativeBlend(step, len(xs), tiles, rows)
    narrow = None
    if step.narrow is not None:
        narrow = Wanted(f"/narrow {step.out}", len(step.narrow.conv), FLOATS)
    attention = context.squeezed.get(step.out)
    squeeze, squeeze_bias = None, None
    if attention is not None:
        filled = packing.pad(attention.squeeze.T, 0, packing.padded(len(step.weight)))
        squeeze, squeeze_bias = rows([filled]), packing.vector(attention.squeeze_bias)

    def compute(image: Image) -> None:
        chain: Chain | None = None
        if attention is not None:
            assert squeeze is not None
            squeezed = image.plane(_squeezed(attention).name)
            chain = (squeeze, squeeze_bias, squeezed.values, False)
        native(
            image.run,
            image.planes(xs),
            image.plane(step.x),
            None if narrow is None else image.plane(narrow.name),
            image.plane(step.out),
            image.masks[step.mask],
            chain,
        )

    wants = [context.wanted(step.out)]
    wants += [] if attention is None else [_squeezed(attention)]
    wants += [] if narrow is None else [narrow]
    reads = [*xs, step.x, activity_name(step.mask)]
    return Operation(step.part, step.mask, Access(wants, reads), compute)


def local_attention(context: Context, step: LocalAttention[Array]) -> Operation:
    """Return the operation of an attention."""
    attention = NativeLocalAttention(step)
    squeezed = _squeezed(step)
    squeeze: Callable[[Image], None] | None = None
    if step.x not in context.squeezed:
        squeeze = _squeeze(context, step)

    def compute(image: Image) -> None:
        if squeeze is not None:
            squeeze(image)
        attention(image.run, image.plane(step.x), image.plane(squeezed.name), image.plane(step.out))

    out = context.wanted(step.out)
    in_place = step.x if context.wanted(step.x).kind == out.kind else None
    wants = [out, squeezed]
    reads = [step.x] if squeeze is not None else [step.x, squeezed.name]
    return Operation(step.part, None, Access(wants, reads, in_place), compute)


def _squeeze(context: Context, step: LocalAttention[Array]) -> Callable[[Image], None]:
    rows = context.arithmetic.row_weights
    assert rows is not None  # as above
    product = ListedProduct([step.squeeze.T], step.squeeze_bias, rows)

    def compute(image: Image) -> None:
        pixels = all_pixels(*image.run.size)
        product(image.run, pixels, [image.plane(step.x)], image.plane(_squeezed(step).name))

    return compute


def _squeezed(step: LocalAttention[Any]) -> Wanted:
    """Return the plane of what an attention squeezes."""
    return Wanted(f"/squeezed {step.out}", len(step.squeeze), FLOATS)
