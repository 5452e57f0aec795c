"""SparseSMSR: the frozen network that infers with skipped computation."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.smsr_arch import SMSR, check_input
from smsr_plugin.complexity import SMSRCost
from smsr_plugin.sparse import operator
from smsr_plugin.sparse.block import SparseBlock
from smsr_plugin.sparse.native.arithmetic import DTYPES, arithmetic_for
from smsr_plugin.sparse.native.kernels import load_kernels, say_slow
from smsr_plugin.sparse.native.network import NativeNetwork
from smsr_plugin.sparse.native.packing import HALF_LINE
from smsr_plugin.sparse.stats import SparseStats
from smsr_plugin.timing import Timer

#: In float32, with the channel of ones, or as two bfloat16 numbers each, they fill a cache line.
MAX_IMAGE_CHANNELS = 15


class SparseSMSR(nn.Module):
    """Takes and returns what `SMSR` does in evaluation. Made by `to_sparse`.

    The weights are split and packed copies and cannot be trained. Mean and range are folded away:
    the head sees [x, 1] in place of x − mean (a channel of ones, zero outside the image, so that
    the fold is exact at the border too), and the bicubic upsample of x − mean plus the mean is
    that of x, because the weights of the interpolation sum to 1.

    Attributes:
        config: The configuration of the network it was made from.
        precision: "fp32", "fp64" or "bf16".
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
        backend: "native", "reference" (plain PyTorch), or "auto": native where that can be.
    """

    def __init__(self, net: SMSR, precision: str, threshold: float, backend: str) -> None:
        super().__init__()
        self.config = net.config
        self.precision, self.backend = precision, backend
        self._threshold = threshold
        self.head_first = _fold_input_shift(net)
        self.head_second = net.head[2]
        self.blocks = nn.ModuleList(SparseBlock(block) for block in net.blocks)
        self.collect_first, self.collect_second = net.collect[0], net.collect[2]
        self.tail = net.tail[0]
        with torch.no_grad():
            self.tail.weight /= net.img_range
            self.tail.bias /= net.img_range
        self.cost = SMSRCost(self.config, self.dense_channels)
        self._packed: tuple[object, NativeNetwork] | None = None
        self._handle = operator.register(self)
        self.register_load_state_dict_post_hook(SparseSMSR._forget_packed)
        self.requires_grad_(False).eval()

    @property
    def threshold(self) -> float:
        """What logit 1 − logit 0 of an important pixel exceeds; may be changed between runs."""
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold = value
        if self._packed is not None:
            self._packed[1].decide_at(value)

    @property
    def dense_channels(self) -> list[list[int]]:
        """The number of dense output channels of each layer of each block, K lists of L."""
        return [[layer.d2d.shape[0] for layer in block.layers] for block in self.blocks]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return self.head_second.weight.dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return self.head_second.weight.device

    def train(self, mode: bool = True) -> SparseSMSR:
        """Refuse to train: packed weights are copies.

        Raises:
            RuntimeError: If `mode` is True.
        """
        if mode:
            raise RuntimeError("SparseSMSR only infers; train the SMSR it was made from")
        return super().train(False)

    @torch.no_grad()
    def forward(
        self, x: Tensor, spa_mask: Tensor | None = None, return_stats: bool = False
    ) -> Tensor | tuple[Tensor, SparseStats]:
        """Super-resolve a batch.

        Args:
            x: lq images, (B, num_in_ch, H, W), 0…1, any H and W from 1, on the network's device.
            spa_mask: Hard spatial masks (B, K, H, W) to use in place of the predicted ones.
            return_stats: Return `(sr, SparseStats)`.

        Returns:
            (B, num_out_ch, H·upscale, W·upscale) in the dtype of `x`, not clamped.

        Raises:
            ValueError: If the shape of `x` or `spa_mask` does not fit.
            RuntimeError: If the backend is "native" and the kernels cannot run this.
        """
        check_input(x, self.config, spa_mask)
        sr, found = operator.sparse_smsr(x, spa_mask, self._handle)
        if not return_stats:
            return sr
        return sr, SparseStats.of(found, self.cost)

    def infer(self, x: Tensor, spa_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute what `forward` returns, with inputs known to fit; sr and masks (B, K, H, W)."""
        native = self._native_for(x)
        if native is None:
            return self._reference(x, spa_mask)
        sr, found = native(x.float(), spa_mask)
        return sr.to(x.dtype), found

    def breakdown(self, x: Tensor, spa_mask: Tensor | None = None) -> dict[str, float]:
        """Return the seconds that each part of one run took, on the native kernels.

        Raises:
            RuntimeError: If the native kernels cannot run this.
        """
        return dict(self.timed(x, spa_mask).seconds)

    @torch.no_grad()
    def timed(self, x: Tensor, spa_mask: Tensor | None = None) -> Timer:
        """Run once on the native kernels; return the seconds of each part, by block as well.

        Raises:
            RuntimeError: If the native kernels cannot run this.
        """
        check_input(x, self.config, spa_mask)
        native = self._native_for(x)
        if native is None:
            raise RuntimeError("only the native backend can be broken down into parts")
        timer = Timer()
        native(x.float(), spa_mask, timer)
        return timer

    @property
    def runs_native(self) -> bool:
        """Whether the native kernels take this network and float32 images on the CPU."""
        return self.backend != "reference" and not self._native_obstacle(torch.empty(0))

    @property
    def itemsize(self) -> int:
        """Bytes of a feature in a run on the CPU; planes may be wider than `dtype`."""
        if not self.runs_native:
            return self.dtype.itemsize
        return arithmetic_for(self.dtype, load_kernels()).ITEMSIZE

    def _native_for(self, x: Tensor) -> NativeNetwork | None:
        """Return the native form of this network if it can take `x` and is wanted."""
        obstacle = "the backend is the reference"
        if self.backend != "reference":
            obstacle = self._native_obstacle(x)
            if not obstacle:
                return self._packed_weights()
        if self.backend == "native":
            raise RuntimeError(f'backend="native" cannot be used: {obstacle}')
        if self.backend != "reference" and load_kernels() is not None:  # else that has been said
            say_slow(obstacle)
        return None

    def _native_obstacle(self, x: Tensor) -> str:
        """Say what keeps `x` from the native kernels, or nothing."""
        if x.device.type != "cpu" or self.device.type != "cpu":
            return f"the kernels run on the CPU, and the input is on {x.device}"
        if x.dtype == torch.float64 or self.dtype not in DTYPES:
            return f"there are no kernels for weights in {self.dtype} and an input in {x.dtype}"
        kernels = load_kernels()
        if kernels is None:
            return "they were not built when smsr_plugin was installed"
        if self.dtype == torch.bfloat16 and not kernels.has_half():
            return f"this processor ({kernels.isa()}) has no bfloat16 instructions"
        widest = max(self.config.num_feat, self.tail.out_channels)
        if widest > kernels.MAX_CHANNELS - HALF_LINE:
            return f"a layer has {widest} channels, which are too many"
        if self.config.num_in_ch > MAX_IMAGE_CHANNELS:
            return f"an image has {self.config.num_in_ch} channels, which are too many"
        return ""

    def _reference(self, x: Tensor, spa_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        first = torch.cat([x, torch.ones_like(x[:, :1])], 1).to(self.dtype)
        first = first.contiguous(memory_format=torch.channels_last)
        head = feature = self.head_second(F.relu(self.head_first(first)))
        collected: Tensor | float = self.collect_first.bias.view(-1, 1, 1)
        collect_weights = self.collect_first.weight.split(self.config.num_feat, 1)
        found = []
        for k, block in enumerate(self.blocks):
            if spa_mask is None:
                block_mask = block.predict_mask(feature, self.threshold)
            else:
                block_mask = spa_mask[:, k : k + 1]
            feature = block(feature, block_mask)
            collected = collected + F.conv2d(feature, collect_weights[k])
            found.append(block_mask > 0)
        residual = self.tail(self.collect_second(F.relu(collected)) + head)
        residual = F.pixel_shuffle(residual, self.config.upscale).to(x.dtype)
        sr = residual + F.interpolate(x, scale_factor=self.config.upscale, mode="bicubic")
        return sr, torch.cat(found, 1)

    def _forget_packed(self, *_: object) -> None:
        self._packed = None

    def _packed_weights(self) -> NativeNetwork:
        """Pack the weights, or return what was packed since they last changed."""
        state = weights_state(self)
        if self._packed is None or self._packed[0] != state:
            kernels = load_kernels()
            arithmetic = arithmetic_for(self.dtype, kernels)
            self._packed = state, NativeNetwork(self, kernels, arithmetic)
        return self._packed[1]

    def __getstate__(self) -> dict[str, object]:
        return {**self.__dict__, "_packed": None, "_handle": None}

    def __setstate__(self, state: dict[str, object]) -> None:
        super().__setstate__(state)
        self._handle = operator.register(self)

    def extra_repr(self) -> str:
        return (
            f"precision={self.precision}, threshold={self.threshold}, backend={self.backend}, "
            f"dense_channels={self.dense_channels}"
        )


def weights_state(net: nn.Module) -> object:
    """Return something that compares unequal after the weights of `net` have changed.

    Tensors made in inference mode do not count their changes: only their replacement is seen.
    """
    weights = [*net.parameters(), *net.buffers()]
    return [(w.data_ptr(), w.dtype, 0 if w.is_inference() else w._version) for w in weights]


def _fold_input_shift(net: SMSR) -> nn.Conv2d:
    """Return the first convolution over [x, 1] that equals the one over (x − mean)·range."""
    first = net.head[0]
    weight = first.weight * net.img_range
    shift = -(weight * net.rgb_mean).sum(1, keepdim=True)
    folded = nn.Conv2d(first.in_channels + 1, first.out_channels, 3, padding=1)
    folded = folded.to(device=weight.device, dtype=weight.dtype)
    with torch.no_grad():
        folded.weight.copy_(torch.cat([weight, shift], 1))
        folded.bias.copy_(first.bias)
    return folded
