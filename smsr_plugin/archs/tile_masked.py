"""Masks in the blocks of any network of convolutions, decided from the lq image at whole tiles.

Of block k with the input x, the convolutions h are computed where the mask m is 1, and what follows
them in the block sees

    y = m · join(x, h) + (1 − m) · (S·x + s + narrow(x)).

S is a 1×1 matrix. Within h, a convolution that looks across the edge of the mask sees a constant
for each channel there. Both are fitted (`smsr_plugin.sparsify`), and cost nothing that the network
itself would not: what a skipped pixel gets decides how much may be skipped.

A network's own file says what its blocks are: `masked_rlfn_arch` is an example of it.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, ClassVar, Self, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_range, check_threshold
from smsr_plugin.archs.density import POINTS, logits_at
from smsr_plugin.archs.gumbel import MaskNoise, hard_mask, straight_through_mask
from smsr_plugin.archs.masked import (
    MaskedNetwork,
    MaskedOutput,
    check_input,
    is_traced,
)
from smsr_plugin.archs.tile_predictor import TilePredictor, of_tiles
from smsr_plugin.archs.tile_program import NARROW_SLOPE
from smsr_plugin.archs.tile_steps import EVENNESS

#: Applies a block's convolution of that number, with its activation.
ApplyConv = Callable[[int, Tensor], Tensor]


@dataclass(frozen=True)
class TileMaskedConfig:
    """What determines the shape of a network with masks at tiles.

    Attributes:
        num_in_ch, num_out_ch: Channels of the lq image and of sr.
        num_feat: Feature channels C, those of each block's input and of each masked convolution.
        num_layer: Masked convolutions of each block, L.
        num_block: Blocks, K.
        upscale: How many times sr is larger.
        num_narrow: Channels of the narrow path at skipped pixels; 0 for none.
    """

    num_in_ch: int
    num_out_ch: int
    num_feat: int
    num_layer: int
    num_block: int
    upscale: int
    num_narrow: int = 0


class Substitute(nn.Module):
    """What skipped pixels get: S·x + s, and a narrow path beside it where it pays.

    narrow(x) = 1×1(leaky ReLU(3×3(x))) with few channels in between; it begins at 0.
    """

    def __init__(self, num_feat: int, num_narrow: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(num_feat, num_feat, 1)
        self.narrow: nn.Conv2d | None = None
        if num_narrow:
            self.narrow = nn.Conv2d(num_feat, num_narrow, 3, padding=1)
            self.widen = nn.Conv2d(num_narrow, num_feat, 1, bias=False)
            if not self.widen.weight.is_meta:
                nn.init.zeros_(self.widen.weight)

    def forward(self, x: Tensor) -> Tensor:
        out = self.linear(x)
        if self.narrow is None:
            return out
        return out + self.widen(F.leaky_relu(self.narrow(x), NARROW_SLOPE))


class TileMasked(MaskedNetwork):
    """A network of convolution blocks with masks at tiles.

    Args:
        dense: The network itself, whose weights keep their names.
        config: Its shape.

    Attributes:
        dense_name: What the dense network is called in BasicSR's registry.
        constants: What skipped pixels hold within a block, for all convolutions of it but the
            last, (K, L − 1, C). After the activation.
        density_curve: Scores of all blocks together, by density; see `smsr_plugin.archs.density`,
            (1, POINTS). None until they are known.
    """

    dense_name: ClassVar[str]

    def __init__(self, dense: nn.Module, config: TileMaskedConfig) -> None:
        super().__init__()
        # Never replaced, so that it may be narrower than the base's.
        self.config: TileMaskedConfig = config  # pyright: ignore[reportIncompatibleVariableOverride]
        self.dense = dense
        self.predictor = TilePredictor(config.num_in_ch, config.num_block)
        shape = config.num_block, config.num_layer - 1, config.num_feat
        self.constants = nn.Parameter(torch.zeros(shape))
        self.substitutes = nn.ModuleList(
            Substitute(config.num_feat, config.num_narrow) for _ in range(config.num_block)
        )

    @property
    def curve_shape(self) -> tuple[int, int]:
        """One curve for all blocks."""
        return 1, POINTS

    @classmethod
    @abstractmethod
    def from_dense(cls, dense: Any, num_narrow: int = 0) -> Self:
        """Return the masked form of a network, to be fitted; its weights are copies.

        Raises:
            ValueError: If the network has not the shape for it.
        """

    @abstractmethod
    def head(self, x: Tensor) -> Tensor:
        """Map lq images (B, num_in_ch, H, W) to the first block's input, (B, C, H, W)."""

    @abstractmethod
    def conv(self, block: int, layer: int, x: Tensor) -> Tensor:
        """Apply a masked convolution and its activation at every pixel."""

    def join(self, block: int, x: Tensor, hidden: Tensor) -> Tensor:
        """Return y at important pixels, (B, C, H, W), pixel by pixel: h, unless overridden."""
        return hidden

    def after(self, block: int, x: Tensor, y: Tensor) -> Tensor:
        """Return the next block's input from y, at every pixel: y itself, unless overridden."""
        return y

    @abstractmethod
    def tail(self, x: Tensor, features: Sequence[Tensor]) -> Tensor:
        """Return sr from the lq images, and the head's output and those of all blocks."""

    @abstractmethod
    def blocks(self) -> Sequence[nn.Module]:
        """Return the dense network's blocks, to be trained on."""

    def dense_join(self, block: int, x: Tensor) -> Tensor:
        """Return y with every pixel computed."""
        return self.join(block, x, self.hidden(block, x, partial(self.conv, block)))

    def hidden(self, block: int, x: Tensor, conv: ApplyConv) -> Tensor:
        """Return h, given the block's input: one convolution after the other."""
        for layer in range(self.config.num_layer):
            x = conv(layer, x)
        return x

    def substitute(self, block: int) -> Substitute:
        """Return what a block's skipped pixels get."""
        return cast(Substitute, self.substitutes[block])

    def hidden_at(self, block: int, x: Tensor, mask: Tensor) -> Tensor:
        """Return h as it is where the mask (B, 1, H, W) is 1; elsewhere it means nothing."""

        def conv(layer: int, value: Tensor) -> Tensor:
            out = self.conv(block, layer, value)
            if layer == self.config.num_layer - 1:
                return out
            rest = self.constants[block, layer, :, None, None]
            # Exact at both ends, which rest + m·(out − rest) is not.
            return torch.lerp(rest.expand_as(out), out, mask)

        return self.hidden(block, x, conv)

    def block(self, block: int, x: Tensor, mask: Tensor) -> Tensor:
        """Return the next block's input, given this one's and its mask, (B, 1, H, W) in 0…1."""
        mask = mask.to(x.dtype).expand_as(x)
        y = self.join(block, x, self.hidden_at(block, x, mask[:, :1]))
        return self.after(block, x, torch.lerp(self.substitute(block)(x), y, mask))

    def forward(
        self,
        x: Tensor,
        tau: float = 1.0,
        threshold: float = 0.0,
        spa_mask: Tensor | None = None,
        return_masks: bool = False,
        noise: MaskNoise | None = None,
        straight_through: bool = False,
    ) -> Tensor | MaskedOutput:
        """Super-resolve a batch; see `MaskedNetwork.forward`.

        In training the masks are hard and have the sigmoid's gradient, whatever `tau`, `noise` and
        `straight_through` are.
        """
        check_input(type(self).__name__, x, self.config, spa_mask)
        if not self.training and not is_traced():
            check_range(type(self).__name__, x)
            check_threshold(threshold)
        logits = None
        if spa_mask is None:
            scores = self.predictor(x)
            tiles = straight_through_mask(scores) if self.training else hard_mask(scores, threshold)
            spa_mask = of_tiles(tiles, *x.shape[2:])
            logits = of_tiles(scores, *x.shape[2:])
        features = [self.head(x)]
        for number in range(self.config.num_block):
            features.append(self.block(number, features[-1], spa_mask[:, number : number + 1]))
        sr = self.tail(x, features)
        if not return_masks:
            return sr
        return MaskedOutput(sr, spa_mask, self.channel_masks(x), logits)

    def channel_masks(self, like: Tensor) -> Tensor:
        """Return ones, (1, K, C, L): every channel of a masked convolution is sparse."""
        config = self.config
        return like.new_ones(1, config.num_block, config.num_feat, config.num_layer)

    @torch.no_grad()
    def set_density(self, density: float) -> None:
        """Let threshold 0 compute a share of the pixels; see `MaskedNetwork.set_density`.

        One threshold serves all blocks: their scores are comparable, and a block that matters
        more keeps more.
        """
        if self.density_curve is None:
            raise ValueError(
                "a density can be asked of networks that were fitted, which keep the curve for it; "
                "smsr sparsify fits one"
            )
        amount = logits_at(self.density_curve, density)
        cast(Tensor, self.predictor.conv3.bias).sub_(amount / (1 - EVENNESS))
        self.density_curve -= amount
