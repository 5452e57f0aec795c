"""`SMSR` against the literal training forward: the same loss and gradients, in less memory."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from networks import tiny_smsr
from torch.autograd.graph import saved_tensors_hooks

from smsr_plugin.archs.gumbel import MaskNoise
from smsr_plugin.archs.mask_losses import SparsityLoss
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.engines.training import NaiveTraining, naive_sparsity_loss

TAU, SPARSITY_WEIGHT = 0.7, 0.3
#: float64 sums of a few thousand terms in another order
CLOSE = {"rtol": 1e-10, "atol": 1e-13}


def naive_loss(net: SMSR, lq: torch.Tensor, gt: torch.Tensor, noise: MaskNoise) -> torch.Tensor:
    tensors = {**dict(net.named_parameters()), **dict(net.named_buffers())}
    # The softmax knows the noise of class 1 and that of class 0: their difference is ours.
    spa = torch.stack([torch.ones_like(noise.spa), noise.spa + 1], 2)
    ch = torch.stack([torch.ones_like(noise.ch), noise.ch + 1], -1)
    out = NaiveTraining(net.config, tensors).forward(lq, TAU, spa, ch)
    return F.l1_loss(out.sr, gt) + SPARSITY_WEIGHT * naive_sparsity_loss(out.sparsity)


def our_loss(net: SMSR, lq: torch.Tensor, gt: torch.Tensor, noise: MaskNoise) -> torch.Tensor:
    out = net(lq, tau=TAU, return_masks=True, noise=noise)
    return F.l1_loss(out.sr, gt) + SparsityLoss(SPARSITY_WEIGHT)(out.spa_mask, out.ch_mask)


@pytest.fixture
def batch():
    """Return a function that makes lq, gt and noise for a network."""

    def make(net: SMSR, size: int, images: int = 3):
        generator = torch.Generator().manual_seed(0)
        dtype = net.rgb_mean.dtype
        lq = torch.rand(images, 3, size, size, generator=generator, dtype=dtype)
        gt = torch.rand(images, 3, 2 * size, 2 * size, generator=generator, dtype=dtype)
        return lq, gt, MaskNoise.draw(net.config, lq)

    return make


@pytest.mark.parametrize("layers", [1, 3])
def test_loss_and_gradients_are_the_same(batch, layers):
    net = tiny_smsr(num_layer=layers, num_feat=8, img_range=255.0).train()
    data = batch(net, 6)
    for block in net.blocks:  # its only unit would be dead
        torch.nn.init.ones_(block.attention.squeeze.bias)
    results = []
    for loss_of in (naive_loss, our_loss):
        net.zero_grad()
        loss = loss_of(net, *data)
        loss.backward()
        results.append({"loss": loss.detach(), **{k: p.grad for k, p in net.named_parameters()}})
    naive, ours = results
    for name, gradient in naive.items():
        assert gradient.abs().max() > 1e-9, name
    torch.testing.assert_close(ours, naive, **CLOSE)


def saved_bytes(loss_of, net: SMSR, data) -> int:
    """Return the size of what a forward pass keeps for the backward pass, without parameters."""
    storages: dict[int, int] = {}

    def pack(tensor: torch.Tensor) -> torch.Tensor:
        storage = tensor.untyped_storage()
        storages[storage.data_ptr()] = storage.nbytes()
        return tensor.detach()  # the tensor itself would be in a cycle with its graph

    with saved_tensors_hooks(pack, lambda tensor: tensor):
        loss = loss_of(net, *data)
    for parameter in net.parameters():
        storages.pop(parameter.untyped_storage().data_ptr(), None)
    loss.backward()  # what was kept lives until here, so that no address is used twice
    return sum(storages.values())


def test_less_than_half_is_kept_for_the_backward_pass(batch):
    torch.manual_seed(0)
    net = SMSR(num_feat=16, num_block=2).train()
    data = batch(net, 16, images=2)
    naive, ours = (saved_bytes(loss_of, net, data) for loss_of in (naive_loss, our_loss))
    assert 0 < ours < 0.45 * naive
