"""Products over the rows of a list of pixels: what they are."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    INACTIVE,
    SIZES,
    activity_of,
    assert_planes_equal,
    conv3x3,
    filled_plane,
    flat,
    inside,
    pixels_where,
    plane_of,
    unfold,
)
from native_products import per_products
from row_products import (
    NEIGHBOURS,
    ROW_BLOCK,
    Source,
    counts,
    draw_chain,
    integer_plane,
    integers,
    padded,
    product,
    stored,
)

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: Rounding to float32, 24 bits.
FLOAT_EPS = 2.0**-24
#: The bits of a bfloat16 that is no number.
HALF_NAN = 0x7FC0

sizes = st.tuples(st.integers(1, 14), st.integers(1, 20))
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])


def check_conv(products, mask, depth=16, count=16, seed=0):
    """Convolve at the pixels of a mask and compare all of `out`."""
    rng = np.random.default_rng(seed)
    image, kernel = integers(rng, depth, *mask.shape), integers(rng, count, depth, 3, 3)
    x = plane_of(image, dtype=products.dtype)
    pixels = pixels_where(mask)
    out = filled_plane(*mask.shape, count, dtype=products.dtype)
    expected = unfold(out).astype(np.float64)
    inside(expected, *mask.shape)[mask] = stored(conv3x3(image, kernel), products)[mask]
    sources = [(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
    kernels.rows(*mask.shape, pixels, sources, products.taps(kernel), out, isa=products.isa)
    assert_planes_equal(out, expected)


@per_products
@given(
    size=sizes, density=densities, depth=st.integers(1, 40), count=counts, seed=st.integers(0, 999)
)
@settings(max_examples=40)
def test_equals_the_convolution_at_any_pixels(products, size, density, depth, count, seed):
    mask = np.random.default_rng(seed).random(size) < density
    check_conv(products, mask, depth, count, seed)


@per_products
@pytest.mark.parametrize("count", [16, 32, 48, 64])
@pytest.mark.parametrize(
    "pixels", [0, 1, 2, 3, 5, 6, 7, 11, 12, 13, ROW_BLOCK - 1, ROW_BLOCK, ROW_BLOCK + 1]
)
def test_boundaries_of_pixels(products, pixels, count):
    mask = np.zeros((7, 11), bool)
    mask.flat[np.random.default_rng(pixels).permutation(mask.size)[:pixels]] = True
    check_conv(products, mask, count=count)


@per_products
@pytest.mark.parametrize("size", SIZES)
def test_boundaries_of_sizes_with_everything_active(products, size):
    check_conv(products, np.ones(size, bool))


@per_products
@pytest.mark.parametrize(("depth", "count"), [(1, 1024), (1024, 1), (100, 112)])
def test_many_channels(products, depth, count):
    check_conv(products, np.ones((2, 3), bool), depth, count)


@st.composite
def sources_of(draw, size, products):
    """Draw sources from up to three planes; sparse ones hold NaN where they may not be seen."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    planes = [integer_plane(rng, size, draw(st.integers(1, 48)), products) for _ in range(3)]
    activity = activity_of(rng.random(size) < draw(densities))
    hidden = planes[2]
    hidden[:, activity == INACTIVE] = HALF_NAN if products.half else np.nan
    sources = []
    for _ in range(draw(st.integers(0, 12))):
        plane = draw(st.sampled_from(planes))
        line = products.line
        first = draw(st.integers(0, len(plane) - 1)) * line
        channels = draw(st.integers(1, len(plane) * line - first))
        steps = st.integers(-1, 1)
        sources.append(
            Source(
                plane, draw(steps), draw(steps), first, channels,
                activity if plane is hidden else None,
            )
        )  # fmt: skip
    return sources


@per_products
@given(data=st.data(), size=sizes, density=densities, count=counts, seed=st.integers(0, 999))
@settings(max_examples=40)
def test_equals_any_sum_of_products(products, data, size, density, count, seed):
    rng = np.random.default_rng(seed)
    sources = data.draw(sources_of(size, products))
    pixels = rng.permutation(pixels_where(rng.random(size) < density))
    weights = integers(rng, sum(source.channels for source in sources), count)
    value = padded(product(pixels, sources, weights))
    spare = data.draw(st.sampled_from([0, products.line]))
    out = filled_plane(*size, value.shape[1] + spare, dtype=products.dtype)
    options = {"threads": data.draw(st.integers(1, 3))}
    if data.draw(st.booleans()):
        options["bias"] = integers(rng, value.shape[1])
        value += options["bias"]
    if data.draw(st.booleans()):
        options["scale"] = integers(rng, value.shape[1])
        value *= options["scale"]
    residual = data.draw(st.sampled_from(["none", "another plane", "in place"]))
    added = None
    if residual != "none":
        spare = 2 * products.line
        options["residual"] = integer_plane(rng, size, value.shape[1] + spare, products)
        added = flat(unfold(options["residual"]))[pixels, : value.shape[1]]
        value += added
    if residual == "in place":
        out = options["residual"]
    if data.draw(st.booleans()):
        options["relu"] = True
        value = np.maximum(value, 0)
    expected = unfold(out).astype(np.float64)
    kept = stored(value, products)
    flat(expected)[pixels, : kept.shape[1]] = kept

    if data.draw(st.booleans()):
        options["chain"], chained = draw_chain(products, data, rng, size, pixels, value, added)
    packed = products.product(weights, [source.channels for source in sources])
    sums = kernels.rows(*size, pixels, sources, packed, out, isa=products.isa, sums=True, **options)
    assert_planes_equal(out, expected)
    assert np.array_equal(sums, value.sum(0))
    if "chain" in options:
        assert_planes_equal(options["chain"][2], chained)


@per_products
@pytest.mark.parametrize("depth", [1, 64, 1024])
def test_rounds_no_more_than_its_products_and_a_float32_sum_in_any_order(products, depth):
    rng = np.random.default_rng(depth)
    size, pixels = (3, 5), pixels_where(np.ones((3, 5), bool))
    image = rng.standard_normal((depth, *size), np.float32)
    weights = rng.standard_normal((depth, 16), np.float32)
    out = filled_plane(*size, 16, dtype=products.dtype)
    sources = [Source(plane_of(image, dtype=products.dtype), 0, 0, 0, depth, None)]
    kernels.rows(*size, pixels, sources, products.product(weights), out, isa=products.isa)
    magnitudes = plane_of(np.abs(image), dtype=products.dtype)
    x_of_magnitudes = [Source(magnitudes, 0, 0, 0, depth, None)]
    bound = (depth * FLOAT_EPS + 2.01 * products.eps) * product(
        pixels, x_of_magnitudes, np.abs(weights)
    )
    error = np.abs(flat(unfold(out))[pixels, :16] - product(pixels, sources, weights))
    assert (error <= bound).all()


@per_products
@pytest.mark.parametrize("relu", [False, True])
def test_nan_reaches_the_output_of_the_pixels_that_see_it(products, relu):
    rng = np.random.default_rng(0)
    size = (6, 7)
    x = integer_plane(rng, size, 16, products)
    x[0, 3, 4, 5] = HALF_NAN if products.half else np.nan  # pixel (2, 3)
    out, chained = (filled_plane(*size, 16, dtype=products.dtype) for _ in range(2))
    sources = [(x, dy, dx, 0, 16, None) for dy, dx in NEIGHBOURS]
    weights = products.taps(integers(rng, 16, 16, 3, 3))
    chain = (products.product(integers(rng, 16, 16)), None, chained, relu)
    pixels = pixels_where(np.ones(size, bool))
    kernels.rows(*size, pixels, sources, weights, out, relu=relu, chain=chain, isa=products.isa)
    sees = np.zeros(size, bool)
    sees[1:4, 2:5] = True
    for plane in (out, chained):
        found = inside(unfold(plane), *size)[..., :16]
        assert (np.isnan(found).all(2) == sees).all()
        assert np.isfinite(found[~sees]).all()
