from __future__ import annotations

import numpy as np
import pytest
import torch
from literal import CLOSE, seeded
from masked_networks import LiteralMaskedSRVGGNetCompact, tiny_masked_srvgg

from smsr_plugin.archs.masked_srvgg_arch import MaskedSRVGGNetCompact
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.training.registration import build_architecture


@pytest.mark.parametrize("size", [(16, 20), (15, 33), (1, 1)])
@pytest.mark.parametrize("options", [{}, {"num_narrow": 3, "upscale": 4}, {"num_layer": 3}])
def test_network_equals_its_formula(size, options):
    net = tiny_masked_srvgg(**options)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    out = net(x, return_masks=True)
    literal = LiteralMaskedSRVGGNetCompact(net)
    masks = literal.masks(x.numpy())
    np.testing.assert_array_equal(out.spa_mask.numpy(), masks)
    expected = literal.network(x.numpy(), masks, net.config.upscale)
    torch.testing.assert_close(out.sr.detach(), torch.from_numpy(expected), **CLOSE)


def dense_network(**options):
    """Return BasicSR's own."""
    sizes = {"num_feat": 5, "num_conv": 6}
    return build_architecture("SRVGGNetCompact", {**sizes, **options}, 3).net


@pytest.mark.parametrize("act_type", ["prelu", "leakyrelu", "relu"])
@pytest.mark.parametrize(("num_conv", "blocks"), [(8, 2), (6, 2), (2, 1)])
def test_with_all_tiles_it_is_the_dense_network(act_type, num_conv, blocks):
    dense = seeded(lambda: dense_network(act_type=act_type, num_conv=num_conv))
    before = {name: value.clone() for name, value in dense.state_dict().items()}
    net = MaskedSRVGGNetCompact.from_dense(dense, 2)
    assert (net.config.num_block, net.config.num_narrow) == (blocks, 2)
    x = torch.rand(2, 3, 17, 22, dtype=torch.float64)
    torch.testing.assert_close(net(x, threshold=-np.inf), dense(x), **CLOSE)
    assert all(torch.equal(dense.state_dict()[name], value) for name, value in before.items())
    with torch.no_grad():
        net.dense.body[0].weight.zero_()  # a copy
    assert torch.equal(dense.state_dict()["body.0.weight"], before["body.0.weight"])


def test_published_size_costs_what_was_counted():
    # Per lq pixel: 3 to 64 and 64 to 48 channels and the predictor at every pixel; 16 convolutions
    # and 4 joins of 64 channels at computed ones, 4 substitutes at the others.
    with torch.device("meta"):
        net = MaskedSRVGGNetCompact()
    cost, pixels = masked_cost(net.program()), 36 * 100
    fixed = 9 * 64 * (3 + 48) + 9 * 16 * 7 / 4 + 9 * 16 * (16 + 4) / 16
    for density in (0.0, 0.3, 1.0):
        expected = fixed + (16 * 9 + 4) * 64**2 * density + 4 * 64**2 * (1 - density)
        assert cost.macs([density] * 4, pixels) == pytest.approx(expected * pixels, rel=1e-12)


def test_every_parameter_learns():
    net = tiny_masked_srvgg(num_narrow=2).train()
    net(torch.rand(2, 3, 32, 32, dtype=torch.float64)).square().sum().backward()
    assert [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()] == []


def test_blocks_are_all_masked_layers_and_no_others():
    net = tiny_masked_srvgg()
    of_blocks = {id(p) for block in net.blocks() for p in block.parameters()}
    others = {name for name, p in net.dense.named_parameters() if id(p) not in of_blocks}
    ends = {"body.0.weight", "body.0.bias", "body.1.weight", "body.14.weight", "body.14.bias"}
    assert others == ends


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_conv": 5}, "num_layer must be from 2 and divide num_conv, got 2 for 5"),
        ({"num_out_ch": 1}, "num_out_ch must be num_in_ch"),
        ({"num_layer": 1}, "num_layer must be from 2"),
    ],
)
def test_what_fits_no_blocks_is_refused(options, message):
    with pytest.raises(ValueError, match=message):
        tiny_masked_srvgg(**options)


def test_so_is_a_dense_network():
    with pytest.raises(ValueError, match="divide num_conv, got 4 for 5"):
        MaskedSRVGGNetCompact.from_dense(dense_network(num_conv=5))
