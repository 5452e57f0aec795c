"""Small networks for the native kernels, and how near their results must be."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from networks import tiny_smsr

from smsr_plugin import to_sparse

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: 8 bits, rounded once for each of about 20 layers, errors independent, values up to about 2.
HALF_PLANES = 2 * 20**0.5 * 2.0**-9
#: Winograd's transforms make more of its products' errors: random networks reach 1.1 times that.
HALF_PRODUCTS = 1.5 * HALF_PLANES
#: fp32: 24 bits, sums of a few thousand terms through as many layers of values of about 1.
CLOSE = {
    "fp32": {"rtol": 0, "atol": 1e-5},
    "bf16": {"rtol": 0, "atol": HALF_PLANES if kernels.isa() == "amx" else HALF_PRODUCTS},
}

PRECISIONS = [
    "fp32",
    pytest.param(
        "bf16",
        marks=pytest.mark.skipif(
            not kernels.has_half(), reason="this processor has no bfloat16 kernels"
        ),
    ),
]
per_precision = pytest.mark.parametrize("precision", PRECISIONS)

#: How the weights of the blocks are scaled, so that one pixel of a mask changes the output by
#: far more than the tolerances; in a fresh network blocks hardly matter.
LOUD = 4.0


def loud_smsr(seed=0, **options):
    """Return a small network whose output depends on each of its masks' pixels."""
    net = tiny_smsr(seed, **options)
    with torch.no_grad():
        for block in net.blocks:
            block.fuse.weight *= LOUD
            for conv in block.convs:
                conv.weight *= LOUD
    return net


def image(*size, batch=1, seed=0):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def random_masks(net, x, density=0.5, seed=0):
    shape = (x.shape[0], net.config.num_block, *x.shape[2:])
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).double()


def native(net, precision="fp32", **options):
    return to_sparse(net, precision, backend="native", **options)


#: The functions that take an instruction set.
COMPUTE = (
    *("tiles", "rows", "image", "compose"),
    *("strided", "maximum", "attend", "blend", "block", "details"),
)


class KernelsOf:
    """The kernels, held to one instruction set."""

    def __init__(self, held_to, **attributes):
        self.__dict__.update(attributes)
        self._isa = held_to

    def __getattr__(self, name):
        value = getattr(kernels, name)
        takes_isa = name in (*COMPUTE, "has_half", "has_bytes")
        return partial(value, isa=self._isa) if takes_isa else value
