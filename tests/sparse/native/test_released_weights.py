"""The released x2 weights on Set5, on the native kernels and in float64."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

import smsr_plugin
from smsr_plugin import to_sparse

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

pytestmark = [pytest.mark.reference, pytest.mark.slow]

#: Of the output range, given the same masks: Winograd's rounding through 20 layers.
MAX_ERROR = 2e-4
#: Of the mean PSNR on Y, masks predicted by the network itself, in dB.
PSNR_CHANGE = {"fp32": 0.002, "bf16": 0.01}


def read(path):
    """Return an image as (3, H, W) in 0…1."""
    with Image.open(path) as image:
        return torch.from_numpy(np.array(image.convert("RGB"))).permute(2, 0, 1) / 255


def luma(image):
    """Return Y of BT.601 in 0…255 from a (3, H, W) image in 0…1, rounded as files are."""
    rgb = (image.double().clamp(0, 1) * 255).round() / 255
    return 16 + torch.einsum("c,chw->hw", torch.tensor([65.481, 128.553, 24.966]).double(), rgb)


def psnr(sr, gt, border=2):
    inside = (..., slice(border, -border), slice(border, -border))
    return -10 * torch.log10(((luma(sr) - luma(gt))[inside] / 255).square().mean()).item()


@pytest.fixture(scope="module")
def net(test_data):
    return smsr_plugin.load(test_data / "weights/smsr_x2_official.pt").eval()


@pytest.fixture(scope="module")
def set5(test_data):
    """Return pairs of lq, (1, 3, H, W), and gt."""
    folder = test_data / "data/Set5"
    names = sorted(path.stem for path in (folder / "HR").glob("*.png"))
    assert len(names) == 5
    return [
        (read(folder / f"LR_bicubic/X2/{name}x2.png")[None], read(folder / f"HR/{name}.png"))
        for name in names
    ]


@pytest.fixture(scope="module")
def oracle(net, set5):
    """Return the outputs and the masks, (1, K, H, W), in float64."""
    reference = to_sparse(net, "fp64", backend="reference")
    results = [reference(lq.double(), return_stats=True) for lq, _ in set5]
    return [(sr, stats.spa_mask) for sr, stats in results]


def test_fp32_with_the_same_masks(net, set5, oracle):
    sparse = to_sparse(net, backend="native")
    errors = [
        (sparse(lq, spa_mask=masks) - sr).abs().max().item()
        for (lq, _), (sr, masks) in zip(set5, oracle, strict=True)
    ]
    assert max(errors) < MAX_ERROR, errors


@pytest.mark.parametrize("precision", PSNR_CHANGE)
def test_psnr_on_y(net, set5, oracle, precision):
    if precision == "bf16" and not kernels.has_half():
        pytest.skip("this processor has no bfloat16 kernels")
    sparse = to_sparse(net, precision, backend="native")
    expected = [psnr(sr[0], gt) for (sr, _), (_, gt) in zip(oracle, set5, strict=True)]
    assert np.mean(expected) == pytest.approx(37.991, abs=0.002)  # as BasicSR measures it
    found = [psnr(sparse(lq)[0], gt) for lq, gt in set5]
    assert np.mean(found) == pytest.approx(np.mean(expected), abs=PSNR_CHANGE[precision]), found
