"""What int8 computes in float64, with every rounding of planes and weights where it is made.

Planes are (H, W, C), dense channels first. A level of a feature counts peak / 255 of its plane; a
level of a weight counts the largest of its output, of those that are multiplied, / 127.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from native_planes import conv3x3, from_bfloat16, to_bfloat16

from smsr_plugin.archs.steps import Collect, Conv, Fuse, Hourglass, ImageConv, MaskedConv, Upsample
from smsr_plugin.sparse.native.attention import factors

MOST, MOST_INPUT, MOST_WEIGHT = 255, 127, 127


def halves(values):
    """Round to float32 and to bfloat16."""
    return from_bfloat16(to_bfloat16(values)).astype(np.float64)


def levels(values):
    """Round to levels."""
    return np.clip(np.rint(values), 0, MOST)


def in_levels(weights):
    """Round (K, N) weights to levels of their output; return what they stand for."""
    largest = np.abs(weights).max(0, initial=0)
    unit = np.where(largest > 0, largest, 1) / MOST_WEIGHT
    return np.rint(weights / unit) * unit


def conv_in_levels(kernel):
    """Round a (N, K, 3, 3) kernel to levels of its outputs; return what they stand for."""
    count, depth = kernel.shape[:2]
    return in_levels(kernel.reshape(count, depth * 9).T).T.reshape(kernel.shape)


class Units(NamedTuple):
    """What a level of a convolution's input and output counts; None where they are bfloat16."""

    x: float | None
    out: float | None


def masked_conv(x, mask, dense_in, kernel, dense, bias, units):
    """Return what is stored of a masked convolution with ReLU, before it is rounded.

    Args:
        x: Levels, or values in bfloat16.
        mask: (H, W).
        dense_in, dense: How many channels of x, and of the outputs, are dense.
        kernel, bias: (N, K, 3, 3), (N,); they are not rounded.
        units: Of both planes.
    """
    counts = (units.x or 1) / (units.out or 1)
    rounded = halves if units.x is None else conv_in_levels
    seen = np.where(np.arange(x.shape[2]) < dense_in, x, np.where(mask[..., None], x, 0))
    value = np.zeros((*mask.shape, len(kernel)))
    bias = bias / (units.out or 1)
    everything = conv3x3(seen.transpose(2, 0, 1).copy(), rounded(kernel * counts)) + bias
    value[mask] = everything[mask]
    if dense:
        value[~mask, :dense] = bias[:dense]
    if dense and dense_in:  # PyTorch convolves no maps of no channels
        weights = rounded(kernel[:dense, :dense_in] * counts)
        of_dense = x[..., :dense_in].transpose(2, 0, 1).copy()
        value[~mask, :dense] += conv3x3(of_dense, weights)[~mask]
    return np.maximum(value, 0)


def fuse(xs, mask, weights, dense, bias, units):
    """Return the fuse of planes without factors and what it is added to.

    Args:
        xs: Levels, or values in bfloat16.
        mask: (H, W).
        weights: Of each plane, (K, N).
        dense: How many channels of each are dense.
        bias: (N,).
        units: Of each plane; None where they are bfloat16.
    """
    value = np.zeros((*mask.shape, len(bias)))
    for seen, counts in ((mask, [x.shape[2] for x in xs]), (~mask, dense)):
        parts = [weight[:count] for weight, count in zip(weights, counts, strict=True)]
        if units is None:
            rounded = halves(np.concatenate(parts))
        else:
            scaled = [part * unit for part, unit in zip(parts, units, strict=True)]
            rounded = in_levels(np.concatenate(scaled))
        rows = [x[seen, :count] for x, count in zip(xs, counts, strict=True)]
        value[seen] = np.concatenate(rows, 1) @ rounded
    return value + bias


def simulate(program, lq, masks, units=None, inputs=None, banded=False):
    """Return sr and the planes of a program of an SMSR, as AMX's arithmetics compute it.

    Args:
        program: Its weights in float64.
        lq: (C, H, W).
        masks: (K, H, W) bool.
        units: Of the planes in bytes, by their names.
        inputs: Of the planes that are also held in levels of either sign, for the products of them.
        banded: Whether a fuse is rounded before its factors are applied.
    """
    units, inputs, planes, means, of_inputs = units or {}, inputs or {}, {}, {}, {}
    for step in program.steps:
        if isinstance(step, ImageConv):
            seen = np.concatenate([lq, np.ones_like(lq[:1])])
            value = conv3x3(seen.astype(np.float64), step.weight) + step.bias
            planes[step.out] = halves(np.maximum(value, 0))
        elif isinstance(step, Conv):
            terms = [planes[x].transpose(2, 0, 1).copy() for x in step.xs]
            value = sum(conv3x3(term, halves(step.weight)) for term in terms) + step.bias
            assert step.slope is None
            planes[step.out] = value if len(terms) > 1 else halves(value)
        elif isinstance(step, MaskedConv):
            of_step = Units(inputs.get(step.x, units.get(step.x)), units.get(step.out))
            x, dense_in = planes[step.x], program.planes[step.x].dense
            value = masked_conv(
                of_inputs.get(step.x, x), masks[step.mask], dense_in, step.weight,
                step.dense, np.zeros(len(step.weight)), of_step,
            )  # fmt: skip
            means[step.out] = value.mean((0, 1)) * (of_step.out or 1)
            planes[step.out] = halves(value) if of_step.out is None else levels(value)
        elif isinstance(step, Fuse):
            dense = [program.planes[x].dense for x in step.xs]
            ends = np.cumsum([planes[x].shape[2] for x in step.xs])[:-1]
            weights = np.split(step.weight.T, ends)
            of_xs = [units[x] for x in step.xs] if step.xs[0] in units else None
            value = fuse(
                [planes[x] for x in step.xs], masks[step.mask], weights, dense, step.bias, of_xs
            )
            value = (halves(value) if banded else value) * factors(step, means)
            value += planes[step.add]
            planes[step.out] = halves(value)
            if step.out in inputs:
                of_one = 1 / inputs[step.out]
                of_inputs[step.out] = np.clip(np.rint(value * of_one), -MOST_INPUT, MOST_INPUT)
        elif isinstance(step, Collect):
            planes[step.out] = _collected(step, [planes[x] for x in step.xs])
        elif isinstance(step, Upsample):
            return _enlarged(planes[step.x], lq, program.upscale), planes
        else:
            assert isinstance(step, Hourglass)
    raise AssertionError("a program ends with an Upsample")


def _collected(step, xs):
    """Add up two blocks at a time, so that the last two are together."""
    ends = np.cumsum([x.shape[2] for x in xs])[:-1]
    terms = [
        x @ weight for x, weight in zip(xs, np.split(halves(step.weight.T), ends), strict=True)
    ]
    sums = step.bias + np.zeros_like(terms[0])
    for number, term in enumerate(terms, 1):
        sums = sums + term
        if number == len(terms):
            sums = np.maximum(sums, 0)
        if number % 2 == len(terms) % 2:
            sums = halves(sums)
    return sums


def _enlarged(residual, lq, upscale):
    residual = torch.from_numpy(residual.transpose(2, 0, 1).copy())[None]
    base = torch.from_numpy(lq.astype(np.float64))[None]
    base = F.interpolate(base, scale_factor=upscale, mode="bicubic", align_corners=False)
    return (F.pixel_shuffle(residual, upscale) + base)[0].numpy()
