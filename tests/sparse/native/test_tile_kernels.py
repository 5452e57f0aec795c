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
from native_products import FLOATS, per_products_of_floats

from smsr_plugin.sparse.native import packing
from smsr_plugin.sparse.native.local_attention import resampling

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

per_isa = pytest.mark.parametrize("isa", [products.isa for products in FLOATS])
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


@per_isa
@given(size=sizes, depth=channels, count=channels, padding=st.sampled_from([0, 1]),
       relu=st.booleans(), threads=threads, seed=seeds)  # fmt: skip
@settings(max_examples=40)
def test_a_convolution_of_stride_2(isa, size, depth, count, padding, relu, threads, seed):
    size = tuple(max(side, 3 - 2 * padding) for side in size)
    rng = np.random.default_rng(seed)
    x, kernel, bias = normal(rng, depth, *size), normal(rng, count, depth, 3, 3), normal(rng, count)
    weight = torch.from_numpy(kernel).double()
    value = F.conv2d(torch_of(x), weight, torch.from_numpy(bias).double(), 2, padding)[0].numpy()
    value = np.maximum(value, 0) if relu else value
    out = filled_plane(*value.shape[1:], count)
    kernels.strided(
        size, plane_of(x), packing.taps(kernel), value.shape[1:], out, padding=padding,
        bias=packing.vector(bias), relu=relu, threads=threads, isa=isa,
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
    """Return x · σ(row · weights + coarse, enlarged)."""
    gate = np.einsum("khw,kn->nhw", row.astype(np.float64), weights)
    gate += F.interpolate(torch_of(coarse), x.shape[1:], mode="bilinear")[0].numpy()
    return x / (1 + np.exp(-gate))


@per_isa
@given(size=sizes, coarse=st.tuples(st.integers(1, 5), st.integers(1, 5)), depth=channels,
       count=channels, threads=threads, in_place=st.booleans(), seed=seeds)  # fmt: skip
@settings(max_examples=40)
def test_an_attention(isa, size, coarse, depth, count, threads, in_place, seed):
    rng = np.random.default_rng(seed)
    coarse = tuple(map(min, coarse, size))
    x, row = normal(rng, count, *size), normal(rng, depth, *size)
    weights, view = normal(rng, depth, count), 9 * normal(rng, count, *coarse)
    plane = plane_of(x)
    out = plane if in_place else filled_plane(*size, count)
    kernels.attend(
        size, plane, plane_of(row), packing.product(weights), coarse, plane_of(view),
        *(resampling(*sides) for sides in zip(coarse, size, strict=True)), out,
        threads=threads, isa=isa,
    )  # fmt: skip
    expected = with_values(size, count, attended(x, row, weights, view))
    if in_place:
        border = unfold(plane_of(np.zeros_like(x)))
        inside(border, *size)[:] = inside(expected, *size)
        expected = border
    assert_planes_equal(out, expected, CLOSE)


@per_isa
def test_gates_far_from_zero_are_closed_or_open(isa):
    gate = np.array([np.nan, -1e30, -88, -20, 0, 20, 88, 1e30], np.float32).reshape(1, 1, 8)
    x, out = np.full((1, 1, 8), 3, np.float32), filled_plane(1, 8, 1)
    kernels.attend(
        (1, 8), plane_of(x), plane_of(x), packing.product(np.zeros((1, 1))), (1, 8),
        plane_of(gate), resampling(1, 1), resampling(8, 8), out, isa=isa,
    )  # fmt: skip
    expected = [np.nan, 0, 0, 3 / (1 + np.exp(20)), 1.5, 3, 3, 3]
    np.testing.assert_allclose(inside(unfold(out), 1, 8)[0, :, 0], expected, rtol=1e-6, atol=1e-36)


@per_isa
def test_an_attention_that_is_stored_past_the_cache(isa):
    rng = np.random.default_rng(0)
    x, row, view = normal(rng, 64, *LARGE), normal(rng, 16, *LARGE), normal(rng, 64, 3, 4)
    weights = packing.product(normal(rng, 16, 64))

    def call(out, threads):
        kernels.attend(
            LARGE, plane_of(x), plane_of(row), weights, (3, 4), plane_of(view),
            resampling(3, LARGE[0]), resampling(4, LARGE[1]), out, threads=threads, isa=isa,
        )  # fmt: skip

    assert_stored_alike_past_the_cache(call, filled_plane(*LARGE, 64))


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


@per_products_of_floats
@given(size=sizes, density=st.sampled_from([0.0, 0.3, 1.0]), has_rest=st.booleans(),
       last=st.booleans(), seed=seeds)  # fmt: skip
@settings(max_examples=30)
def test_leaky_tiles_that_see_constants_where_pixels_are_skipped(
    products, size, density, has_rest, last, seed
):
    rng = np.random.default_rng(seed)
    mask = rng.random(size) < density
    image, kernel = normal(rng, 20, *size), normal(rng, 20, 20, 3, 3)
    rest = normal(rng, 20) if has_rest else np.zeros(20, np.float32)
    residual, bias = normal(rng, 20, *size), normal(rng, 20)
    seen = np.where(mask, image, rest[:, None, None])
    value, added = conv3x3(seen, kernel) + bias, residual.transpose(1, 2, 0)
    value = value if last else value + added
    value = np.where(value < 0, SLOPE * value, value) + (added if last else 0)

    x, out = unfold(plane_of(image)), filled_plane(*size, 32)
    inside(x, *size)[~mask] = np.nan  # may not be seen
    expected = unfold(out).astype(np.float64)
    inside(expected, *size)[mask, :20] = value[mask]
    inside(expected, *size)[mask, 20:] = 0
    tiles = np.arange(tile_rows(size[0]) * tile_rows(size[1]), dtype=np.int32)
    activity = activity_of(mask)
    kernels.winograd(
        *size, tiles, fold(x), products.winograd(kernel), out, bias=packing.vector(bias),
        residual=plane_of(residual), residual_last=last, relu=True, slope=SLOPE,
        activity_in=activity, rest=packing.vector(rest) if has_rest else None,
        activity_out=activity, isa=products.isa,
    )  # fmt: skip
    assert in_tiles(tiles, *size).all()
    assert_planes_equal(out, expected, 3e4 * products.eps * 2**-8 * 2**5)


@per_products_of_floats
@pytest.mark.parametrize("last", [False, True])
def test_leaky_rows(products, last):
    rng = np.random.default_rng(0)
    size = (5, 9)
    x, weights = rng.integers(-3, 4, (16, *size)), rng.integers(-3, 4, (16, 16))
    residual = rng.integers(-9, 10, (16, *size)).astype(np.float32)
    value = np.einsum("khw,kn->nhw", x, weights).astype(np.float64)
    value = value if last else value + residual
    value = np.where(value < 0, SLOPE * value, value) + (residual if last else 0)
    out = filled_plane(*size, 16)
    y, column = np.mgrid[: size[0], : size[1]]
    pixels = ((y + 1) * out.shape[2] + column + 1).astype(np.int32).ravel()
    kernels.rows(
        *size, pixels, [(plane_of(x.astype(np.float32)), 0, 0, 0, 16, None)],
        products.product(weights), out, residual=plane_of(residual), relu=True, slope=SLOPE,
        residual_last=last, isa=products.isa,
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
