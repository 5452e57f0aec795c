from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from networks import split_channels, tiny_smsr

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.smsr_arch import SMSR

#: Relative to values of about 1; float64 sums in another order.
FP64 = {"rtol": 1e-10, "atol": 1e-10}
#: 8 bits of a residual that is about as large as the image.
BF16 = {"rtol": 0, "atol": 0.03}


def dense_formula(net: SMSR, x: torch.Tensor) -> torch.Tensor:
    """Evaluate the network without any mask, from its state dict."""
    state = net.state_dict()

    def conv(name, value):
        weight = state[f"{name}.weight"]
        return F.conv2d(value, weight, state.get(f"{name}.bias"), padding=weight.shape[-1] // 2)

    x0 = (x - state["rgb_mean"]) * state["img_range"]
    head = conv("head.2", conv("head.0", x0).relu())
    value, outputs = head, []
    for k in range(net.config.num_block):
        layers, feature = [], value
        for layer in range(net.config.num_layer):
            feature = conv(f"blocks.{k}.convs.{layer}", feature).relu()
            layers.append(feature)
        fused = conv(f"blocks.{k}.fuse", torch.cat(layers, 1))
        squeezed = conv(f"blocks.{k}.attention.squeeze", fused.mean((2, 3), True)).relu()
        value = value + fused * conv(f"blocks.{k}.attention.excite", squeezed).sigmoid()
        outputs.append(value)
    collected = conv("collect.2", conv("collect.0", torch.cat(outputs, 1)).relu()) + head
    residual = F.pixel_shuffle(conv("tail.0", collected), net.config.upscale)
    base = F.interpolate(x0, scale_factor=net.config.upscale, mode="bicubic")
    return (residual + base) / state["img_range"] + state["rgb_mean"]


@pytest.mark.parametrize("upscale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (1, 5), (7, 4), (8, 6)])
def test_equals_the_formula_and_the_network_with_all_pixels_important(upscale, size):
    net = tiny_smsr(upscale=upscale, img_range=255.0)
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    sr = DenseTwin(net)(x)
    torch.testing.assert_close(sr, dense_formula(net, x), **FP64)
    ones = torch.ones(2, 2, *size, dtype=torch.float64)
    torch.testing.assert_close(sr, net(x, spa_mask=ones), **FP64)


@pytest.mark.parametrize("channels", [[], [0, 1, 2, 3, 4, 5]], ids=["all sparse", "all dense"])
def test_does_not_depend_on_channel_masks(channels):
    net = split_channels(tiny_smsr(), [[channels] * 3] * 2)
    x = torch.rand(1, 3, 5, 7, dtype=torch.float64)
    ones = torch.ones(1, 2, 5, 7, dtype=torch.float64)
    torch.testing.assert_close(DenseTwin(net)(x), net(x, spa_mask=ones), **FP64)


@pytest.mark.parametrize("upscale", [2, 3, 4])
def test_its_5x5_convolution_is_the_bicubic_upsample(upscale):
    twin = DenseTwin(tiny_smsr(upscale=upscale))
    x = torch.rand(1, 3, 6, 5, dtype=torch.float64)
    base = twin.shuffle(twin.base(F.pad(x, [2] * 4, mode="replicate")))
    torch.testing.assert_close(base, F.interpolate(x, scale_factor=upscale, mode="bicubic"), **FP64)


def test_a_body_in_bf16_takes_and_returns_float32():
    net = tiny_smsr(num_feat=16)
    twin = DenseTwin(net).float()
    twin.body.to(torch.bfloat16)
    x = torch.rand(1, 3, 6, 8)
    sr = twin(x)
    assert sr.dtype == torch.float32
    torch.testing.assert_close(sr, dense_formula(net.float(), x), **BF16)


def test_the_network_is_left_as_it_is_and_the_twin_is_frozen():
    net = tiny_smsr(img_range=255.0)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    twin = DenseTwin(net)
    assert all(torch.equal(value, before[key]) for key, value in net.state_dict().items())
    assert not any(parameter.requires_grad for parameter in twin.parameters())
    assert not twin.training
