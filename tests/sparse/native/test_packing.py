"""Rounding to bfloat16, against PyTorch's."""

from __future__ import annotations

import numpy as np
import torch

from smsr_plugin.sparse.native import packing


def test_every_kind_of_number_is_rounded_as_torch_does():
    rng = np.random.default_rng(0)
    bits = rng.integers(0, 2**32, 100_000, dtype=np.uint32)
    halves = (rng.integers(0, 2**16, 1000, dtype=np.uint32) << 16) + 0x8000  # half way between two
    special = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3.4e38, -3.4e38, 1e-45], np.float32)
    values = np.concatenate([bits.view(np.float32), halves.view(np.float32), special])
    expected = torch.from_numpy(values).bfloat16()
    found = torch.from_numpy(packing.widened(packing.half(values)))
    assert torch.equal(found.isnan(), expected.isnan())
    finite = ~expected.isnan()
    assert torch.equal(found[finite], expected[finite].float())
    assert torch.equal(found[finite].signbit(), expected[finite].signbit())


def test_packed_weights_begin_with_a_cache_line():
    for shape in [(3, 5), (17, 33), (64, 64)]:
        for packed in (packing.product(np.ones(shape)), packing.half(np.ones(shape))):
            assert packed.ctypes.data % 64 == 0
