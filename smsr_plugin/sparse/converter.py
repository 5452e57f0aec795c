"""From a trained network with masks to a network that infers sparsely."""

from __future__ import annotations

import copy

import torch
from torch import nn

from smsr_plugin.archs.masked import as_masked
from smsr_plugin.sparse.backend import check_threads
from smsr_plugin.sparse.network import SparseNetwork

#: And by them the dtypes of the weights as they are kept.
PRECISIONS = {
    "fp32": torch.float32,
    "fp64": torch.float64,
    "bf16": torch.bfloat16,
    "int8": torch.float32,
}
BACKENDS = ("auto", "native", "reference")


def to_sparse(
    net: nn.Module,
    precision: str = "fp32",
    threshold: float = 0.0,
    backend: str = "auto",
    density: float | None = None,
) -> SparseNetwork:
    """Convert a network with masks to sparse inference; `net` itself is left as it is.

    Every kernel is split into D→D, D→S, S→D and S→S by the hard channel masks, the
    mean shifts and the value range are folded into the first and last convolutions.

    Args:
        net: A `MaskedNetwork` such as `SMSR`, on any device, in any mode.
        precision: "fp32", "fp64" or "bf16": the dtype of weights and features; the native
            kernels sum up in float32. "int8": as "bf16", but that within a block features and
            weights are held in 8 bits; for networks that keep the peaks of their features, by
            native kernels with matrix tiles (AMX) alone. The bicubic upsample is computed in the
            dtype of the input, by the native kernels in float32.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this. 0 is what the
            network was trained for; above it fewer pixels are computed, below it more.
        backend: "native" runs on the native kernels, "reference" in plain PyTorch on any device;
            "auto" takes the native kernels wherever they can run.
        density: The share of pixels to compute, 0…1, in place of what the network was trained
            for; see `MaskedNetwork.set_density`. `threshold` counts from there.

    Returns:
        A frozen network in evaluation mode on the device of `net`.

    Raises:
        TypeError: If `net` has no masks.
        RuntimeError: In a forked process that asked for several threads.
        ValueError: If an option is unknown, the weights are not finite, a density is asked of a
            network that keeps no curves for it, or "int8" of one that does not run in it here.
    """
    masked = as_masked(net, "to_sparse converts")
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {sorted(PRECISIONS)}, got {precision!r}")
    if backend not in BACKENDS:
        raise ValueError(f"backend must be one of {list(BACKENDS)}, got {backend!r}")
    if precision == "int8" and backend == "reference":
        raise ValueError('precision="int8" is for the native kernels, got backend="reference"')
    check_threads()
    bad = [name for name, value in masked.state_dict().items() if not value.isfinite().all()]
    if bad:
        raise ValueError(f"cannot convert: {len(bad)} tensors are not finite, first {bad[0]}")
    # Folding is done in float64, so that it costs no accuracy whatever the precision.
    copied = copy.deepcopy(masked).double()
    if density is not None:
        copied.set_density(density)
    sparse = SparseNetwork(copied.program(), copied.config, precision, float(threshold), backend)
    sparse = sparse.to(PRECISIONS[precision]).to(memory_format=torch.channels_last)
    if precision == "int8" and (obstacle := sparse.obstacle):
        raise ValueError(f'precision="int8" cannot be used: {obstacle}')
    return sparse
