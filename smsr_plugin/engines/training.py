"""Training iterations in PyTorch: forward, loss, backward, Adam's step.

The network is trained as `SMSRModel` does, or naively: what `SMSR` and `kept_computation` bring
into another form is then written term by term, as one reads it in the paper: the softmax over two
classes, masks expanded to the size of the features, four terms in each sparse mask convolution, the
sparsity of each channel at each pixel, concatenations. `NaiveTraining` shares an SMSR's parameters
and none of its code, so that tests can compare loss and gradients. Both begin with the same weights
and take the same batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple, cast

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.gumbel import MaskNoise
from smsr_plugin.archs.mask_losses import SparsityLoss
from smsr_plugin.archs.masked import MaskedOutput
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.config import SPARSITY_WEIGHT, SMSRConfig
from smsr_plugin.engines.base import Engine, Image, Input, Job
from smsr_plugin.machine import keep_freed_memory

#: As `EngineSpec.backend`: features in this layout; the formulas literally.
CHANNELS_LAST, NAIVE = "channels-last", "naive"
TAU, LEARNING_RATE = 1.0, 2e-4


class NaiveOutput(NamedTuple):
    """The result of the forward pass."""

    sr: Tensor  #: (B, num_out_ch, H·upscale, W·upscale), 0…1 (not clamped)
    #: K·(B, C·L, H, W): M_ch·M_spa + (1 − M_ch), the share of each value that is computed.
    sparsity: list[Tensor]


class NaiveTraining:
    """The training forward of an SMSR, with soft masks.

    Args:
        config: The network's.
        params: Its parameters and buffers by name; gradients reach the parameters.
    """

    def __init__(self, config: SMSRConfig, params: Mapping[str, Tensor]) -> None:
        self.config, self.params = config, params

    def forward(self, x: Tensor, tau: float, spa_noise: Tensor, ch_noise: Tensor) -> NaiveOutput:
        """Super-resolve a batch, as `SMSR.forward` in training.

        Args:
            x: lq images, (B, num_in_ch, H, W), 0…1, H and W even.
            tau: Temperature of the masks.
            spa_noise: Gumbel noise of the spatial masks, (B, K, 2, H, W), one value per class.
            ch_noise: That of the channel masks, (1, K, C, L, 2).
        """
        mean, img_range = self.params["rgb_mean"], self.params["img_range"]
        x0 = (x - mean) * img_range
        head = feature = self._conv("head.2", F.relu(self._conv("head.0", x0)))
        features, sparsity = [], []
        for k in range(self.config.num_block):
            feature, kept = self._block(
                f"blocks.{k}", feature, tau, spa_noise[:, k], ch_noise[:, k]
            )
            features.append(feature)
            sparsity.append(kept)
        collected = self._conv("collect.0", torch.cat(features, 1))
        collected = self._conv("collect.2", F.relu(collected)) + head
        residual = F.pixel_shuffle(self._conv("tail.0", collected), self.config.upscale)
        base = F.interpolate(x0, scale_factor=self.config.upscale, mode="bicubic")
        return NaiveOutput((residual + base) / img_range + mean, sparsity)

    def _block(
        self, name: str, x: Tensor, tau: float, spa_noise: Tensor, ch_noise: Tensor
    ) -> tuple[Tensor, Tensor]:
        """Return a block's output and its sparsity, (B, C·L, H, W)."""
        spa_logits = self._spatial_logits(f"{name}.spa_mask", x)
        m = torch.softmax((spa_logits + spa_noise) / tau, 1)[:, 1:].to(x.dtype)
        m = m.expand_as(x)
        ch_logits = self.params[f"{name}.ch_mask"]
        ch_mask = torch.softmax((ch_logits + ch_noise) / tau, -1)[..., 1].to(x.dtype)
        value, layers, sparsity = x, [], []
        d_in = s_in = None
        for layer in range(self.config.num_layer):
            s = ch_mask[:, :, layer, None, None].expand_as(x)
            d = 1 - s
            conv = f"{name}.convs.{layer}"
            if d_in is None or s_in is None:  # the block's input is dense
                value = F.relu(self._conv(conv, value) * (d + m * s))
            else:
                g_d, g_s = self._conv(conv, d_in * value), self._conv(conv, s_in * value)
                d2d, d2s = d * g_d, m * s * g_d
                s2d, s2s = m * d * g_s, m * s * g_s
                value = F.relu(d2d + d2s + s2d + s2s)
            layers.append(value)
            sparsity.append(m * s + d)
            d_in, s_in = d, s
        fused = self._conv(f"{name}.fuse", torch.cat(layers, 1))
        pooled = fused.mean((2, 3), keepdim=True)
        hidden = F.relu(self._conv(f"{name}.attention.squeeze", pooled))
        scale = torch.sigmoid(self._conv(f"{name}.attention.excite", hidden))
        return x + fused * scale, torch.cat(sparsity, 1)

    def _spatial_logits(self, name: str, x: Tensor) -> Tensor:
        x = F.avg_pool2d(F.relu(self._conv(f"{name}.conv1", x)), 2)
        x = F.relu(self._conv(f"{name}.conv2", x))
        weight, bias = self.params[f"{name}.deconv.weight"], self.params[f"{name}.deconv.bias"]
        return F.conv_transpose2d(x, weight, bias, stride=2, padding=1, output_padding=1)

    def _conv(self, name: str, x: Tensor) -> Tensor:
        weight = self.params[f"{name}.weight"]
        return F.conv2d(x, weight, self.params.get(f"{name}.bias"), padding=weight.shape[-1] // 2)


def naive_sparsity_loss(sparsity: list[Tensor]) -> Tensor:
    """Return L_reg, the mean over blocks of the mean of each block's sparsity."""
    dtype = torch.promote_types(sparsity[0].dtype, torch.float32)
    return torch.stack([block.mean(dtype=dtype) for block in sparsity]).mean()


def gumbel_noise(config: SMSRConfig, lq: Tensor) -> tuple[Tensor, Tensor]:
    """Draw −log(−log U) for each class of all masks, as `NaiveTraining.forward` takes it."""
    spa = lq.new_empty(len(lq), config.num_block, 2, *lq.shape[2:])
    ch = lq.new_empty(1, config.num_block, config.num_feat, config.num_layer, 2)
    spa, ch = (-torch.log(noise.exponential_()) for noise in (spa, ch))  # −log U is exponential
    return spa, ch


class Batch(NamedTuple):
    """What an iteration trains on."""

    lq: Tensor
    gt: Tensor


class TrainingEngine(Engine):
    """Takes steps on one batch, again and again."""

    def __init__(self, job: Job) -> None:
        keep_freed_memory()  # as `smsr train` does
        torch.set_num_threads(job.spec.threads)
        torch.manual_seed(0)
        self.spec = job.spec
        self.net = SMSR().train()
        tensors = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        self.naive = NaiveTraining(self.net.config, tensors)
        self.sparsity_loss = SparsityLoss(SPARSITY_WEIGHT)
        self.optimizer = torch.optim.Adam(self.net.parameters(), LEARNING_RATE)

    def prepare(self, given: Input) -> Batch:
        lq, upscale = torch.from_numpy(given.lq), self.net.config.upscale
        gt = F.interpolate(lq, scale_factor=upscale, mode="nearest")
        if self.spec.backend == CHANNELS_LAST:
            lq = lq.contiguous(memory_format=torch.channels_last)
        return Batch(lq, gt)

    def run(self, prepared: Batch) -> Tensor:
        """Take a step and return its loss."""
        self.optimizer.zero_grad()
        loss = self._naive(prepared) if self.spec.backend == NAIVE else self._smsr(prepared)
        loss.backward()
        self.optimizer.step()
        return loss.detach()

    def output(self, result: Tensor) -> Image:
        return result.float().view(1, 1, 1, 1).numpy()

    def _smsr(self, batch: Batch) -> Tensor:
        noise = MaskNoise.draw(self.net.config, batch.lq)
        with self._precision():
            out = self.net(batch.lq, tau=TAU, return_masks=True, noise=noise)
        out = cast(MaskedOutput, out)
        return F.l1_loss(out.sr.float(), batch.gt) + self.sparsity_loss(out.spa_mask, out.ch_mask)

    def _naive(self, batch: Batch) -> Tensor:
        noise = gumbel_noise(self.net.config, batch.lq)
        with self._precision():
            out = self.naive.forward(batch.lq, TAU, *noise)
        sparsity = SPARSITY_WEIGHT * naive_sparsity_loss(out.sparsity)
        return F.l1_loss(out.sr.float(), batch.gt) + sparsity

    def _precision(self) -> Any:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.spec.precision == "bf16")


def load(job: Job) -> Engine:
    """Build a network with its optimizer."""
    return TrainingEngine(job)
