"""Which arithmetic the native kernels use for the dtype of a network's weights."""

from __future__ import annotations

from types import ModuleType
from typing import Any

import torch

from smsr_plugin.sparse.native import bfloat16, float32, mixed

#: The dtypes that there is an arithmetic for.
DTYPES = (torch.float32, torch.bfloat16)


def arithmetic_for(dtype: torch.dtype, kernels: Any) -> ModuleType:
    """Return the fastest for one of `DTYPES` on this processor.

    Matrix tiles (AMX) multiply bfloat16 so fast that Winograd's transforms would take longer than
    what they save; dot products of pairs do not.
    """
    if dtype == torch.float32:
        return float32
    return bfloat16 if kernels.isa() == "amx" else mixed
