"""Convolutions at a list of tiles whose outputs are levels in bytes, against float64."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
from byte_products import (
    HALF,
    ISA,
    MOST,
    assert_levels,
    level_plane,
    needs_bytes,
    packed_tiles,
    sentinels,
    whole_lines,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import (
    LARGE,
    SIZES,
    activity_of,
    assert_planes_equal,
    assert_stored_alike_past_the_cache,
    conv3x3,
    filled_plane,
    flat,
    fold,
    in_tiles,
    inside,
    plane_of,
    plane_shape,
    tile_rows,
    unfold,
)

from smsr_plugin.sparse.native import packing

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

pytestmark = needs_bytes

#: Tiles of one work item, `kTileBlock` of csrc/kernels.h.
TILE_BLOCK = 12

#: What is multiplied, by levels or by bfloat16.
INPUTS = {"levels": np.uint8, "signed levels": np.int8, "bfloat16": np.uint16}
per_input = pytest.mark.parametrize("takes", INPUTS)


class Case:
    """Random inputs of a call, and what it should leave in `out`.

    If `exact`, all that is computed is exact in float32, and half of the values lie in the middle
    between two levels; else inputs are of any size, and values spread over all levels and beyond.
    """

    def __init__(self, takes, size, tiles, depth=64, count=64, seed=0, exact=True):
        self.halves, self.size, self.exact = takes == "bfloat16", size, exact
        self.tiles = np.array(tiles, np.int32)
        self.rng = np.random.default_rng(seed)
        self.count = packing.padded(count)
        if self.halves and not exact:
            kernel = self.rng.standard_normal((count, depth, 3, 3))
            self.kernel = HALF.rounded(60 / (9 * depth) ** 0.5 * kernel).astype(np.float64)
            x = plane_of(self.rng.standard_normal((depth, *size), np.float32), dtype=np.uint16)
        else:
            most = 7 if exact else 127
            self.kernel = self.rng.integers(-most, most + 1, (count, depth, 3, 3)).astype(float)
            x = self.levels(depth, 9 if exact else None, INPUTS[takes])
        self.x = x
        image = inside(unfold(x), *size)[..., :depth]
        self.image = np.ascontiguousarray(image.transpose(2, 0, 1), np.float64)

    def levels(self, depth, most, dtype):
        """Return a plane of levels up to one, or up to the last; or of bfloat16 that equal them."""
        if dtype == np.uint16:
            return fold(unfold(level_plane(self.rng, self.size, depth, most)), dtype)
        most, end = most or np.iinfo(dtype).max, np.iinfo(dtype).max
        return level_plane(self.rng, self.size, depth, most, end, dtype)

    def __repr__(self):
        tiles = self.tiles.tolist()
        return f"Case({self.size}, {tiles}, weights {self.kernel.shape}, exact {self.exact})"

    def unit(self):
        """Draw what a level of the sums counts, for each output; None for products in bfloat16."""
        if self.halves:
            return None
        depth = self.kernel.shape[1]
        if self.exact:
            return self.rng.choice(np.float32([0.25, 0.5, 1]), self.count)
        spread = 60 / (9 * depth) ** 0.5 / (np.iinfo(self.x.dtype).max / 2 * 73)
        return (spread * self.rng.uniform(0.5, 2, self.count)).astype(np.float32)

    def vector(self):
        if self.exact:
            return self.rng.integers(-80, 80, self.count).astype(np.float32) / 2
        return 40 * self.rng.standard_normal(self.count, np.float32)

    def values(self, unit=None, bias=None, relu=False, slopes=0.0):
        """Return what is to be stored at every pixel, (H, W, N), before it is rounded."""
        value = np.zeros((*self.size, self.count))
        value[..., : len(self.kernel)] = conv3x3(self.image, self.kernel)
        value = value * (1 if unit is None else unit) + (0 if bias is None else bias)
        return np.where(value < 0, value * slopes, value) if relu else value

    def check(self, channels=0, written=None, relu=False, slopes=None, threads=1, **options):
        """Run it, compare all of `out`, and the sums.

        Args:
            channels: Of the plane; as many as there are outputs, or more.
            written: The pixels of the listed tiles that are stored, (H, W); None for all.
            relu, slopes, threads: For the kernel; slopes are a number or one for each output.
            options: For the kernel as they are.
        """
        unit = self.unit()
        bias = self.vector()
        out = sentinels(self.size, max(channels, self.count))
        before = out.copy()
        by = {"slope": 0.0 if slopes is None else slopes}
        if isinstance(slopes, np.ndarray):
            by = {"slopes": slopes}
        sums = self.run(
            out, unit=unit, bias=bias, relu=relu, threads=threads, sums=True, **by, **options
        )
        listed = in_tiles(self.tiles, *self.size)
        listed = listed if written is None else listed & written
        value = self.values(unit, bias, relu, 0 if slopes is None else slopes)[listed]
        stored = np.zeros(plane_shape(*self.size), bool)
        inside(stored, *self.size)[listed] = True
        assert_levels(out, before, stored, value, 0 if self.exact else 1e-3)
        np.testing.assert_allclose(sums, value.sum(0), rtol=0, atol=1e-5 * (1 + abs(value).sum()))

    def run(self, out, x=None, **options):
        weights = HALF.winograd(self.kernel) if self.halves else packed_tiles(self.kernel)
        x = self.x if x is None else x
        return kernels.tiles(*self.size, self.tiles, x, weights, out, isa=ISA, **options)


@st.composite
def cases(draw):
    """Draw any size, any tiles in any order, any channel counts."""
    size = draw(st.tuples(st.integers(1, 14), st.integers(1, 24)))
    every = range(tile_rows(size[0]) * tile_rows(size[1]))
    tiles = draw(st.lists(st.sampled_from(every), unique=True))
    depth, count = draw(st.integers(1, 130)), draw(st.integers(1, 130))
    return partial(
        Case, size=size, tiles=tiles, depth=depth, count=count, seed=draw(st.integers(0, 999)),
        exact=draw(st.booleans()),
    )  # fmt: skip


@per_input
@given(
    case=cases(),
    activation=st.sampled_from(["none", "relu", "leaky", "of each output"]),
    spare=st.sampled_from([0, 16, 64]),
    threads=st.integers(1, 3),
)
@settings(max_examples=12)
def test_equals_the_convolution_at_any_tiles(takes, case, activation, spare, threads):
    case = case(takes)
    slopes = {"leaky": 0.25}.get(activation)
    if activation == "of each output":
        slopes = case.rng.choice(np.float32([-1, 0, 0.5]), case.count)
    relu = activation != "none"
    case.check(case.count + spare, relu=relu, slopes=slopes, threads=threads)


@per_input
@pytest.mark.parametrize(
    ("size", "tiles"),
    [
        pytest.param((8, 8), [], id="no tile"),
        pytest.param((8, 8), [2], id="one tile"),
        pytest.param((20, 18), range(TILE_BLOCK), id="one work item"),
        pytest.param((20, 18), range(TILE_BLOCK + 1), id="one tile more than a work item"),
        pytest.param((20, 18), range(24, -1, -1), id="backwards"),
        pytest.param((4, 32), [0, 1, 2, 3, 5, 6, 7], id="four neighbours and three"),
        *(
            pytest.param(size, range(tile_rows(size[0]) * tile_rows(size[1])), id=f"all of {size}")
            for size in SIZES
        ),
    ],
)
def test_boundaries_of_tiles(takes, size, tiles):
    Case(takes, size, tiles).check(relu=True)


@per_input
@pytest.mark.parametrize("depth", [1, 64, 65, 128, 1024])
@pytest.mark.parametrize("count", [1, 16, 32, 48, 64, 80, 96, 112, 128, 1024])
def test_boundaries_of_channels(takes, depth, count):
    if depth * count <= 1 << 16:
        Case(takes, (5, 6), [0, 3], depth, count, exact=depth < 200).check()


@per_input
def test_levels_end_at_0_and_255(takes):
    """Values far beyond, and those that are just rounded to either end."""
    case = Case(takes, (4, 4), [0], 1, 64)
    case.image[:], case.kernel[:] = 0, 0
    case.kernel[:, 0, 1, 1] = 1
    case.x = np.zeros_like(case.x)
    values = np.float32([-1e9, -300, -1, -0.5, 0, 0.5, 1.5, 254.5, 255, 255.5, 256, 1e9, np.inf,
                         -np.inf, 127.5, 128.5])  # fmt: skip
    expected = [0, 0, 0, 0, 0, 0, 2, 254, 255, 255, 255, 255, 255, 0, 128, 128]
    out = sentinels(case.size, 64)
    unit = None if case.halves else np.ones(64, np.float32)
    case.run(out, unit=unit, bias=np.tile(values, 4))
    assert (inside(unfold(out), 4, 4) == np.tile(expected, 4)).all()


@per_input
@given(
    case=cases(),
    density=st.sampled_from([0.0, 0.2, 0.8, 1.0]),
    dense_lines=st.one_of(st.none(), st.integers(0, 3)),
    has_rest=st.booleans(),
    stored=st.sampled_from([None, kernels.ACTIVE, kernels.INACTIVE]),
    threads=st.integers(1, 3),
)
@settings(max_examples=12)
def test_masks_hide_inputs_and_outputs(
    takes, case, density, dense_lines, has_rest, stored, threads
):
    case = case(takes)
    mask = case.rng.random(case.size) < density
    activity = activity_of(mask)
    options, written = {"relu": True, "threads": threads}, None
    if dense_lines is not None:
        depth, line = len(case.image), case.x.shape[-1]
        k_dense = min(dense_lines * line, packing.padded(depth, line))
        rest = level_plane(case.rng, (1, 1), depth, 9)
        seen = inside(unfold(rest), 1, 1)[0, 0].astype(np.float32)
        case.image[k_dense:, ~mask] = seen[k_dense:depth, None] if has_rest else 0
        x = unfold(case.x)
        inside(x, *case.size)[~mask, k_dense:] = 120  # may not be seen
        options |= {"activity_in": activity, "k_dense": k_dense}
        options["x"] = fold(x, case.x.dtype)
        if has_rest:
            seen = seen[: packing.padded(depth, line)]
            options["rest"] = packing.half(seen) if case.halves else seen.astype(case.x.dtype)
    if stored is not None:
        options |= {"activity_out": activity, "stored": stored}
        written = mask if stored == kernels.ACTIVE else ~mask
    case.check(written=written, **options)


def test_what_is_no_number_is_level_0():
    case = Case("bfloat16", (12, 12), range(9), 40, 70)
    case.image[3, 5, 6] = np.nan
    x = unfold(case.x)
    inside(x, 12, 12)[5, 6, 3] = np.nan
    for relu in (False, True):
        out = sentinels(case.size, 128)
        case.run(out, fold(x, np.uint16), relu=relu)
        found, expected = inside(unfold(out), 12, 12), whole_lines(case.values())
        assert not found[4:7, 5:8].any()
        assert np.isnan(expected[4:7, 5:8, :70]).all()
        for rows in (slice(0, 4), slice(8, 12)):  # of tiles whose patches do not hold the pixel
            assert (found[rows] == np.clip(np.rint(expected[rows]), 0, MOST)).all()


@per_input
def test_threads_do_not_change_a_bit(takes):
    case = Case(takes, (92, 85), range(23 * 22), 20, 20, exact=False)  # many work items
    activity, unit = activity_of(case.rng.random(case.size) < 0.5), case.unit()
    runs = []
    for threads in (1, 2, 3):
        out = sentinels(case.size, 64)
        sums = case.run(out, unit=unit, activity_out=activity, sums=True, threads=threads)
        runs.append((out.tobytes(), sums.tobytes()))
    assert runs[0] == runs[1] == runs[2]


def test_what_is_stored_past_the_cache():
    """256 channels in bytes are as large as 128 in bfloat16; 48 of them are stored."""
    tiles = range(0, tile_rows(LARGE[0]) * tile_rows(LARGE[1]), 3)
    case = Case("levels", LARGE, tiles, 16, 48)
    activity = activity_of(case.rng.random(case.size) < 0.5)
    options = {"relu": True, "sums": True, "activity_out": activity, "unit": case.unit()}
    assert_stored_alike_past_the_cache(partial(case.run, **options), sentinels(LARGE, 256))


def test_of_bfloat16_some_outputs_are_pooled_and_the_others_stored():
    case = Case("bfloat16", (8, 12), range(6), 40, 16 + 70)
    hidden, out = filled_plane(4, 6, 16, 0, np.uint16), sentinels(case.size, 128)
    before, value = out.copy(), case.values(relu=True)
    case.run(out, relu=True, pooled=(hidden, 16))
    stored = np.zeros(plane_shape(*case.size), bool)
    inside(stored, *case.size)[:] = True
    assert_levels(out, before, stored, flat(value)[:, 16:], 0)
    means = value[..., :16].reshape(4, 2, 6, 2, 16).mean((1, 3))
    kept = packing.pad(HALF.rounded(means), 2, 32)
    np.testing.assert_array_equal(inside(unfold(hidden), 4, 6), kept)


@pytest.mark.parametrize("pool", [False, True])
@pytest.mark.parametrize(("depth", "count"), [(1, 16), (64, 64), (65, 80), (70, 1)])
def test_of_signed_levels_outputs_may_be_bfloat16(depth, count, pool):
    case = Case("signed levels", (10, 22), range(1, 18), depth, count)
    unit, bias = case.unit(), case.vector()
    value, listed = case.values(unit, bias, relu=True), in_tiles(case.tiles, *case.size)
    size, options = case.size, {"relu": True, "unit": unit, "bias": bias}
    if pool:
        value, size = value.reshape(5, 2, 11, 2, -1).mean((1, 3)), (5, 11)
        listed, options["pool"] = listed[::2, ::2], True
    else:
        residual = case.levels(case.count, 9, np.uint16)
        value += inside(unfold(residual), *size)[..., : case.count]
        options |= {"residual": residual, "residual_last": True}
    out = filled_plane(*size, case.count, dtype=np.uint16)
    expected = unfold(out).astype(np.float64)
    kept = packing.pad(HALF.rounded(value), 2, packing.padded(case.count, 32))
    inside(expected, *size)[listed, : kept.shape[2]] = kept[listed]
    case.run(out, **options)
    assert_planes_equal(out, expected)
