"""The networks to compare with against formulas, published sizes and published weights."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest
import torch
from literal import (
    CLOSE,
    Literal,
    leaky,
    pixel_shuffle,
    resize_bilinear,
    resize_nearest,
    seeded,
    sigmoid,
)

from smsr_plugin.archs.carn_arch import CARN
from smsr_plugin.archs.imdn_arch import IMDN
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.span_arch import SPAN
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import load_weights
from smsr_plugin.complexity.counter import lq_size, profile
from smsr_plugin.training.registration import build_architecture

PUBLISHED = [
    ("imdn_x2.pth", IMDN, 2),
    ("imdn_x4.pth", IMDN, 4),
    ("pan_x2.pth", PAN, 2),
    ("pan_x3.pth", PAN, 3),
    ("pan_x4.pth", PAN, 4),
]


class LiteralIMDN(Literal):
    def attention(self, name: str, x: np.ndarray) -> np.ndarray:
        contrast = (x.std((2, 3)) + x.mean((2, 3)))[:, :, None, None]
        hidden = leaky(self.conv(f"{name}.conv_du.0", contrast), 0)
        return x * sigmoid(self.conv(f"{name}.conv_du.2", hidden))

    def block(self, name: str, x: np.ndarray, kept: int) -> np.ndarray:
        feature, parts = x, []
        for layer in ("c1", "c2", "c3"):
            refined = leaky(self.conv3(f"{name}.{layer}", feature), 0.05)
            parts.append(refined[:, :kept])
            feature = refined[:, kept:]
        parts.append(self.conv3(f"{name}.c4", feature))
        return x + self.conv(f"{name}.c5", self.attention(f"{name}.cca", np.concatenate(parts, 1)))

    def __call__(self, x: np.ndarray, num_feat: int, num_block: int, upscale: int) -> np.ndarray:
        head = feature = self.conv3("fea_conv", x)
        outputs = []
        for number in range(num_block):
            feature = self.block(f"IMDB{number + 1}", feature, num_feat // 4)
            outputs.append(feature)
        collected = leaky(self.conv("c.0", np.concatenate(outputs, 1)), 0.05)
        feature = self.conv3("LR_conv", collected) + head
        return pixel_shuffle(self.conv3("upsampler.0", feature), upscale)


class LiteralPAN(Literal):
    def block(self, name: str, x: np.ndarray) -> np.ndarray:
        a = leaky(self.conv(f"{name}.conv1_a", x), 0.2)
        b = leaky(self.conv(f"{name}.conv1_b", x), 0.2)
        a = leaky(self.conv3(f"{name}.k1.0", a), 0.2)
        gate = sigmoid(self.conv(f"{name}.PAConv.k2", b))
        b = leaky(self.conv3(f"{name}.PAConv.k4", self.conv3(f"{name}.PAConv.k3", b) * gate), 0.2)
        return x + self.conv(f"{name}.conv3", np.concatenate([a, b], 1))

    def __call__(self, x: np.ndarray, num_block: int, upscale: int) -> np.ndarray:
        head = feature = self.conv3("conv_first", x)
        for number in range(num_block):
            feature = self.block(f"SCPA_trunk.{number}", feature)
        feature = self.conv3("trunk_conv", feature) + head
        for number, factor in enumerate({2: [2], 3: [3], 4: [2, 2]}[upscale], 1):
            feature = self.conv3(f"upconv{number}", resize_nearest(feature, factor))
            feature = feature * sigmoid(self.conv(f"att{number}.conv", feature))
            feature = leaky(self.conv3(f"HRconv{number}", leaky(feature, 0.2)), 0.2)
        height, width = x.shape[2:]
        base = resize_bilinear(x, (height * upscale, width * upscale))
        return self.conv3("conv_last", feature) + base


class LiteralCARN(Literal):
    def residual_block(self, name: str, x: np.ndarray) -> np.ndarray:
        hidden = leaky(self.conv3(f"{name}.conv1", x), 0)
        return leaky(x + self.conv3(f"{name}.conv2", hidden), 0)

    def cascade(self, name: str, x: np.ndarray, block) -> np.ndarray:
        first = block(f"{name}.blocks.0", x)
        x1 = leaky(self.conv(f"{name}.fuses.0", np.concatenate([x, first], 1)), 0)
        second = block(f"{name}.blocks.1", x1)
        x2 = leaky(self.conv(f"{name}.fuses.1", np.concatenate([x, first, second], 1)), 0)
        third = block(f"{name}.blocks.2", x2)
        every = np.concatenate([x, first, second, third], 1)
        return leaky(self.conv(f"{name}.fuses.2", every), 0)

    def __call__(self, x: np.ndarray, upscale: int) -> np.ndarray:
        inner = partial(self.cascade, block=self.residual_block)
        feature = self.cascade("cascade", self.conv3("entry", x), inner)
        for layer, factor in {2: [(0, 2)], 3: [(0, 3)], 4: [(0, 2), (3, 2)]}[upscale]:
            feature = leaky(self.conv3(f"upsampler.{layer}", feature), 0)
            feature = pixel_shuffle(feature, factor)
        return self.conv3("exit", feature)


class LiteralSPAN(Literal):
    def block(self, name: str, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first = self.conv3(f"{name}.c1_r.eval_conv", x)
        first = first * sigmoid(first)
        second = self.conv3(f"{name}.c2_r.eval_conv", first)
        last = self.conv3(f"{name}.c3_r.eval_conv", second * sigmoid(second))
        return (x + last) * (sigmoid(last) - 0.5), first

    def __call__(self, x: np.ndarray, upscale: int) -> np.ndarray:
        mean = np.array([0.4488, 0.4371, 0.4040], np.float32).reshape(1, 3, 1, 1)
        outputs = [self.conv3("conv_1.eval_conv", 255 * (x - mean))]
        for number in range(6):
            feature, first = self.block(f"block_{number + 1}", outputs[-1])
            outputs.append(feature)
        last = self.conv3("conv_2.eval_conv", outputs[6])
        collected = self.conv("conv_cat", np.concatenate([outputs[0], last, outputs[1], first], 1))
        return pixel_shuffle(self.conv3("upsampler.0", collected), upscale)


@pytest.mark.parametrize("size", [(1, 1), (5, 8), (7, 3)])
@pytest.mark.parametrize("upscale", [2, 3, 4])
class TestFormula:
    def check(self, net: torch.nn.Module, literal, size, upscale):
        x = torch.rand(2, 3, *size, dtype=torch.float64)
        sr = net(x).detach()
        assert sr.shape == (2, 3, size[0] * upscale, size[1] * upscale)
        torch.testing.assert_close(sr, torch.from_numpy(literal(x.numpy())), **CLOSE)

    def test_imdn(self, size, upscale):
        net = seeded(lambda: IMDN(num_feat=16, num_block=2, upscale=upscale))
        # A channel of a 1×1 image has no deviation, whose root is held at 1e-6.
        literal = partial(LiteralIMDN(net), num_feat=16, num_block=2, upscale=upscale)
        if size == (1, 1):
            x = torch.rand(1, 3, 1, 1, dtype=torch.float64)
            expected = torch.from_numpy(literal(x.numpy()))
            torch.testing.assert_close(net(x).detach(), expected, rtol=0, atol=1e-6)
        else:
            self.check(net, literal, size, upscale)

    def test_pan(self, size, upscale):
        net = seeded(lambda: PAN(num_feat=6, num_up_feat=4, num_block=2, upscale=upscale))
        self.check(net, partial(LiteralPAN(net), num_block=2, upscale=upscale), size, upscale)

    def test_carn(self, size, upscale):
        net = seeded(lambda: CARN(num_feat=4, upscale=upscale))
        self.check(net, partial(LiteralCARN(net), upscale=upscale), size, upscale)

    def test_span(self, size, upscale):
        net = seeded(lambda: SPAN(num_feat=4, upscale=upscale))
        self.check(net, partial(LiteralSPAN(net), upscale=upscale), size, upscale)


@pytest.mark.parametrize(
    ("name", "upscale", "params", "macs"),
    [
        ("IMDN", 2, 694e3, 158.8e9),
        ("IMDN", 3, 703e3, 71.5e9),
        ("IMDN", 4, 715e3, 40.9e9),
        ("PAN", 2, 261e3, 70.5e9),
        ("PAN", 3, 261e3, 39.0e9),
        ("PAN", 4, 272e3, 28.2e9),
        ("CARN", 2, 964e3, 222.8e9),
        ("CARN", 3, 1149e3, 118.8e9),
        ("CARN", 4, 1112e3, 90.9e9),
    ],
)
def test_standard_sizes_and_costs_are_the_published_ones(name, upscale, params, macs):
    net = build_architecture(name, upscale=upscale).net
    found = profile(net, lq_size((720, 1280), upscale))
    assert found.params == pytest.approx(params, abs=500)
    # Published for lq sides rounded down at x3; ours are rounded up.
    assert found.macs == pytest.approx(macs, rel=0.004 if upscale == 3 else 0.002)


def test_published_carn_has_the_upsamplers_of_three_scales():
    nets = [CARN(upscale=scale) for scale in (2, 3, 4)]
    trunk = sum(p.numel() for n, p in nets[0].named_parameters() if not n.startswith("upsampler"))
    upsamplers = sum(p.numel() for net in nets for p in net.upsampler.parameters())
    assert trunk + upsamplers == pytest.approx(1592e3, abs=500)


@pytest.mark.parametrize("upscale", [2, 4])
def test_span_loads_what_published_files_hold_and_gives_the_same(upscale, tmp_path):
    """The convolutions of such files are those that they were trained with; spandrel runs them."""
    spandrel = pytest.importorskip("spandrel")
    torch.manual_seed(0)
    published = spandrel.architectures.SPAN.SPAN(
        num_in_ch=3, num_out_ch=3, feature_channels=8, upscale=upscale
    ).eval()
    x = torch.rand(1, 3, 9, 7)
    expected = published(x).detach()
    torch.save({"params": published.state_dict()}, tmp_path / "span.pth")
    net = build_architecture("SPAN", {"num_feat": 8}, upscale).net.eval()
    load_weights(net, tmp_path / "span.pth")
    torch.testing.assert_close(net(x).detach(), expected, rtol=1e-3, atol=1e-3)
    resumed = SPAN(num_feat=8, upscale=upscale).eval()
    resumed.load_state_dict(published.state_dict())
    assert torch.equal(resumed(x), net(x))
    saved = {k: v for k, v in published.state_dict().items() if ".sk." not in k}
    torch.save({"params": saved}, tmp_path / "part.pth")
    with pytest.raises(CheckpointError, match=r"part.pth: does not fit SPAN \(.* unexpected"):
        load_weights(SPAN(num_feat=8, upscale=upscale), tmp_path / "part.pth")


def test_the_attention_of_span_has_no_weights():
    net = build_architecture("SPAN", upscale=4).net
    convolutions = 3 * 6 + 1  # in the blocks, and after them
    params = convolutions * (48 * 48 * 9 + 48) + (3 * 48 * 9 + 48) + (4 * 48 * 48 + 48)
    params += 48 * 48 * 9 + 48  # to the pixel shuffle: 3·4² = 48
    found = profile(net, (256, 256))
    assert found.params == params == 426_288
    without_bias = params - (convolutions + 3) * 48
    assert found.macs == pytest.approx(without_bias * 256 * 256)


@pytest.mark.parametrize(
    "build",
    [
        partial(IMDN, num_feat=64, num_block=2),
        partial(PAN, num_feat=4, num_up_feat=4, num_block=2),
        partial(CARN, num_feat=4),
        partial(SPAN, num_feat=4),
    ],
)
def test_every_parameter_learns_also_beside_an_image_without_contrast(build):
    net = seeded(build).train()
    for size in ((9, 8), (1, 1)):
        net(torch.rand(2, 3, *size, dtype=torch.float64)).square().sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("network", [IMDN, PAN, CARN, SPAN])
@pytest.mark.parametrize("shape", [(3, 20, 20), (1, 1, 20, 20), (1, 3, 0, 20)])
def test_wrong_input_says_what_is_expected(network, shape):
    with pytest.raises(ValueError, match=rf"{network.__name__} takes .*\(B, 3, H, W\)"):
        network(num_feat=4)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("network", "options", "message"),
    [
        (IMDN, {"num_feat": 6}, "IMDN: num_feat must be a multiple of 4, got 6"),
        (IMDN, {"num_block": 0}, "IMDN: num_block must be a whole number from 1, got 0"),
        (PAN, {"num_feat": 5}, "PAN: num_feat must be even, got 5"),
        (PAN, {"upscale": 8}, "PAN: upscale must be one of 1, 2, 3, 4, got 8"),
        (PAN, {"num_out_ch": 1}, "PAN: num_out_ch must be num_in_ch = 3, got 1"),
        (SPAN, {"upscale": 0}, "SPAN: upscale must be a whole number from 1, got 0"),
        (SPAN, {"num_in_ch": 1}, "rgb_mean: expected 1 values, got 3"),
        (CARN, {"upscale": 1}, "CARN: upscale must be one of 2, 3, 4, got 1"),
        (CARN, {"num_feat": "64"}, "CARN: num_feat must be a whole number from 1, got '64'"),
    ],
)
def test_wrong_options_are_refused(network, options, message):
    with pytest.raises(ValueError, match=message):
        network(**options)


@pytest.mark.reference
@pytest.mark.parametrize(("weights", "network", "upscale"), PUBLISHED)
def test_published_weights_load_strictly(test_data, weights, network, upscale):
    state = torch.load(test_data / "weights" / weights, map_location="cpu", weights_only=True)
    net = network(upscale=upscale)
    load_weights(net, test_data / "weights" / weights)
    own = net.state_dict()
    assert own.keys() == {name.removeprefix("module.") for name in state}
    assert all(torch.equal(v, own[name.removeprefix("module.")]) for name, v in state.items())


@pytest.mark.reference
def test_weights_of_another_scale_are_refused(test_data):
    with pytest.raises(CheckpointError, match=r"pan_x4.pth: does not fit PAN \(6 keys unexpected"):
        load_weights(PAN(upscale=2), test_data / "weights" / "pan_x4.pth")
