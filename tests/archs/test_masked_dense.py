from __future__ import annotations

import copy
import warnings

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import literal_forward, split_channels, tiny_smsr

from smsr_plugin.archs.masked_dense import MaskedDense

#: Relative to values of about 1; float64 sums in another order.
FP64 = {"rtol": 1e-10, "atol": 1e-10}

channel_lists = st.lists(st.integers(0, 5), max_size=6, unique=True)


@given(
    dense=st.lists(st.lists(channel_lists, min_size=3, max_size=3), min_size=2, max_size=2),
    size=st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
    upscale=st.sampled_from([2, 3, 4]),
    threshold=st.sampled_from([float("-inf"), 0.0, 0.2, float("inf")]),
    seed=st.integers(0, 999),
)
@settings(max_examples=40)
def test_equals_the_formula_for_any_split_and_mask(dense, size, upscale, threshold, seed):
    net = split_channels(tiny_smsr(seed, upscale=upscale, img_range=255.0), dense)
    batch, height, width = size
    x = torch.rand(batch, 3, height, width, dtype=torch.float64)
    expected = net(x, threshold=threshold, return_masks=True)
    sr, spa_mask = MaskedDense(net, threshold)(x)
    assert torch.equal(spa_mask, expected.spa_mask > 0)
    literal = literal_forward(net, x, spa_mask.double(), net.channel_masks())
    torch.testing.assert_close(sr, literal, **FP64)


def test_without_dense_channels_there_is_one_convolution_a_layer():
    def convolutions(channels):
        network = MaskedDense(split_channels(tiny_smsr(), [channels, channels]))
        return len(
            [conv for conv in network.net.blocks[0].convs.modules() if hasattr(conv, "bias")]
        )

    assert convolutions([[], [], []]) == 3
    assert convolutions([[0, 1], [], [5]]) == 3  # a dense output needs a dense input to differ
    assert convolutions([[0, 1], [3], [5]]) == 5


def test_the_original_is_left_as_it_is_and_the_copy_is_frozen():
    net = tiny_smsr().train()
    before = copy.deepcopy(net.state_dict())
    network = MaskedDense(net)
    assert net.training
    assert not network.net.training
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)
    assert not any(parameter.requires_grad for parameter in network.parameters())


@pytest.mark.parametrize("build", [lambda net: net, lambda net: MaskedDense(net)])
def test_a_trace_holds_for_other_sizes(build):
    network = build(tiny_smsr())
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing is deprecated, and still what some hosts do
        traced = torch.jit.trace(network, torch.rand(1, 3, 6, 8, dtype=torch.float64))
    for shape in ((2, 3, 7, 5), (1, 3, 1, 1)):
        x = torch.rand(shape, dtype=torch.float64)
        torch.testing.assert_close(traced(x), network(x))
