"""The whole network on the native kernels, one image at a time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr_plugin.sparse.native.block import NativeBlock
from smsr_plugin.sparse.native.packing import Floats, as_array, padded
from smsr_plugin.sparse.native.planes import PlanePool
from smsr_plugin.sparse.native.run import BlockMask, Run
from smsr_plugin.timing import Timer

if TYPE_CHECKING:
    from smsr_plugin.sparse.network import SparseSMSR

#: a of the cubic convolution kernel that PyTorch interpolates with.
BICUBIC_A = -0.75


class NativeNetwork:
    """Packed weights of a `SparseSMSR`, and the planes to run it in."""

    def __init__(self, net: SparseSMSR, kernels: Any, arithmetic: Any) -> None:
        self.kernels, self.plane = kernels, arithmetic.plane
        self.config = net.config
        self.pool = PlanePool()

        def map_conv(conv: Any, kind: Any = arithmetic.MapConv) -> Any:
            return kind(as_array(conv.weight), as_array(conv.bias))

        self.head_first = map_conv(net.head_first, arithmetic.FirstConv)
        self.head_second = map_conv(net.head_second)
        self.blocks = [NativeBlock(block, net.threshold, arithmetic) for block in net.blocks]
        collect = net.collect_first.weight.flatten(1).split(net.config.num_feat, 1)
        self.collect_first = arithmetic.Collect(
            [as_array(share).T for share in collect], as_array(net.collect_first.bias)
        )
        self.collect_second = map_conv(net.collect_second)
        self.tail = map_conv(net.tail)
        self.tail_channels = padded(net.tail.out_channels)
        self.taps = bicubic_taps(net.config.upscale)

    def decide_at(self, threshold: float) -> None:
        """Let pixels be important where logit 1 − logit 0 exceeds `threshold`."""
        for block in self.blocks:
            block.predict_mask.threshold = threshold

    def __call__(
        self, x: Tensor, spa_mask: Tensor | None, timer: Timer | None = None
    ) -> tuple[Tensor, Tensor]:
        """Super-resolve a batch.

        Args:
            x: (B, C, H, W), float32, on the CPU.
            spa_mask: Masks (B, K, H, W) to use in place of the predicted ones.
            timer: Where to add the time of each part.

        Returns:
            The images (B, C_out, H·s, W·s) and the masks that were applied, (B, K, H, W) bool.
        """
        batch, _, height, width = x.shape
        scale = self.config.upscale
        sr = x.new_empty(batch, self.config.num_out_ch, height * scale, width * scale)
        found = torch.empty(batch, len(self.blocks), height, width, dtype=torch.bool)
        for i in range(batch):
            masks = None if spa_mask is None else (spa_mask[i] > 0).numpy()
            with self.pool.lend(height, width) as planes:
                run = Run(self.kernels, planes, torch.get_num_threads())
                lq = x[i].contiguous().numpy()
                with np.errstate(all="ignore"):  # an image may hold anything
                    self._image(run, lq, masks, sr[i].numpy(), found[i].numpy(), timer or Timer())
        return sr, found

    def _image(
        self,
        run: Run,
        lq: Floats,
        masks: NDArray[np.bool_] | None,
        sr: Floats,
        found: NDArray[np.bool_],
        timer: Timer,
    ) -> None:
        """Super-resolve an image into `sr`, and write the masks that were applied to `found`."""
        planes, channels = run.planes, self.config.num_feat
        feature = self.collect_first.output(run, 0)
        residual = planes.plane("residual", self.tail_channels)
        activity = planes.activity()
        with timer("head"):
            hidden = self.plane(planes, "collected", channels)
            self.head_first(run, lq, hidden, spare=residual)
            self.head_second(run, hidden, feature)
            # The tail is linear: its share of the head's output takes less room than that.
            self.tail(run, feature, residual)
        height, width = run.size
        for k, block in enumerate(self.blocks):
            timer.block = k
            with timer("masks"):
                if masks is None:
                    block.predict_mask(run, feature, activity)
                else:
                    self._mark(activity, masks[k])
                mask = BlockMask.of(run, activity)
            inner = activity[1 : height + 1, 1 : width + 1]
            np.equal(inner, self.kernels.ACTIVE, out=found[k])
            out = self.collect_first.output(run, k)
            block(run, feature, out, mask, self.collect_first.chain(run, k), timer)
            feature = out
        timer.block = None
        with timer("collect"):
            self.collect_second(run, self.collect_first.finish(run), feature)
        with timer("tail"):
            self.tail(run, feature, residual, bias=None, residual=residual)
        with timer("bicubic"):
            self.kernels.compose(lq, residual, self.taps, sr, threads=run.threads)

    def _mark(self, activity: NDArray[np.uint8], mask: NDArray) -> None:
        height, width = mask.shape
        activity[1 : height + 1, 1 : width + 1] = np.where(
            mask, self.kernels.ACTIVE, self.kernels.INACTIVE
        )


def bicubic_taps(upscale: int) -> Floats:
    """Return the weights of pixels x − 2 … x + 2 for each of `upscale` phases, (upscale, 5).

    Output pixel x·s + i lies at x + (i + ½)/s − ½ of the input.
    """
    phase = (np.arange(upscale) + 0.5) / upscale - 0.5
    t = np.abs(np.arange(-2, 3) - phase[:, None])
    a = BICUBIC_A
    near = ((a + 2) * t - (a + 3)) * t**2 + 1
    far = ((a * t - 5 * a) * t + 8 * a) * t - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0)).astype(np.float32)
