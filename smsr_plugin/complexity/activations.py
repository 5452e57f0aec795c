"""Activations: the values that a network's convolutions put out, as the NTIRE challenges count.

They predict the time of small networks better than multiply-adds do, because each value has to be
written and read again. Transposed convolutions count like others; all other layers do not count.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import nn
from torch.utils._python_dispatch import TorchDispatchMode

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.complexity.layers import deployed
from smsr_plugin.complexity.smsr_cost import SMSRCost

CONVOLUTION = torch.ops.aten.convolution.default


class _ConvolutionOutputs(TorchDispatchMode):
    """Adds up the sizes of what convolutions return, also those that no module stands for."""

    def __init__(self) -> None:
        super().__init__()
        self.total = 0

    def __torch_dispatch__(
        self,
        func: Any,
        types: Any,
        args: Sequence[Any] = (),
        kwargs: Mapping[str, Any] | None = None,
    ) -> Any:
        kwargs = dict(kwargs or {})
        if func is not CONVOLUTION:
            # In inference mode other operators arrive whole, with convolutions inside them.
            with self:
                output = func.decompose(*args, **kwargs)
            return func(*args, **kwargs) if output is NotImplemented else output
        output = func(*args, **kwargs)
        self.total += output.numel()
        return output


def count_activations(net: nn.Module, lq_size: tuple[int, int], num_in_ch: int = 3) -> int:
    """Count a network's activations in evaluation mode.

    Nothing is computed and `net` stays as it is. SMSR counts as dense.

    Args:
        net: Any network that maps (1, num_in_ch, H, W) to a tensor.
        lq_size: (H, W) of its input.
        num_in_ch: Channels of its input.

    Raises:
        ValueError: If the network cannot take such an input.
    """
    height, width = lq_size
    if isinstance(net, SMSR):
        # Its masked-dense evaluation computes the dense channels of a layer twice.
        return SMSRCost(net.config).activations([1] * net.config.num_block, height * width)
    net = deployed(copy.deepcopy(net).to("meta")).eval()
    lq = torch.zeros(1, num_in_ch, height, width, device="meta")
    try:
        with torch.no_grad(), _ConvolutionOutputs() as outputs:
            net(lq)
    except Exception as error:  # whatever the network meets in an input that it was not made for
        raise ValueError(
            f"{type(net).__name__} cannot be run on {tuple(lq.shape)}: {error}"
        ) from error
    return outputs.total
