from __future__ import annotations

import importlib.util

import numpy as np
import pytest
import torch
from networks import split_channels, tiny_smsr

from smsr_plugin.report.lq_images import LqImage
from smsr_plugin.report.measurements import Measurements, Subject, measure


@pytest.fixture(scope="session")
def net():
    """Return a small network with dense and sparse channels, and masks of many densities."""
    net = split_channels(tiny_smsr(num_feat=16), [[[0, 1], [], [5]], [[3], [], []]]).float()
    with torch.no_grad():
        for block in net.blocks:
            block.spa_mask.deconv.weight *= 20  # so that logits reach the thresholds of the curve
            block.spa_mask.deconv.bias.zero_()
    return net


@pytest.fixture(scope="session")
def subject(net) -> Subject:
    return Subject(net)


@pytest.fixture(scope="session")
def image() -> LqImage:
    """Return a picture with flat and with detailed regions, and its ground truth."""
    rng = np.random.default_rng(0)
    gt = np.full((40, 56, 3), 90, np.uint8)
    gt[8:32, 20:50] = rng.integers(0, 256, (24, 30, 3))
    return LqImage("photo.png", np.ascontiguousarray(gt[::2, ::2]), gt, (20, 28))


@pytest.fixture(scope="session")
def measurements(subject, image) -> Measurements:
    return measure(subject, image, runs=1)


@pytest.fixture(scope="session")
def has_kernels() -> bool:
    """Tell whether the native kernels were built."""
    return importlib.util.find_spec("smsr_plugin._kernels") is not None
