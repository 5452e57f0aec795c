import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st

from smsr_plugin.sparse.reference import ops as reference
from smsr_plugin.sparse.reference.ops import ActiveSet


@given(
    c_in=st.integers(0, 5),
    c_out=st.integers(0, 5),
    size=st.tuples(st.integers(1, 3), st.integers(1, 7), st.integers(1, 7)),
    density=st.sampled_from([0.0, 0.3, 1.0]),
    seed=st.integers(0, 999),
)
@settings(max_examples=50)
def test_convolutions_at_pixels_and_everywhere_agree_with_torch(c_in, c_out, size, density, seed):
    torch.manual_seed(seed)
    batch, height, width = size
    feature = torch.randn(batch, c_in, height, width, dtype=torch.float64)
    weight = torch.randn(c_out, c_in, 3, 3, dtype=torch.float64)
    expected = feature.new_zeros(batch, c_out, height, width)
    if c_in and c_out:
        expected = F.conv2d(feature, weight, padding=1)
    expected_rows = expected.permute(0, 2, 3, 1).reshape(batch * height * width, c_out)

    rows = feature.permute(0, 2, 3, 1).reshape(batch * height * width, c_in)
    active = ActiveSet.from_mask(torch.rand(size) < density)
    at = reference.conv3x3_at(
        reference.with_zero_row(rows), active.map_taps, reference.pack3x3(weight)
    )
    torch.testing.assert_close(at, expected_rows[active.pixels], rtol=1e-12, atol=1e-12)
    everywhere = reference.conv3x3(rows, size, weight)
    torch.testing.assert_close(everywhere, expected_rows, rtol=1e-12, atol=1e-12)


def test_the_gather_buffer_is_bounded(monkeypatch):
    monkeypatch.setattr(reference, "GATHER_VALUES", 9 * 2 * 4)  # four pixels at a time
    torch.manual_seed(0)
    feature, weight = torch.randn(1, 2, 5, 3), torch.randn(3, 2, 3, 3)
    active = ActiveSet.from_mask(torch.ones(1, 5, 3, dtype=torch.bool))
    rows = reference.with_zero_row(reference.as_rows(feature))
    out = reference.conv3x3_at(rows, active.map_taps, reference.pack3x3(weight))
    expected = reference.as_rows(F.conv2d(feature, weight, padding=1))
    torch.testing.assert_close(out, expected)
