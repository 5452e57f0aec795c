"""Rules with which thop and fvcore count a converted network, which they do not see into.

    thop.profile(sparse, (x,), custom_ops={type(sparse): count_for_thop})
    FlopCountAnalysis(sparse, x).set_op_handle("smsr_plugin::sparse_network", for_fvcore(sparse, x))

Both count the multiply-adds that the masks of this very image keep. torch's `FlopCounterMode` needs
no rule: the operator brings its formula.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, nn

OPERATOR = "smsr_plugin::sparse_network"


def count_for_thop(module: Any, inputs: Sequence[Tensor], output: object) -> None:
    """Add a module's multiply-adds for its inputs; a rule of `thop.profile`'s `custom_ops`."""
    module.total_ops += _macs(module, inputs)


def for_fvcore(net: nn.Module, x: Tensor) -> Callable[..., Counter[str]]:
    """Return the handle of `OPERATOR` for one image; fvcore does not know values in its graph."""
    macs = _macs(net, (x,))
    return lambda inputs, outputs: Counter({"sparse_network": macs})


def _macs(module: nn.Module, inputs: Sequence[Tensor]) -> int:
    from torch.utils.flop_counter import FlopCounterMode

    # Not by calling the module: the counters' hooks would begin anew.
    with FlopCounterMode(display=False) as operations, torch.no_grad():
        module.forward(*inputs)
    return operations.get_total_flops() // 2
