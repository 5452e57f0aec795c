"""What is hidden stays out of what can be seen; opaque stays opaque."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from smsr_plugin.upscaling.channels import filled_colour, keep_flat


@given(
    shape=array_shapes(min_dims=2, max_dims=2, max_side=20),
    channels=st.sampled_from([1, 3]),
    seed=st.integers(0, 99),
    share=st.sampled_from([0.02, 0.5, 0.98]),
)
def test_hidden_colours_are_replaced_by_a_mix_of_visible_ones(shape, channels, seed, share):
    rng = np.random.default_rng(seed)
    colour = rng.uniform(0.25, 0.5, (*shape, channels)).astype(np.float32)
    alpha = (rng.random(shape) < share).astype(np.float32)
    hidden = alpha == 0
    filled = filled_colour(np.where(hidden[..., None], np.float32(1), colour), alpha)
    assert filled.shape == colour.shape
    assert filled.dtype == np.float32
    assert (filled[~hidden] == colour[~hidden]).all()
    if hidden.all():
        assert (filled == 1).all()
    elif hidden.any():
        seen = colour[~hidden]
        assert (filled >= seen.min(0) - 1e-5).all()
        assert (filled <= seen.max(0) + 1e-5).all()


def test_colours_flow_in_from_the_nearest_side():
    colour = np.zeros((8, 32, 3), np.float32)
    colour[:, :4], colour[:, -4:] = (1, 0, 0), (0, 0, 1)
    alpha = np.zeros((8, 32), np.float32)
    alpha[:, :4] = alpha[:, -4:] = 0.5
    filled = filled_colour(colour, alpha)
    assert filled[4, 4:6] == pytest.approx(np.float32([[1, 0, 0]] * 2), abs=0.3)
    assert (np.diff(filled[4, :, 0]) <= 1e-6).all()


@given(
    lq=arrays(np.float32, (7, 9), elements=st.sampled_from([0, 0.5, 1])),
    scale=st.sampled_from([2, 3, 4]),
)
def test_flat_opacity_keeps_its_value_and_the_rest_is_the_networks(lq, scale):
    sr = np.full((7 * scale, 9 * scale), 0.996, np.float32)
    kept = keep_flat(sr, lq)
    padded = np.pad(lq, 1, mode="edge")
    around = np.stack([padded[y : y + 7, x : x + 9] for y in range(3) for x in range(3)])
    for y, x in np.ndindex(7, 9):
        flat = np.ptp(around[:, y, x]) == 0
        part = kept[y * scale : (y + 1) * scale, x * scale : (x + 1) * scale]
        assert (part == (lq[y, x] if flat else np.float32(0.996))).all()
