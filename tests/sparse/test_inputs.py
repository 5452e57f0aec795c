"""Input that is not what was expected: an error that says what was."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from networks import tiny_smsr
from PIL import Image

from smsr_plugin import to_sparse
from smsr_plugin.archs.rlfn_arch import RLFN

PICTURE = Image.new("RGB", (6, 5), (200, 100, 50))


def networks():
    net = tiny_smsr().float()
    yield pytest.param(net, id="SMSR")
    yield pytest.param(to_sparse(net, backend="reference"), id="reference")
    yield pytest.param(to_sparse(net), id="auto")


per_network = pytest.mark.parametrize("net", list(networks()))
#: A network for comparison looks at kinds and shapes.
per_any_network = pytest.mark.parametrize(
    "net", [*networks(), pytest.param(RLFN(num_feat=4).eval(), id="RLFN")]
)


@per_any_network
@pytest.mark.parametrize(
    ("x", "came"),
    [
        (PICTURE, "PIL.Image.Image"),
        (np.zeros((1, 3, 5, 6), np.float32), "numpy.ndarray"),
        (None, "builtins.NoneType"),
        ([[0.5]], "builtins.list"),
    ],
)
def test_what_is_no_tensor(net, x, came):
    message = rf"takes a batch of shape \(B, 3, H, W\), a tensor .* 0…1, got {came}; torchvision's"
    with pytest.raises(TypeError, match=message):
        net(x)


@per_any_network
@pytest.mark.parametrize("dtype", [torch.uint8, torch.int64, torch.bool, torch.complex64])
def test_tensors_of_other_numbers(net, dtype):
    with pytest.raises(TypeError, match=rf"with values in 0…1, got {dtype}; .* x.float\(\) / 255"):
        net(torch.ones(1, 3, 5, 6).to(dtype))


@per_network
def test_a_tensor_of_0_to_255(net):
    x = torch.rand(1, 3, 5, 6)
    with pytest.raises(ValueError, match=r"takes values in 0…1, got values up to .*divide by 255"):
        net(x * 255)
    net(x * 1.3 - 0.1)  # as interpolation overshoots


@per_network
@pytest.mark.parametrize("shape", [(3, 5, 6), (1, 4, 5, 6), (1, 3, 0, 6), (0, 3, 5, 6), (5, 6)])
def test_other_shapes(net, shape):
    with pytest.raises(ValueError, match=r"shape \(B, 3, H, W\) with no empty side, got \("):
        net(torch.zeros(shape))


@per_network
def test_masks_of_another_shape(net):
    with pytest.raises(ValueError, match=r"spa_mask must have shape .* = \(1, 2, 5, 6\), got"):
        net(torch.zeros(1, 3, 5, 6), spa_mask=torch.zeros(1, 1, 5, 6))


def test_a_threshold_that_is_no_number():
    net, x = tiny_smsr().float(), torch.rand(1, 3, 5, 6)
    message = "threshold must be a number, from −inf .* to inf, got nan"
    with pytest.raises(ValueError, match=message):
        to_sparse(net, threshold=float("nan"))
    with pytest.raises(ValueError, match=message):
        net(x, threshold=float("nan"))
    sparse = to_sparse(net)
    with pytest.raises(ValueError, match=message):
        sparse.threshold = float("nan")
    sparse.threshold = float("-inf")
    assert sparse(x, return_stats=True)[1].kept == pytest.approx(1)


def test_the_traced_network_does_not_look_at_values():
    net = tiny_smsr().float()
    program = torch.export.export(net, (torch.rand(1, 3, 6, 8),))
    x = torch.rand(1, 3, 6, 8)
    torch.testing.assert_close(program.module()(x), net(x))
