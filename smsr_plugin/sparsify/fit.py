"""What skipped pixels get: constants and 1×1 substitutes, block after block, without training.

The dense network and the masked one run side by side. In each block the constants are the means of
what the convolutions put out at skipped pixels next to computed ones, which is where they are seen;
and the substitute is the linear map from the masked network's features to the dense network's that
is best in the mean square at skipped pixels. Errors of one block are thus known to the next.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_predictor import of_tiles

#: Pieces that are run at a time.
BATCH = 8
#: Densities that pieces are fitted at, evenly from one to the other.
DENSITIES = 0.3, 0.9
#: Added to the diagonal of the normal equations, as a share of its mean.
RIDGE = 1e-6


class LeastSquares:
    """Sums for the map y ≈ S·x + s of least Σ |y − S·x − s|² over some pixels, in float64.

    With z = [x, 1]: Σ z zᵀ · [S, s]ᵀ = Σ z yᵀ.
    """

    def __init__(self, num_feat: int) -> None:
        self.squares = torch.zeros(num_feat + 1, num_feat + 1, dtype=torch.float64)
        self.products = torch.zeros(num_feat + 1, num_feat, dtype=torch.float64)

    def add(self, x: Tensor, y: Tensor, chosen: Tensor) -> None:
        """Add the pixels of (B, C, H, W) that are 1 in (B, 1, H, W)."""
        where = chosen[:, 0] > 0
        inputs = x.movedim(1, -1)[where].double()
        inputs = torch.cat([inputs, torch.ones_like(inputs[:, :1])], 1)
        self.squares += inputs.T @ inputs
        self.products += inputs.T @ y.movedim(1, -1)[where].double()

    @torch.no_grad()
    def solve_into(self, linear: nn.Conv2d) -> None:
        """Put S and s into a 1×1 convolution; without any pixel it stays as it is."""
        scale = self.squares.diagonal().mean()
        if scale == 0:
            return
        ridge = RIDGE * scale * torch.eye(len(self.squares), dtype=torch.float64)
        solution = torch.linalg.solve(self.squares + ridge, self.products)
        linear.weight.copy_(solution[:-1].T[..., None, None])
        assert linear.bias is not None
        linear.bias.copy_(solution[-1])


@torch.no_grad()
def keep_curve(net: TileMasked, pieces: Tensor) -> None:
    """Note at which score each density lies, over all blocks of all pieces together."""
    scores = torch.cat([net.predictor(lq) for lq in pieces.split(BATCH)])
    net.density_curve = density_curve(scores.reshape(1, 1, -1, 1))


@torch.no_grad()
def fit_substitutes(net: TileMasked, pieces: Tensor) -> Iterator[None]:
    """Fit constants and substitutes at the masks of a trained predictor.

    Yields:
        After each block.
    """
    masks = masks_at_all_densities(net, pieces)
    dense = torch.cat([net.head(lq) for lq in pieces.split(BATCH)])
    masked = dense.clone()
    for k in range(net.config.num_block):
        of_block = masks[:, k : k + 1]
        _fit_constants(net, k, masked, of_block)
        _fit_substitute(net, k, dense, masked, of_block)
        for start in range(0, len(pieces), BATCH):
            part = slice(start, start + BATCH)
            masked[part] = net.block(k, masked[part], of_block[part])
        yield


@torch.no_grad()
def masks_at_all_densities(net: TileMasked, pieces: Tensor) -> Tensor:
    """Return masks (N, K, H, W), those of each piece at a density of its own."""
    scores = torch.cat([net.predictor(lq) for lq in pieces.split(BATCH)])
    shares = torch.linspace(*DENSITIES, len(pieces), dtype=scores.dtype)
    thresholds = torch.quantile(scores.flatten(), 1 - shares)
    return of_tiles((scores > thresholds.view(-1, 1, 1, 1)).float(), *pieces.shape[2:])


def _fit_constants(net: TileMasked, block: int, x: Tensor, mask: Tensor) -> None:
    layers = net.config.num_layer - 1
    sums = torch.zeros(layers, net.config.num_feat + 1, dtype=torch.float64)
    # Skipped pixels of which a 3×3 kernel at a computed pixel sees one.
    seen = F.max_pool2d(mask, 3, 1, 1) - mask
    for part, at in zip(x.split(BATCH), seen.split(BATCH), strict=True):

        def conv(layer: int, value: Tensor, at: Tensor = at) -> Tensor:
            out = net.conv(block, layer, value)
            if layer < layers:
                sums[layer, :-1] += (out * at).sum((0, 2, 3)).double()
                sums[layer, -1] += at.sum().double()
            return out

        net.hidden(block, part, conv)
    net.constants[block] = sums[:, :-1] / sums[:, -1:].clamp_min(1)


def _fit_substitute(
    net: TileMasked, block: int, dense: Tensor, masked: Tensor, mask: Tensor
) -> None:
    """Fit a block's substitute, and take `dense` through the block."""
    fitted = LeastSquares(net.config.num_feat)
    for start in range(0, len(dense), BATCH):
        part = slice(start, start + BATCH)
        x = dense[part]
        y = net.dense_join(block, x)
        fitted.add(masked[part], y, 1 - mask[part])
        dense[part] = net.after(block, x, y)
    fitted.solve_into(net.substitute(block).linear)
