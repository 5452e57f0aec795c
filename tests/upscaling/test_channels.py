"""A network of one channel enlarges luma; chroma is enlarged by bicubic."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from networks import tiny_smsr, upscaling_network
from PIL import Image

import smsr_plugin.training  # noqa: F401  BasicSR does not import without it
from smsr_plugin.cli.main import main
from smsr_plugin.upscaling.channels import joined, luma_and_chroma

# isort: split
from basicsr.utils import rgb2ycbcr


def luma_net(seed: int = 0):
    return tiny_smsr(seed, num_in_ch=1, num_out_ch=1, rgb_mean=(0.5,)).float()


def test_luma_is_that_of_basicsrs_data_sets():
    rgb = np.random.default_rng(0).random((6, 5, 3), np.float32)
    luma, chroma = luma_and_chroma(rgb.transpose(2, 0, 1))
    expected = rgb2ycbcr(rgb)
    np.testing.assert_allclose(luma[0], expected[..., 0], atol=2e-6)
    np.testing.assert_allclose(chroma, expected[..., 1:].transpose(2, 0, 1), atol=2e-6)


def test_what_is_split_is_joined_to_the_same():
    rgb = np.random.default_rng(0).random((3, 5, 7), np.float32)
    np.testing.assert_allclose(joined(*luma_and_chroma(rgb)), rgb, rtol=0, atol=2e-6)


@pytest.mark.parametrize("scale", [2, 3, 4])
@pytest.mark.parametrize("size", [(1, 1), (5, 7), (2, 30)])
def test_chroma_is_enlarged_as_pytorch_does(scale, size):
    chroma = np.random.default_rng(1).random((2, *size), np.float32)
    luma = np.zeros((1, size[0] * scale, size[1] * scale), np.float32)
    larger = F.interpolate(torch.from_numpy(chroma)[None], scale_factor=scale, mode="bicubic")
    _, found = luma_and_chroma(joined(luma, chroma))
    np.testing.assert_allclose(found, larger[0].numpy(), rtol=0, atol=2e-6)


def test_luma_of_the_result_is_the_networks():
    net, lq = luma_net(), np.random.default_rng(1).random((3, 9, 8), np.float32)
    sr = upscaling_network(net)(lq).sr
    assert sr.shape == (3, 18, 16)
    luma = torch.from_numpy(rgb2ycbcr(lq.transpose(1, 2, 0), y_only=True))[None, None]
    with torch.no_grad():
        expected = net.eval()(luma)[0, 0].numpy()
    found = luma_and_chroma(sr)[0][0]
    np.testing.assert_allclose(found, expected, atol=1e-5)


def test_a_grey_image_stays_grey():
    grey = np.random.default_rng(2).random((1, 8, 8), np.float32).repeat(3, 0)
    sr = upscaling_network(luma_net())(grey).sr
    assert np.ptp(sr, axis=0).max() < 1e-5


@pytest.mark.parametrize("mode", ["L", "RGB", "LA"])
def test_files_are_enlarged(tmp_path, mode):
    torch.save({"params": luma_net().state_dict()}, tmp_path / "w.pth")
    Image.new(mode, (8, 6)).save(tmp_path / "in.png")
    arguments = ["upscale", tmp_path / "in.png", "-o", tmp_path / "out.png", "--weights"]
    assert main([*map(str, arguments), str(tmp_path / "w.pth")]) == 0
    with Image.open(tmp_path / "out.png") as image:
        assert (image.mode, image.size) == (mode, (16, 12))
