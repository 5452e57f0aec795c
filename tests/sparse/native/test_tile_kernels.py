"""The kernels of networks with masks at tiles, for every instruction set, against float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_networks import detail_planes
from native_planes import (
    LARGE,
    activity_of,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    fold,
    in_tiles,
    inside,
    plane_of,
    tile_rows,
    unfold,
)
from native_products import FLOATS, HALVES, per_products, per_products_of_floats

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.local_attention import resampling

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

per_isa = pytest.mark.parametrize("isa", [products.isa for products in FLOATS])
#: Products and features of one kind.
per_kind = pytest.mark.parametrize("products", FLOATS + HALVES, ids=str)
#: Sums of about 400 products of standard normal numbers in float32, and functions of them.
CLOSE = 1e-4
SLOPE = 0.125
sizes = st.tuples(st.integers(1, 14), st.integers(1, 20))
channels = st.sampled_from([1, 7, 16, 20, 48, 64])
threads = st.integers(1, 3)
seeds = st.integers(0, 999)


def normal(rng, *shape):
    return rng.standard_normal(shape, np.float32)


def torch_of(values):
    return torch.from_numpy(values)[None].double()


def with_values(size, count, values):
    """Return what a plane of sentinels should hold with (C, H, W) values written to it."""
    expected = unfold(filled_plane(*size, count)).astype(np.float64)
    inside(expected, *size)[..., : len(values)] = values.transpose(1, 2, 0)
    inside(expected, *size)[..., len(values) : packing.padded(len(values))] = 0
    return expected


@per_kind
@given(size=sizes, depth=channels, count=channels, padding=st.sampled_from([0, 1]),
       first=st.sampled_from([0, 16, 64]), relu=st.booleans(), threads=threads,
       seed=seeds)  # fmt: skip
@settings(max_examples=40)
def test_a_convolution_of_stride_2(
    products, size, depth, count, padding, first, relu, threads, seed
):
    depth += depth % 2
    first = first if depth <= 16 else first // products.line * products.line
    size = tuple(max(side, 3 - 2 * padding) for side in size)
    rng = np.random.default_rng(seed)
    x = products.kept(normal(rng, depth, *size))
    kernel, bias = products.kept(normal(rng, count, depth, 3, 3)), normal(rng, count)
    weight = torch.from_numpy(kernel).double()
    value = F.conv2d(torch_of(x), weight, torch.from_numpy(bias).double(), 2, padding)[0].numpy()
    value = np.maximum(value, 0) if relu else value
    out = filled_plane(*value.shape[1:], count)
    # May not be seen; with matrix tiles a line is multiplied with zeros there.
    before = np.full((first, *size), 1e6 if products.isa == "amx" else np.nan, np.float32)
    kernels.strided(
        size, plane_of(np.concatenate([before, x]), dtype=products.dtype),
        products.strided(kernel, first), value.shape[1:], out, padding=padding, first=first,
        bias=packing.vector(bias), relu=relu, threads=threads, isa=products.isa,
    )  # fmt: skip
    assert_planes_equal(out, with_values(value.shape[1:], count, value), 3 * CLOSE)


@per_isa
@given(size=sizes, side=st.integers(1, 7), step=st.integers(1, 4), threads=threads, seed=seeds)
@settings(max_examples=40)
def test_the_largest_value_of_squares(isa, size, side, step, threads, seed):
    size = tuple(max(length, side) for length in size)
    x = normal(np.random.default_rng(seed), 32, *size)
    value = F.max_pool2d(torch_of(x), side, step)[0].numpy()
    out = filled_plane(*value.shape[1:], 32)
    kernels.maximum(size, plane_of(x), side, step, value.shape[1:], out, threads=threads, isa=isa)
    assert_planes_equal(out, with_values(value.shape[1:], 32, value))


def attended(x, row, weights, coarse):
    """Return x / (1 + 2^t), t = row · weights + coarse, enlarged."""
    gate = np.einsum("khw,kn->nhw", row.astype(np.float64), weights)
    gate += F.interpolate(torch_of(coarse), x.shape[1:], mode="bilinear")[0].numpy()
    return x / (1 + np.exp2(gate))


@per_kind
@given(size=sizes, coarse=st.tuples(st.integers(1, 5), st.integers(1, 5)), depth=channels,
       count=channels, threads=threads, place=st.sampled_from(["apart", "in place", "behind"]),
       seed=seeds)  # fmt: skip
@settings(max_examples=40)
def test_an_attention(products, size, coarse, depth, count, threads, place, seed):
    depth += depth % 2
    rng = np.random.default_rng(seed)
    coarse = tuple(map(min, coarse, size))
    x, row = products.kept(normal(rng, count, *size)), products.kept(normal(rng, depth, *size))
    weights, view = products.kept(normal(rng, depth, count)), 9 * normal(rng, count, *coarse)
    plane, row_plane = (plane_of(values, dtype=products.dtype) for values in (x, row))
    first = 0
    if place == "behind":  # in the line where x ends, if it fits there
        first = packing.padded(count, packing.LINE if depth <= 16 else products.line)
        after_x = packing.pad(x, 0, first)
        plane = row_plane = plane_of(np.concatenate([after_x, row]), dtype=products.dtype)
    lines = -(-count // products.line)
    out = filled_plane(*size, count, dtype=products.dtype) if place == "apart" else plane[:lines]
    kernels.attend(
        size, plane, row_plane, products.attention(weights, first), coarse, plane_of(view),
        *(resampling(*sides) for sides in zip(coarse, size, strict=True)), out,
        first=first, threads=threads, isa=products.isa,
    )  # fmt: skip
    expected = unfold(out).astype(np.float64)
    inside(expected, *size)[:] = 0
    value = attended(x, row, weights, view).transpose(1, 2, 0)
    inside(expected, *size)[..., :count] = value
    # In bfloat16 the gate is taken to 13 bits, and the result is rounded.
    tolerance = 2.0**-8 * np.abs(expected) + 2.0**-12 * np.abs(x).max() if products.half else CLOSE
    assert_planes_equal(out, expected, tolerance)


@per_kind
def test_gates_far_from_zero_are_closed_or_open(products):
    gate = np.array([np.nan, -1e30, -125, -20, 0, 20, 120, 1e30], np.float32).reshape(1, 1, 8)
    x, out = np.full((2, 1, 8), 3, np.float32), filled_plane(1, 8, 1, dtype=products.dtype)
    plane = plane_of(x, dtype=products.dtype)
    kernels.attend(
        (1, 8), plane, plane, products.attention(np.zeros((2, 1))), (1, 8), plane_of(gate),
        resampling(1, 1), resampling(8, 8), out, isa=products.isa,
    )  # fmt: skip
    expected = [np.nan, 3, 3, 3, 1.5, 3 / (1 + 2**20), 0, 0]
    got = inside(unfold(out), 1, 8)[0, :, 0]
    np.testing.assert_allclose(got, expected, rtol=2.0**-8 if products.half else 1e-6, atol=1e-35)


@per_kind
def test_an_attention_that_is_stored_past_the_cache(products):
    rng = np.random.default_rng(0)
    count, depth = 4 * products.line, 16
    view = normal(rng, count, 3, 4)
    x, row = (plane_of(normal(rng, n, *LARGE), dtype=products.dtype) for n in (count, depth))
    weights = products.attention(normal(rng, depth, count))

    def call(out, threads):
        kernels.attend(
            LARGE, x, row, weights, (3, 4), plane_of(view), resampling(3, LARGE[0]),
            resampling(4, LARGE[1]), out, threads=threads, isa=products.isa,
        )  # fmt: skip

    assert_stored_alike_past_the_cache(call, filled_plane(*LARGE, count, dtype=products.dtype))


@per_kind
@given(size=sizes, density=st.sampled_from([0.0, 0.3, 1.0]), count=channels,
       depths=st.lists(channels, max_size=2), others=st.lists(channels, max_size=2),
       threads=threads, seed=seeds)  # fmt: skip
@settings(max_examples=40)
def test_products_of_two_kinds(products, size, density, count, depths, others, threads, seed):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    out = filled_plane(*size, count, dtype=products.dtype)
    expected, sides = unfold(out).astype(np.float64), []
    inside(expected, *size)[:] = 0
    for where, depths_of_side in ((mask, depths), (~mask, others)):
        xs = [products.kept(normal(rng, depth, *size)) for depth in depths_of_side]
        weights = [products.kept(normal(rng, depth, count)) for depth in depths_of_side]
        bias = normal(rng, count)
        value = np.zeros((*size, count))
        for x, weight in zip(xs, weights, strict=True):
            value += np.einsum("khw,kn->hwn", x.astype(np.float64), weight)
        inside(expected, *size)[where, :count] = (value + bias)[where]
        planes = [plane_of(x, dtype=products.dtype) for x in xs]
        for plane in planes:  # elsewhere it may not be seen
            hidden = np.broadcast_to(~where, (*plane.shape[:1], *size))
            plane[:, 1 : size[0] + 1, 1 : size[1] + 1][hidden] = 0x7FC0 if products.half else np.nan
        packed = products.product(np.concatenate([np.zeros((0, count)), *weights]), depths_of_side)
        sides.append((list(zip(planes, depths_of_side, strict=True)), packed, packing.vector(bias)))
    kernels.blend(size, activity_of(mask), *sides, out, threads=threads, isa=products.isa)
    tolerance = 2.0**-8 * np.abs(expected) if products.half else 0.0
    assert_planes_equal(out, expected, tolerance + CLOSE)


@per_kind
def test_products_that_are_stored_past_the_cache(products):
    rng = np.random.default_rng(0)
    count = 4 * products.line
    x = plane_of(normal(rng, 20, *LARGE), dtype=products.dtype)
    sides = [([(x, 20)], products.product(normal(rng, 20, count)), np.zeros(count, np.float32))
             for _ in range(2)]  # fmt: skip
    activity = activity_of(rng.random(LARGE) < 0.4)

    def call(out, threads):
        kernels.blend(LARGE, activity, *sides, out, threads=threads, isa=products.isa)

    assert_stored_alike_past_the_cache(call, filled_plane(*LARGE, count, dtype=products.dtype))


@per_isa
@given(size=sizes, colours=st.sampled_from([1, 3, 9]), threads=threads, seed=seeds)
@settings(max_examples=30)
def test_details_of_an_image(isa, size, colours, threads, seed):
    rng = np.random.default_rng(seed)
    lq = rng.random((colours, *size), np.float32)
    lq[:, size[0] // 2 :] = 0.5  # without details, but for the edge
    out = filled_plane(*size, 2 * colours + 1)
    kernels.details(lq, 255.0, out, threads=threads, isa=isa)
    got = inside(unfold(out), *size)[..., : 2 * colours + 1].transpose(2, 0, 1)
    expected = detail_planes(lq[None].astype(np.float64))[0]
    np.testing.assert_allclose(got, expected, rtol=0, atol=1e-4)
    assert (got[:, size[0] // 2 + 4 :] < 1e-4).all()


@per_isa
def test_what_is_not_finite_stays_where_it_is_seen(isa):
    lq = np.full((1, 12, 12), 0.5, np.float32)
    lq[0, 2, 3], lq[0, 2, 4] = np.nan, np.inf
    out = filled_plane(12, 12, 3)
    kernels.details(lq, 255.0, out, isa=isa)
    got = inside(unfold(out), 12, 12)[..., :3]
    assert np.isnan(got[2, 3, :2]).all()
    assert (np.abs(got[6:]) < 1e-6).all()


@per_products
@given(size=sizes, density=st.sampled_from([0.0, 0.3, 1.0]), has_rest=st.booleans(),
       last=st.booleans(), own=st.booleans(), seed=seeds)  # fmt: skip
@settings(max_examples=30)
def test_leaky_tiles_that_see_constants_where_pixels_are_skipped(
    products, size, density, has_rest, last, own, seed
):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    image, kernel = products.kept(normal(rng, 20, *size)), normal(rng, 20, 20, 3, 3)
    rest = products.kept(normal(rng, 20)) if has_rest else np.zeros(20, np.float32)
    residual, bias = products.kept(normal(rng, 20, *size)), normal(rng, 20)
    seen = np.where(mask, image, rest[:, None, None])
    value, added = conv3x3(seen, kernel) + bias, residual.transpose(1, 2, 0)
    value = value if last else value + added
    slopes = normal(rng, 20) if own else np.full(20, SLOPE, np.float32)
    value = np.where(value < 0, slopes * value, value) + (added if last else 0)

    x, out = unfold(plane_of(image)), filled_plane(*size, 32, dtype=products.dtype)
    inside(x, *size)[~mask] = np.nan  # may not be seen
    expected = unfold(out).astype(np.float64)
    inside(expected, *size)[mask, :20] = value[mask]
    inside(expected, *size)[mask, 20:] = 0
    tiles = np.arange(tile_rows(size[0]) * tile_rows(size[1]), dtype=np.int32)
    activity = activity_of(mask)
    constants = packing.vector(rest)
    constants = packing.half(constants) if products.half else constants
    kernels.tiles(
        *size, tiles, fold(x, products.dtype), products.winograd(kernel), out,
        bias=packing.vector(bias), residual=plane_of(residual, dtype=products.dtype),
        residual_last=last, relu=True, slope=SLOPE,
        slopes=packing.vector(slopes) if own else None, activity_in=activity,
        rest=constants if has_rest else None, activity_out=activity, isa=products.isa,
    )  # fmt: skip
    assert in_tiles(tiles, *size).all()
    assert_planes_equal(out, expected, 3e4 * products.eps * 2**-8 * 2**5)


@per_products_of_floats
@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("own", [False, True])
def test_leaky_rows(products, last, own):
    rng = np.random.default_rng(0)
    size = (5, 9)
    x, weights = rng.integers(-3, 4, (16, *size)), rng.integers(-3, 4, (16, 16))
    residual = rng.integers(-9, 10, (16, *size)).astype(np.float32)
    value = np.einsum("khw,kn->nhw", x, weights).astype(np.float64)
    value = value if last else value + residual
    slopes = np.arange(-8, 8) * SLOPE if own else np.full(16, SLOPE)
    value = np.where(value < 0, slopes[:, None, None] * value, value) + (residual if last else 0)
    out = filled_plane(*size, 16)
    y, column = np.mgrid[: size[0], : size[1]]
    pixels = ((y + 1) * out.shape[2] + column + 1).astype(np.int32).ravel()
    kernels.rows(
        *size, pixels, [(plane_of(x.astype(np.float32)), 0, 0, 0, 16, None)],
        products.product(weights), out, residual=plane_of(residual), relu=True, slope=SLOPE,
        slopes=packing.vector(slopes) if own else None, residual_last=last, isa=products.isa,
    )  # fmt: skip
    assert_planes_equal(out, with_values(size, 16, value))


@per_products_of_floats
@pytest.mark.parametrize("slope", [0.0, SLOPE])
def test_minus_infinity_is_no_nan_after_a_relu(products, slope):
    x, out = np.full((1, 1, 1), -np.inf, np.float32), filled_plane(1, 1, 16)
    pixels = np.array([out.shape[2] + 1], np.int32)
    kernels.rows(
        1, 1, pixels, [(plane_of(x), 0, 0, 0, 1, None)], products.product(np.ones((1, 16))), out,
        relu=True, slope=slope, isa=products.isa,
    )  # fmt: skip
    assert (unfold(out)[1, 1] == (0 if slope == 0 else -np.inf)).all()


@per_isa
def test_threads_do_not_change_a_bit(isa):
    rng = np.random.default_rng(0)
    lq = rng.random((3, 61, 37), np.float32)
    kernel = packing.taps(normal(rng, 16, 7, 3, 3))
    runs = []
    for count in (1, 2, 5):
        details, out = plane_of(np.zeros((7, 61, 37))), filled_plane(31, 19, 16)
        kernels.details(lq, 255.0, details, threads=count, isa=isa)
        kernels.strided((61, 37), details, kernel, (31, 19), out, padding=1, threads=count, isa=isa)
        runs.append(out.tobytes())
    assert runs[0] == runs[1] == runs[2]
