"""Products over the rows of a list of pixels of or to levels in bytes, against integers."""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import numpy as np
import pytest
from byte_products import (
    HALF,
    ISA,
    LINE,
    MOST,
    SIGNED_LEVELS,
    assert_levels,
    level_plane,
    needs_bytes,
    packed_rows,
    sentinels,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    INACTIVE,
    LARGE,
    activity_of,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    filled_plane,
    flat,
    fold,
    inside,
    pixels_where,
    unfold,
)
from row_products import (
    NEIGHBOURS,
    Source,
    draw_chain,
    integer_plane,
    integers,
    padded,
    product,
    stored,
)

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

pytestmark = needs_bytes

#: Pixels of one work item, `kMatrixBlock` of csrc/kernels.h, and of a matrix tile.
BLOCK, TILE = 96, 16
#: The bits of a bfloat16 that is no number.
HALF_NAN = 0x7FC0


class Way(NamedTuple):
    """What the sources hold, and what the output: levels in bytes or bfloat16."""

    takes: str
    gives: str

    @property
    def line(self):
        """Channels of a line of the sources."""
        return packing.HALF_LINE if self.takes == "bfloat16" else LINE

    def source(self, rng, size, channels, most=9):
        """Return a plane of random features; what weights of zero see holds any levels."""
        if self.takes == "bfloat16":
            return integer_plane(rng, size, channels, HALF)
        dtype = np.uint8 if self.takes == "levels" else np.int8
        end = np.iinfo(dtype).max
        return level_plane(rng, size, channels, min(most, end), end, dtype)

    def pack(self, parts):
        """Pack the weights (K, N) of each source, which are integers."""
        if self.takes == "bfloat16":
            return HALF.product(np.concatenate(parts), [len(part) for part in parts])
        return packed_rows(parts)

    def unit(self, rng, count):
        """Draw what a level of the sums counts, for each output; None for those in bfloat16."""
        if self.takes == "bfloat16":
            return None
        return rng.choice(np.float32([0.25, 0.5, 1, 2]), count)

    def out(self, size, channels):
        """Return a plane to write into."""
        if self.gives == "levels":
            return sentinels(size, channels)
        return filled_plane(*size, channels, dtype=np.uint16)

    def assert_stored(self, out, before, pixels, value, tie=0.0):
        """Compare all of a plane with what was to be stored at some pixels."""
        if self.gives == "levels":
            written = np.zeros(before.shape[1:3], bool)
            written.flat[pixels] = True
            assert_levels(out, before, written, value[np.argsort(pixels)], tie)
            return
        expected = unfold(before).astype(np.float64)
        kept = stored(value, HALF)
        flat(expected)[pixels, : kept.shape[1]] = kept
        assert_planes_equal(out, expected)


WAYS = [
    Way("levels", "levels"), Way("signed levels", "levels"), Way("bfloat16", "levels"),
    Way("levels", "bfloat16"), Way("bfloat16", "bfloat16"),
]  # fmt: skip
per_way = pytest.mark.parametrize("way", WAYS, ids=" to ".join)
densities = st.sampled_from([0.0, 0.1, 0.5, 1.0])


@st.composite
def sources_of(draw, size, way):
    """Draw sources from up to three planes; where sparse ones may not be seen is something else."""
    rng = np.random.default_rng(draw(st.integers(0, 999)))
    planes = [way.source(rng, size, draw(st.sampled_from([1, 40, 64, 130]))) for _ in range(3)]
    activity = activity_of(rng.random(size) < draw(densities))
    hidden = planes[2]
    hidden[:, activity == INACTIVE] = HALF_NAN if way.takes == "bfloat16" else 99
    sources = []
    for _ in range(draw(st.integers(0, 5))):
        plane = draw(st.sampled_from(planes))
        first = draw(st.integers(0, len(plane) - 1)) * way.line
        channels = draw(st.integers(1, len(plane) * way.line - first))
        dy, dx = draw(st.integers(-1, 1)), draw(st.integers(-1, 1))
        seen = activity if plane is hidden else None
        sources.append(Source(plane, dy, dx, first, channels, seen))
    return sources


@per_way
@given(
    data=st.data(),
    size=st.tuples(st.integers(1, 14), st.integers(1, 24)),
    density=densities,
    count=st.sampled_from([1, 16, 33, 48, 64, 80, 112, 128]),
    seed=st.integers(0, 999),
)
@settings(max_examples=12)
def test_equals_any_sum_of_products(way, data, size, density, count, seed):
    rng = np.random.default_rng(seed)
    sources = data.draw(sources_of(size, way))
    pixels = rng.permutation(pixels_where(rng.random(size) < density))
    parts = [integers(rng, source.channels, count) for source in sources]
    nothing = np.zeros((0, count), np.float32)
    value = padded(product(pixels, sources, np.concatenate([nothing, *parts])))
    width = value.shape[1]
    options = {"threads": data.draw(st.integers(1, 3)), "unit": way.unit(rng, width)}
    value *= 1 if options["unit"] is None else options["unit"]
    if data.draw(st.booleans()):
        options["bias"] = rng.integers(-80, 80, width).astype(np.float32) / 2
        value += options["bias"]
    if data.draw(st.booleans()):
        options["scale"] = integers(rng, width)
        value *= options["scale"]
    out, added = way.out(size, width + data.draw(st.sampled_from([0, 64]))), None
    if way.gives == "bfloat16":
        residual = data.draw(st.sampled_from(["none", "another plane", "in place"]))
        if residual != "none":
            options["residual"] = integer_plane(rng, size, width + 64, HALF)
            added = flat(unfold(options["residual"]))[pixels, :width]
            value += added
        out = options["residual"] if residual == "in place" else out
    slope = data.draw(st.sampled_from([None, 0.0, 0.25]))
    if slope is not None:
        options |= {"relu": True, "slope": slope}
        value = np.where(value < 0, value * slope, value)
    if way.gives == "bfloat16" and data.draw(st.booleans()):
        options["chain"], chained = draw_chain(HALF, data, rng, size, pixels, value, added)
    if way.gives == "bfloat16" and data.draw(st.booleans()):
        of_one = data.draw(st.sampled_from([0.125, 0.5, 1.0]))
        options["levels"] = (sentinels(size, width + 64, np.int8), of_one)
    before = out.copy()
    weights = way.pack(parts or [nothing])
    sums = kernels.rows(*size, pixels, sources, weights, out, isa=ISA, sums=True, **options)
    way.assert_stored(out, before, pixels, value)
    np.testing.assert_allclose(sums, value.sum(0), rtol=0, atol=1e-6 * (1 + abs(value).sum()))
    if "chain" in options:
        assert_planes_equal(options["chain"][2], chained)
    if "levels" in options:
        found, of_one = options["levels"]
        assert_signed_levels(found, sentinels(size, width + 64, np.int8), pixels, value * of_one)


def assert_signed_levels(out, before, pixels, value):
    """Compare all of a plane with what was to be stored at some pixels, which is exact."""
    written = np.zeros(before.shape[1:3], bool)
    written.flat[pixels] = True
    assert_levels(out, before, written, value[np.argsort(pixels)], 0, SIGNED_LEVELS)


@per_way
@pytest.mark.parametrize("count", [16, 80, 1024])
@pytest.mark.parametrize("pixels", [0, 1, TILE - 1, TILE + 1, 2 * TILE + 1, BLOCK, BLOCK + 1])
def test_boundaries_of_pixels(way, pixels, count):
    """Scattered and in a run, where they are multiplied where they lie; the first one elsewhere."""
    rng, size = np.random.default_rng(pixels), (7, 110)
    x, weights = way.source(rng, size, 70), integers(rng, 70, count)
    everything = pixels_where(np.ones(size, bool))
    for listed in (everything[-pixels - 1 :][:pixels], rng.permutation(everything)[:pixels]):
        sources = [Source(x, 0, 0, 0, 70, None)]
        unit = way.unit(rng, count)
        value = product(listed, sources, weights) * (1 if unit is None else unit)
        out = way.out(size, count)
        before = out.copy()
        kernels.rows(*size, listed, sources, way.pack([weights]), out, unit=unit, isa=ISA)
        way.assert_stored(out, before, listed, value)


@per_way
@pytest.mark.parametrize(("depth", "count"), [(1, 1024), (1024, 1), (65, 112), (128, 96)])
def test_boundaries_of_channels(way, depth, count):
    rng, size = np.random.default_rng(depth), (2, 3)
    x, parts = way.source(rng, size, depth), [integers(rng, depth, count) for _ in NEIGHBOURS]
    sources = [Source(x, dy, dx, 0, depth, None) for dy, dx in NEIGHBOURS]
    pixels, unit = pixels_where(np.ones(size, bool)), way.unit(rng, packing.padded(count))
    value = padded(product(pixels, sources, np.concatenate(parts))) * (1 if unit is None else unit)
    out = way.out(size, count)
    before = out.copy()
    kernels.rows(*size, pixels, sources, way.pack(parts), out, unit=unit, isa=ISA)
    way.assert_stored(out, before, pixels, value)


@pytest.mark.parametrize("way", [way for way in WAYS if way.takes != "bfloat16"], ids=" to ".join)
@pytest.mark.parametrize("depth", [1, 64, 1024])
def test_sums_of_any_levels_are_those_of_integers(way, depth):
    """All levels and weights: no sum saturates, and nothing is rounded before the last."""
    rng, size = np.random.default_rng(depth), (3, 5)
    pixels, x = pixels_where(np.ones(size, bool)), way.source(rng, size, depth, MOST)
    x[:, 1, 1], x[:, 1, 2] = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
    weights = rng.integers(-127, 128, (depth, 64))
    weights[:, 0], weights[:, 1] = 127, -127
    sources = [Source(x, 0, 0, 0, depth, None)]
    value = product(pixels, sources, weights)
    unit = (100 / np.abs(value).max(0).clip(1)).astype(np.float32)
    bias = 50 + 100 * rng.random(64, np.float32)
    value = value * unit + bias
    out = way.out(size, 64)
    before = out.copy()
    packed = packed_rows([weights])
    sums = kernels.rows(
        *size, pixels, sources, packed, out, unit=unit, bias=bias, sums=True, isa=ISA
    )
    if way.gives == "levels":
        way.assert_stored(out, before, pixels, value, tie=1e-3)
    else:  # rounded to 8 bits
        found = flat(unfold(out))[pixels, :64]
        assert (np.abs(found - value) <= 2.0**-8 * np.abs(value) + 1e-3).all()
    np.testing.assert_allclose(sums, value.sum(0), rtol=1e-5, atol=1e-3)


def test_tiles_and_rows_of_levels_are_the_same_bits():
    rng, size = np.random.default_rng(0), (9, 21)
    x, kernel = level_plane(rng, size, 70), rng.integers(-127, 128, (48, 70, 3, 3))
    unit = (0.2 / (9 * 70) ** 0.5 / 70 * rng.uniform(0.5, 2, 48)).astype(np.float32)
    tiles = packed_rows(list(kernel.transpose(2, 3, 1, 0).reshape(9, 70, 48)))
    outs = [sentinels(size, 48) for _ in range(2)]
    pixels = pixels_where(np.ones(size, bool))
    sources = [(x, dy, dx, 0, 70, None) for dy, dx in NEIGHBOURS]
    kernels.rows(*size, pixels, sources, tiles, outs[0], unit=unit, isa=ISA)
    tiles = tiles.reshape(len(tiles), -1, 16, 16, 4)
    kernels.tiles(*size, np.arange(18, dtype=np.int32), x, tiles, outs[1], unit=unit, isa=ISA)
    assert np.array_equal(*outs)
    assert len(np.unique(outs[0])) > 100


def test_what_is_no_number_is_level_0():
    rng, size = np.random.default_rng(0), (6, 7)
    way = Way("bfloat16", "levels")
    x = way.source(rng, size, 16)
    values = unfold(x)
    inside(values, *size)[2, 3, 4] = np.nan
    pixels, weights = pixels_where(np.ones(size, bool)), integers(rng, 16, 48)
    sources = [Source(fold(values, np.uint16), 0, 0, 0, 16, None)]
    out = way.out(size, 48)
    before = out.copy()
    kernels.rows(*size, pixels, sources, way.pack([weights]), out, isa=ISA)
    value = product(pixels, sources, weights)
    assert np.isnan(value[2 * 7 + 3]).all()
    way.assert_stored(out, before, pixels, value)


@per_way
def test_threads_do_not_change_a_bit(way):
    rng, size = np.random.default_rng(0), (47, 67)  # more work items than pieces
    pixels = pixels_where(rng.random(size) < 0.7)
    sources = [(way.source(rng, size, 40, MOST), 0, dx, 0, 40, None) for dx in (0, 1)]
    weights, unit = way.pack([integers(rng, 40, 48)] * 2), way.unit(rng, 48)
    unit = None if unit is None else unit / np.float32(3)
    runs = []
    for threads in (1, 2, 3):
        out = way.out(size, 48)
        sums = kernels.rows(
            *size, pixels, sources, weights, out, unit=unit, sums=True, threads=threads, isa=ISA
        )
        runs.append((out.tobytes(), sums.tobytes()))
    assert runs[0] == runs[1] == runs[2]


@pytest.mark.parametrize("way", WAYS[2:4], ids=" to ".join)
def test_what_is_stored_past_the_cache(way):
    rng = np.random.default_rng(0)
    x, pixels = way.source(rng, LARGE, 16), pixels_where(rng.random(LARGE) < 0.3)
    weights, unit = way.pack([integers(rng, 16, 48)]), way.unit(rng, 48)
    sources = [(x, 0, 0, 0, 16, None)]
    call = partial(kernels.rows, *LARGE, pixels, sources, weights, unit=unit, sums=True, isa=ISA)
    if way.gives == "levels":
        assert_stored_alike_past_the_cache(
            lambda out, threads: call(out, threads=threads), way.out(LARGE, 256)
        )
        return
    assert_stored_alike_past_the_cache(
        lambda out, levels, threads: call(out, levels=(levels, 0.5), threads=threads),
        *(way.out(LARGE, 128), sentinels(LARGE, 256, np.int8)),
    )


def test_rows_of_a_plane_are_an_image():
    """Some rows of every line, with what lies around them for a border."""
    rng, size, rows = np.random.default_rng(0), (20, 19), slice(8, 14)
    way = WAYS[0]
    x, parts = way.source(rng, size, 70), [integers(rng, 70, 80) for _ in NEIGHBOURS]
    out = way.out(size, 80)
    before = out.copy()
    whole = pixels_where(np.isin(np.arange(20), np.arange(8, 14))[:, None] & np.ones(size, bool))
    sources = [Source(x, dy, dx, 0, 70, None) for dy, dx in NEIGHBOURS]
    value, unit = product(whole, sources, np.concatenate(parts)), np.ones(80, np.float32)
    part = [plane[:, rows.start : rows.start + 8 + 2] for plane in (x, out)]
    pixels = pixels_where(np.ones((6, size[1]), bool))
    sources = [(part[0], dy, dx, 0, 70, None) for dy, dx in NEIGHBOURS]
    kernels.rows(6, size[1], pixels, sources, way.pack(parts), part[1], unit=unit, isa=ISA)
    way.assert_stored(out, before, whole, value)


@pytest.mark.parametrize("way", WAYS[3:], ids=" to ".join)
@pytest.mark.parametrize("count", [16, 48, 64, 80, 128])
def test_levels_beside_the_output_are_of_the_row_before_it_is_rounded(way, count):
    """And all else is as without them, to the last bit, with any number of threads."""
    rng, size = np.random.default_rng(count), (9, 30)
    pixels = rng.permutation(pixels_where(rng.random(size) < 0.6))
    x, weights = way.source(rng, size, 70), integers(rng, 70, count)
    bias, unit = rng.standard_normal(count, np.float32), way.unit(rng, count)
    value = product(pixels, [Source(x, 0, 0, 0, 70, None)], weights)
    value = value * (1 if unit is None else unit) + bias
    of_one = float(60 / np.abs(value).mean())
    call = partial(
        kernels.rows, *size, pixels, [(x, 0, 0, 0, 70, None)], way.pack([weights]),
        bias=bias, unit=unit, sums=True, isa=ISA,
    )  # fmt: skip
    alone = way.out(size, count)
    sums = call(alone)
    written = np.zeros(alone.shape[1:3], bool)
    written.flat[pixels] = True
    nearest = value[np.argsort(pixels)] * of_one
    for threads in (1, 2, 3):
        out, levels = way.out(size, count), sentinels(size, count + 64, np.int8)
        before = levels.copy()
        assert np.array_equal(call(out, levels=(levels, of_one), threads=threads), sums)
        assert np.array_equal(out, alone)
        assert_levels(levels, before, written, nearest, ends=SIGNED_LEVELS)
    found = flat(unfold(levels))[pixels, :count]
    assert set(SIGNED_LEVELS) <= set(found.ravel().tolist())
    assert (found != np.clip(np.rint(HALF.kept(value) * of_one), *SIGNED_LEVELS)).any()


def test_a_row_of_levels_that_is_no_number_leaves_the_others_alone():
    """Nor is anything stored around some rows of every line of a plane."""
    rng, size, way = np.random.default_rng(0), (20, 19), WAYS[4]
    x, weights = way.source(rng, size, 16), integers(rng, 16, 80)
    x[0, 10, 5, 6] = HALF_NAN
    pixels = pixels_where(np.isin(np.arange(20), np.arange(8, 14))[:, None] & np.ones(size, bool))
    value = padded(product(pixels, [Source(x, 0, 0, 0, 16, None)], weights))
    assert np.isnan(value).any(1).sum() == 1
    out, levels = way.out(size, 80), sentinels(size, 80, np.int8)
    before = levels.copy()
    x, out, part = (plane[:, 8 : 8 + 8 + 2] for plane in (x, out, levels))
    rows = pixels_where(np.ones((6, size[1]), bool))
    kernels.rows(
        6, size[1], rows, [(x, 0, 0, 0, 16, None)], way.pack([weights]), out,
        levels=(part, 0.5), isa=ISA,
    )  # fmt: skip
    assert_signed_levels(levels, before, pixels, value * 0.5)


def test_signed_levels_end_at_127_which_is_what_no_number_becomes():
    values = np.float32([-1e9, -128, -127.5, -126.5, -0.5, 0, 0.5, 1.5, 126.5, 127.5, 1e9, np.inf,
                         -np.inf, np.nan, 3, -3])  # fmt: skip
    expected = [-127, -127, -127, -126, 0, 0, 0, 2, 126, 127, 127, 127, -127, 127, 3, -3]
    size, pixels = (2, 3), pixels_where(np.ones((2, 3), bool))
    out, levels = filled_plane(*size, 16, dtype=np.uint16), sentinels(size, 16, np.int8)
    nothing = np.zeros((1, 0, 16, 2), np.uint16)
    kernels.rows(*size, pixels, [], nothing, out, bias=values, levels=(levels, 1.0), isa=ISA)
    assert (inside(unfold(levels), *size)[..., :16] == expected).all()
    assert not inside(unfold(levels), *size)[..., 16:].any()
