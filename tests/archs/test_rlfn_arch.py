from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
import torch
from commands import flops as count_flops
from commands import run_test, train
from hypothesis import given, settings
from hypothesis import strategies as st
from literal import CLOSE, Literal, leaky, pixel_shuffle, resize_bilinear, seeded, sigmoid
from numpy.lib.stride_tricks import sliding_window_view
from option_files import train_options, write_options, write_pairs

from smsr_plugin.archs.rlfn_arch import ESA, MIN_SIDE, RLFN
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.registration import build_architecture

TEST_FILE = Path(__file__).parents[2] / "smsr_plugin/training/options/templates/test_x2.yml"
#: (published weights, features, upscale, parameters)
PUBLISHED = [
    ("rlfn_x2.pth", 52, 2, 526_856),
    ("rlfn_x4.pth", 52, 4, 543_740),
    ("rlfn_s_x2.pth", 48, 2, 454_620),
]


class LiteralRLFN(Literal):
    def esa(self, name: str, x: np.ndarray) -> np.ndarray:
        reduced = self.conv(f"{name}conv1", x)
        strided = self.conv(f"{name}conv2", reduced, stride=2)
        pooled = sliding_window_view(strided, (7, 7), (2, 3))[:, :, ::3, ::3].max((-2, -1))
        coarse = self.conv(f"{name}conv3", pooled, padding=1)
        coarse = resize_bilinear(coarse, x.shape[2:])
        logits = self.conv(f"{name}conv4", coarse + self.conv(f"{name}conv_f", reduced))
        return x * sigmoid(logits)

    def network(self, x: np.ndarray, img_range: float, upscale: int) -> np.ndarray:
        head = feature = self.conv("conv_1", x * img_range, padding=1)
        for block in (f"block_{k}" for k in (1, 2, 3, 4, 5, 6)):
            value = feature
            for layer in ("c1_r", "c2_r", "c3_r"):
                value = self.conv(f"{block}.{layer}", value, padding=1)
                value = leaky(value, 0.05)
            feature = self.esa(f"{block}.esa.", self.conv(f"{block}.c5", feature + value))
        feature = self.conv("conv_2", feature, padding=1) + head
        return pixel_shuffle(self.conv("upsampler.0", feature, padding=1) / img_range, upscale)


@given(height=st.integers(15, 50), width=st.integers(15, 50), seed=st.integers(0, 99))
@settings(max_examples=20)
def test_esa_equals_its_formula(height, width, seed):
    esa = seeded(lambda: ESA(5), seed)
    x = torch.randn(2, 5, height, width, dtype=torch.float64)
    expected = torch.from_numpy(LiteralRLFN(esa).esa("", x.numpy()))
    torch.testing.assert_close(esa(x).detach(), expected, **CLOSE)


@pytest.mark.parametrize(
    ("size", "upscale", "img_range"),
    [((15, 15), 2, 1), ((15, 31), 4, 255), ((23, 16), 3, 255.0), ((40, 27), 1, 0.5)],
)
def test_network_equals_its_formula(size, upscale, img_range):
    net = seeded(lambda: RLFN(num_feat=4, upscale=upscale, img_range=img_range))
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    sr = net(x).detach()
    assert sr.shape == (2, 3, size[0] * upscale, size[1] * upscale)
    expected = torch.from_numpy(LiteralRLFN(net).network(x.numpy(), img_range, upscale))
    torch.testing.assert_close(sr, expected, **CLOSE)


def test_channels_in_and_out_may_differ():
    net = RLFN(num_in_ch=1, num_out_ch=4, num_feat=4, upscale=2)
    assert net(torch.rand(1, 1, 17, 15)).shape == (1, 4, 34, 30)


def test_every_parameter_learns():
    net = seeded(lambda: RLFN(num_feat=4))
    net(torch.rand(1, 3, 24, 24, dtype=torch.float64)).square().sum().backward()
    idle = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.any()]
    assert idle == []


def test_smallest_size_is_fifteen():
    assert MIN_SIDE == 15


@pytest.mark.parametrize("shape", [(1, 3, 14, 30), (1, 3, 30, 14), (1, 3, 0, 20)])
def test_smaller_images_are_refused_with_the_smallest_size(shape):
    with pytest.raises(ValueError, match=r"H and W from 15.*pad smaller images"):
        RLFN(num_feat=4)(torch.zeros(shape))


@pytest.mark.parametrize("shape", [(3, 20, 20), (1, 1, 20, 20), (20, 20)])
def test_wrong_input_says_what_is_expected(shape):
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        RLFN(num_feat=4)(torch.zeros(shape))


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"num_feat": 0}, "num_feat must be a whole number from 1, got 0"),
        ({"upscale": 2.0}, "upscale must be a whole number from 1, got 2.0"),
        ({"num_in_ch": True}, "num_in_ch must be a whole number from 1, got True"),
        ({"img_range": 0}, "img_range must be above 0, got 0"),
        ({"img_range": float("nan")}, "img_range must be above 0, got nan"),
    ],
)
def test_wrong_options_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        RLFN(**options)


@pytest.mark.parametrize(("_weights", "num_feat", "upscale", "params"), PUBLISHED)
def test_parameter_counts_are_the_published_weights(_weights, num_feat, upscale, params):
    net = RLFN(num_feat=num_feat, upscale=upscale)
    assert sum(p.numel() for p in net.parameters()) == params


@pytest.mark.parametrize(("name", "num_feat"), [("RLFN", 52), ("RLFN-S", 48)])
def test_standard_sizes_and_their_cost(name, num_feat, capsys):
    assert build_architecture(name).net.conv_1.out_channels == num_feat
    assert count_flops([name, "--upscale", "2"]) == 0
    printed = capsys.readouterr().out
    # 640×360 lq pixels; the attention's conv2 sees 319×179 of them and its conv3 105×58.
    n, a = num_feat, 16
    block = 3 * 9 * n * n + n * n + n * a + a * a + a * n
    full = (9 * 3 * n + 6 * block + 9 * n * n + 9 * n * 12) * 640 * 360
    coarse = 6 * 9 * a * a * (319 * 179 + 105 * 58)
    assert printed.splitlines()[0] == f"{name} x2, output 1280×720, lq 640×360"
    assert printed.endswith(f" {(full + coarse) / 1e9:.2f} G\n")


def test_basicsr_trains_it(tmp_path):
    pairs = write_pairs(tmp_path / "pairs", 4, lq_size=16)
    network = {"type": "RLFN", "num_feat": 4, "upscale": 2}
    changes = {"network_g": network, "train:total_iter": 5, "datasets:train:gt_size": 32}
    options = write_options(tmp_path / "train.yml", train_options(pairs, changes))
    assert train(["-opt", str(options), "--root", str(tmp_path)]) == 0
    saved = tmp_path / "experiments/tiny/models/net_g_5.pth"
    state = torch.load(saved, weights_only=True)["params"]
    assert all(tensor.isfinite().all() for tensor in state.values())
    RLFN(num_feat=4, upscale=2).load_state_dict(state)


@pytest.mark.reference
@pytest.mark.parametrize(("weights", "num_feat", "upscale", "_params"), PUBLISHED)
def test_published_weights_load_strictly(test_data, weights, num_feat, upscale, _params):
    state = torch.load(test_data / "weights" / weights, map_location="cpu", weights_only=True)
    net = RLFN(num_feat=num_feat, upscale=upscale)
    net.load_state_dict(state, strict=True)
    assert all(torch.equal(tensor, state[name]) for name, tensor in net.state_dict().items())


@pytest.mark.reference
@pytest.mark.slow
@pytest.mark.parametrize(
    ("weights", "num_feat", "psnr"), [("rlfn_x2.pth", 52, 38.066), ("rlfn_s_x2.pth", 48, 38.047)]
)
def test_set5(test_data, tmp_path, weights, num_feat, psnr):
    opt = read_option_file(TEST_FILE)
    dataset = opt["datasets"]["test_1"]
    for role in ("dataroot_gt", "dataroot_lq"):
        dataset[role] = dataset[role].replace("datasets", str(test_data / "data"))
    opt.update(model_type="SRModel", num_gpu=0, datasets={"test_1": dataset})
    opt["network_g"] = {"type": "RLFN", "num_feat": num_feat, "upscale": 2, "img_range": 255}
    opt["path"].update(pretrain_network_g=str(test_data / "weights" / weights), param_key_g=None)
    opt["val"].update(save_img=False, pbar=False, converter=None)
    options = write_options(tmp_path / "set5.yml", opt)
    assert run_test(["-opt", str(options), "--root", str(tmp_path)]) == 0
    (log,) = (tmp_path / "results" / opt["name"]).glob("*.log")
    (measured,) = re.findall(r"# psnr: ([\d.]+)", log.read_text())
    assert float(measured) == pytest.approx(psnr, abs=0.001)
