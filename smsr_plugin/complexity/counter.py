"""Parameters, multiply-adds and activations of any network, counted operation by operation.

A network is run once without its values, on torch's meta device, where every composite operation
(a recurrent layer, an attention, a linear layer in inference mode) falls apart into the products
and convolutions that it consists of. torch's `FlopCounterMode` has their formulas.

thop and fvcore, which do not see into a converted network, count it by the rules at the end:

    thop.profile(sparse, (x,), custom_ops={type(sparse): count_for_thop})
    FlopCountAnalysis(sparse, x).set_op_handle("smsr_plugin::sparse_network", for_fvcore(sparse, x))

Both count the multiply-adds that the masks of this very image keep. torch's `FlopCounterMode` needs
no rule: the operator brings its formula.
"""

from __future__ import annotations

import copy
import math
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from smsr_plugin.archs.masked import MaskedNetwork
from smsr_plugin.complexity.masked_cost import masked_cost

CONVOLUTION = torch.ops.aten.convolution.default
#: The node of a graph that stands for a converted network.
OPERATOR = "smsr_plugin::sparse_network"


@dataclass(frozen=True)
class Complexity:
    """The size and the cost of a network.

    Attributes:
        params: Parameters as deployed, without buffers.
        macs: Multiply-adds of one forward pass.
        activations: The values that its convolutions put out, as the NTIRE challenges count. They
            predict the time of small networks better than multiply-adds do, because each value has
            to be written and read again. Transposed convolutions count like others; no other
            layers count.
        mask_params: Those of `params` that are channel mask logits. The paper's count
            leaves them out.
    """

    params: int
    macs: int
    activations: int
    mask_params: int = 0


def profile(net: nn.Module, lq_size: tuple[int, int], num_in_ch: int = 3) -> Complexity:
    """Count a network's parameters, multiply-adds and activations in evaluation mode.

    Nothing is computed and `net` stays as it is. A network with masks counts as dense, by its
    program: every channel and pixel computed once, where its evaluation executes more than the
    network defines. ECBSR counts as deployed, with each block merged into one 3×3 convolution (its
    parameters too).

    Args:
        net: Any network that maps (1, num_in_ch, H, W) to a tensor.
        lq_size: (H, W) of its input.
        num_in_ch: Channels of its input.

    Raises:
        ValueError: If the network cannot take such an input.
    """
    if isinstance(net, MaskedNetwork):
        return _masked(net, lq_size)
    # Deferred: it imports triton, which those who use the formula alone need not wait for.
    from torch.utils.flop_counter import FlopCounterMode

    net = deployed(copy.deepcopy(net).to("meta")).eval()
    lq = torch.zeros(1, num_in_ch, *lq_size, device="meta")
    operations, outputs = FlopCounterMode(display=False), _ConvolutionOutputs()
    try:
        with torch.no_grad(), operations, outputs:
            net(lq)
    except Exception as error:  # whatever the network meets in an input that it was not made for
        raise ValueError(
            f"{type(net).__name__} cannot be run on an input of shape {tuple(lq.shape)}: {error}"
        ) from error
    params = sum(parameter.numel() for parameter in net.parameters())
    return Complexity(params, operations.get_total_flops() // 2, outputs.total)


def _masked(net: MaskedNetwork, lq_size: tuple[int, int]) -> Complexity:
    cost, pixels = masked_cost(net.program()), lq_size[0] * lq_size[1]
    return Complexity(
        params=sum(parameter.numel() for parameter in net.parameters()),
        macs=cost.dense_macs(pixels),
        activations=cost.activations([1] * net.config.num_block, pixels),
        mask_params=sum(p.numel() for n, p in net.named_parameters() if n.endswith(".ch_mask")),
    )


def lq_size(output_size: tuple[int, int], upscale: int) -> tuple[int, int]:
    """Return the lq size (H, W) whose output covers `output_size` (H, W).

    Sides that `upscale` does not divide are rounded up: 1280×720 at x3 is 427×240, for which the
    dense network costs 100.4G (the paper: 100.5G; 426×240 would give 100.2G).
    """
    height, width = output_size
    return math.ceil(height / upscale), math.ceil(width / upscale)


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


def deployed(net: nn.Module) -> nn.Module:
    """Replace, in place, the blocks that have a simpler form for inference."""
    for name, child in net.named_children():
        kind = f"{type(child).__module__}.{type(child).__name__}"
        if kind in DEPLOYED_FORMS:
            setattr(net, name, DEPLOYED_FORMS[kind](child))
        else:
            deployed(child)
    return net


def _deployed_ecb(block: Any) -> nn.Module:
    conv = nn.Conv2d(block.in_channels, block.out_channels, 3, padding=1, device="meta")
    return nn.Sequential(conv, block.act) if hasattr(block, "act") else conv


#: By qualified name, because this package does not import BasicSR.
DEPLOYED_FORMS: dict[str, Callable[[Any], nn.Module]] = {
    "basicsr.archs.ecbsr_arch.ECB": _deployed_ecb
}


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
