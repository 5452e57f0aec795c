"""Masks by running quantiles: how a short training learns masks that follow the image.

The paper's soft masks and sparsity loss need hundreds of epochs; in a short training each block
ends up computing all or nothing. Here the density is not learned but set: it falls from
`density_start` to `density`, and after each step the last bias of every mask predictor is moved so
that threshold 0 keeps just that share of the recent pixels. Which pixels they are is learned,
from the pixel loss straight through the hard masks and from `DetailLoss`.

All of it is a function of the iteration and of what the checkpoint holds.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor, nn

from smsr_plugin.archs.density import BEYOND, logits_at
from smsr_plugin.archs.smsr_arch import SMSR, SparseMaskModule

#: Least weight of a batch in the running curves: a few patches say little of all.
MOMENTUM = 0.01
#: Of the first weights, against Kaiming's: hundreds of iterations have no time to shrink them.
CONV_GAIN, FUSE_GAIN, TAIL_GAIN, PREDICTOR_GAIN = 0.7, 0.3, 0.05, 0.5


def prepare_network(net: SMSR, seed: int) -> None:
    """Give a new network the weights that a short training begins with.

    All channels are sparse and stay so; every pixel is computed until masks begin.
    """
    for block in smms(net):
        with torch.no_grad():
            block.ch_mask.copy_(torch.tensor([-1.0, 1.0]))
    gains = {"tail.0": TAIL_GAIN}
    for k in range(len(net.blocks)):
        gains[f"blocks.{k}.fuse"] = FUSE_GAIN
        gains[f"blocks.{k}.spa_mask.deconv"] = PREDICTOR_GAIN
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        for name, module in net.named_modules():
            if not isinstance(module, nn.Conv2d | nn.ConvTranspose2d):
                continue
            nn.init.kaiming_normal_(module.weight)
            with torch.no_grad():
                module.weight *= gains.get(name, CONV_GAIN)
                if module.bias is not None:
                    module.bias.zero_()
    net.shift_logits(torch.full((len(net.blocks),), -BEYOND))


def fix_channel_masks(net: SMSR) -> None:
    """Keep the channel masks as they are: hard masks give their logits no gradient."""
    for block in smms(net):
        block.ch_mask.requires_grad_(False)


@torch.no_grad()
def begin_masks(net: SMSR) -> None:
    """End the phase in which every pixel is computed; `follow_density` sets the density."""
    for block in smms(net):
        assert block.spa_mask.deconv.bias is not None
        block.spa_mask.deconv.bias.zero_()


def follow_density(net: SMSR, curve: Tensor, density: float, batches: int) -> None:
    """Take a batch's `density_curve` into the running ones; threshold 0 then keeps `density`.

    Args:
        net: The network.
        curve: That of the batch.
        density: The share of pixels to compute.
        batches: How many batches the masks have seen, this one included: as long as they are few,
            all weigh the same.
    """
    if net.density_curve is None:
        net.density_curve = curve.clone()
    else:
        net.density_curve.lerp_(curve, max(MOMENTUM, 1 / batches))
    net.shift_logits(logits_at(net.density_curve, density))


def smms(net: SMSR) -> Iterator[SparseMaskModule]:
    """Yield the blocks."""
    for block in net.blocks:
        assert isinstance(block, SparseMaskModule)
        yield block
