import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from smsr_plugin.sparse.reference.ops import ActiveSet


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(0, 2**20))
@settings(max_examples=50)
def test_taps_point_at_the_neighbours(batch, height, width, seed):
    torch.manual_seed(seed)
    important = torch.rand(batch, height, width) > 0.5
    active = ActiveSet.from_mask(important)
    order = [tuple(p) for p in important.nonzero().tolist()]
    assert len(active) == len(order)
    total = batch * height * width
    for i, (b, y, x) in enumerate(order):
        assert active.pixels[i] == (b * height + y) * width + x
        near = [(b, y + dy, x + dx) for dy in (-1, 0, 1) for dx in (-1, 0, 1)]
        inside = [0 <= v < height and 0 <= u < width for _, v, u in near]
        rows = [
            (b * height + v) * width + u if ok else total
            for (_, v, u), ok in zip(near, inside, strict=True)
        ]
        assert active.map_taps[i].tolist() == rows
        ranks = [
            order.index(p) if p in order else len(order) + ok
            for p, ok in zip(near, inside, strict=True)
        ]
        assert active.active_taps[i].tolist() == ranks


def test_no_active_pixel():
    active = ActiveSet.from_mask(torch.zeros(2, 3, 3, dtype=torch.bool))
    assert len(active) == 0
    assert active.map_taps.shape == active.active_taps.shape == (0, 9)
