"""Networks in PyTorch for `Network`: the masked-dense oracle, and what the runtime cannot take."""

from __future__ import annotations

import copy

import numpy as np
import torch
from numpy.typing import NDArray

from smsr_plugin.archs.masked import MaskedConfig, MaskedNetwork
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.runtime import Inferred
from smsr_plugin.sparse import SparseNetwork, to_sparse
from smsr_plugin.upscaling import RequestError

#: Bytes of a float32.
FLOAT = 4
#: Of a lq pixel besides the features: the image, its residual, masks and lists of pixels.
BYTES_BESIDES = 256


class PyTorchModel:
    """A network with masks ready to infer: sparse, or as the masked-dense oracle.

    Args:
        net: The network.
        precision: "fp32", "bf16" or "int8"; the oracle knows fp32 only.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this.
        density: The share of pixels to compute, 0…1; see `MaskedNetwork.set_density`.
        dense: Compute every pixel and mask afterwards, in plain PyTorch.

    Raises:
        ValueError: If the options do not fit together, or the network does not run in int8 here.
    """

    def __init__(
        self,
        net: MaskedNetwork,
        precision: str = "fp32",
        threshold: float = 0.0,
        density: float | None = None,
        dense: bool = False,
    ) -> None:
        if dense and precision != "fp32":
            raise RequestError(f"the dense oracle computes in fp32, not in {precision}")
        if density is not None:
            net = copy.deepcopy(net)
            net.set_density(density)
        self.config = config = net.config
        self.num_in_ch, self.num_out_ch = config.num_in_ch, config.num_out_ch
        self.upscale, self.num_masks = config.upscale, config.num_block
        self.threshold = threshold
        self.net: MaskedNetwork | SparseNetwork = (
            net if dense else to_sparse(net, precision, threshold)
        )
        self.cost = masked_cost(net.program())

    @torch.inference_mode()
    def __call__(self, lq: NDArray[np.float32]) -> Inferred:
        """Super-resolve an image, (num_in_ch, H, W), 0…1."""
        x = torch.from_numpy(np.ascontiguousarray(lq))[None]
        if isinstance(self.net, MaskedNetwork):
            out = self.net(x, threshold=self.threshold, return_masks=True)
            macs = self.cost.dense_macs(lq.shape[1] * lq.shape[2])
            return Inferred(out.sr[0].numpy(), (out.spa_mask[0] > 0).numpy(), macs)
        sr, stats = self.net(x, return_stats=True)
        return Inferred(sr[0].numpy(), stats.spa_mask[0].numpy(), stats.macs[0])

    def dense_macs(self, pixels: int) -> int:
        """Return the multiply-adds of an image if every pixel and channel were computed."""
        return self.cost.dense_macs(pixels)

    def bytes_needed(self, height: int, width: int) -> int:
        """Return what a run of an lq image takes if every pixel is important."""
        if isinstance(self.net, SparseNetwork) and self.net.runs_native:
            return self.net.bytes_needed(height, width)
        return height * width * torch_bytes_per_pixel(self.config)

    @property
    def has_bands(self) -> bool:
        """Whether large images are computed in bands, which need less memory."""
        return isinstance(self.net, SparseNetwork) and self.net.runs_native and self.net.has_bands


def torch_bytes_per_pixel(config: MaskedConfig) -> int:
    """Return what a run in plain PyTorch needs for each lq pixel.

    Counted in feature maps: the outputs of layers and of blocks, each also as a part of a
    concatenation, and what is in the works, which depends on the processor. Measured with L = 4,
    K = 5, C = 64: 3 600 to 4 900 B.
    """
    maps = 2 * config.num_layer + config.num_block + 12
    return maps * config.num_feat * FLOAT + BYTES_BESIDES
