"""Parameters and multiply-adds of any network, through thop."""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.modules.conv import _ConvNd, _ConvTransposeNd

from smsr_plugin.archs.smsr_arch import SparseMaskModule

#: Layers that count, by thop's own rules, which leave biases out. Its rules for all others are
#: set to zero (see the package's convention).
COUNTED = (_ConvNd, nn.Linear, nn.RNNBase, nn.RNNCellBase)


@dataclass(frozen=True)
class Complexity:
    """The size and the cost of a network.

    Attributes:
        params: Parameters as deployed, without buffers.
        macs: Multiply-adds of one forward pass.
        mask_params: Those of `params` that are SMSR's channel mask logits. The paper's count
            leaves them out.
    """

    params: int
    macs: int
    mask_params: int = 0


def profile(net: nn.Module, lq_size: tuple[int, int], num_in_ch: int = 3) -> Complexity:
    """Count a network's parameters and multiply-adds in evaluation mode.

    The network is copied without its values, so nothing is computed and `net` stays as it is.
    SMSR counts as dense, every channel and pixel computed once; ECBSR as deployed, with each
    block merged into one 3×3 convolution (its parameters too).

    thop counts layers, and misses products of activations between them, as in SwinIR; torch's
    counter of operations sees those, and misses fused ones, as in recurrent layers. Both follow
    the same pass, and the larger count stands. For SMSR thop's does: its masked-dense evaluation
    executes more than the network defines.

    Args:
        net: Any network that maps (1, num_in_ch, H, W) to a tensor.
        lq_size: (H, W) of its input.
        num_in_ch: Channels of its input.

    Raises:
        ValueError: If the network cannot take such an input.
    """
    # Deferred: it imports triton, which those who use the formula alone need not wait for.
    from torch.utils.flop_counter import FlopCounterMode

    net = deployed(copy.deepcopy(net).to("meta")).eval()
    modules = [module for module in net.modules() if isinstance(module, SparseMaskModule)]
    thop_profile, rules = _thop(net)
    try:
        with FlopCounterMode(display=False) as operations:
            lq = torch.zeros(1, num_in_ch, *lq_size, device="meta")
            in_layers = int(thop_profile(net, (lq,), custom_ops=rules, verbose=False)[0])
    except Exception as error:  # whatever the network meets in an input that it was not made for
        raise ValueError(
            f"{type(net).__name__} cannot be run on an input of shape "
            f"{(1, num_in_ch, *lq_size)}: {error}"
        ) from error
    in_operations = operations.get_total_flops() // 2
    return Complexity(
        params=sum(parameter.numel() for parameter in net.parameters()),
        macs=in_layers if modules else max(in_layers, in_operations),
        mask_params=sum(module.ch_mask.numel() for module in modules),
    )


def _thop(net: nn.Module) -> tuple[Callable[..., Any], dict[type, Callable[..., None]]]:
    """Return thop's profile function and the rules to give it for `net`."""
    with warnings.catch_warnings():
        # thop compares versions with distutils, which is deprecated.
        warnings.simplefilter("ignore", DeprecationWarning)
        import thop
        from thop.profile import register_hooks
        from thop.vision.basic_hooks import zero_ops

    rules: dict[type, Callable[..., None]] = {
        kind: zero_ops for kind in register_hooks if not issubclass(kind, COUNTED)
    }
    for module in net.modules():
        if isinstance(module, SparseMaskModule):
            rules[type(module)] = _count_sparse_mask_module
        elif isinstance(module, _ConvTransposeNd):
            rules[type(module)] = _count_transposed
    return thop.profile, rules


def _count_transposed(module: Any, inputs: tuple[Tensor], output: Tensor) -> None:
    """Each input value meets the kernel once; thop would count it at the output's pixels."""
    module.total_ops += inputs[0].numel() * module.weight[0].numel()


def _count_sparse_mask_module(module: Any, inputs: tuple[Tensor, ...], output: Tensor) -> None:
    """Count the kernels that are applied as functions, at every pixel, and the layers inside.

    thop does not look inside a module that has a rule, but its layers have counted by now.
    """
    pixels = output.numel() // output.shape[1]
    applied = (*module.convs, module.fuse)
    module.total_ops += pixels * sum(conv.weight.numel() for conv in applied)
    module.total_ops += sum(m.total_ops for m in module.modules() if m is not module)


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
