"""How weights are rounded and packed."""

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


class Watched(np.ndarray):
    """An array that no matrix product may be made of."""

    def __array_ufunc__(self, ufunc, method, *inputs, out=(), **options):
        assert ufunc is not np.matmul
        plain = [x.view(np.ndarray) if isinstance(x, Watched) else x for x in inputs]
        if out:
            options["out"] = tuple(x.view(np.ndarray) for x in out)
        return np.asarray(getattr(ufunc, method)(*plain, **options)).view(Watched)


def test_winograds_transform_is_its_formula_and_waits_for_no_threads():
    kernel = np.random.default_rng(0).normal(size=(32, 16, 3, 3))
    packed = packing.winograd(kernel.view(Watched))
    g = packing.WINOGRAD_G
    expected = np.empty((36, 32, 16))
    for n, k in np.ndindex(32, 16):
        expected[:, n, k] = (g @ kernel[n, k] @ g.T).ravel()
    found = packed.transpose(0, 1, 3, 2).reshape(36, 32, 16)
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)
