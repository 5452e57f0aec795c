"""Which tiles matter in which block: what the loss would change by, and a predictor of it.

With e = y − (S·x + s + narrow(x)), what is lost of block k's output where its substitute takes
over, and g, the gradient of a random direction in sr with respect to y, a skipped pixel changes sr
in that direction by about Σ_c g·e. Its square, averaged over a tile and a few directions, is the
loss of skipping the tile, in the same unit for all blocks: that is why one threshold can serve them
all.

It is measured twice: in the dense network, to have masks at all, and then in the network with these
masks and with what skipped pixels got, where the order of tiles is another one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_predictor import TILE, detail_planes, of_tiles
from smsr_plugin.sparsify.fit import BATCH, LeastSquares

#: Random directions in sr.
DIRECTIONS = 2
#: Steps of the predictor's training and its largest learning rate.
STEPS, LEARNING_RATE = 400, 4e-3
#: Added to losses before their logarithm, as a share of their mean.
LEAST_LOSS = 1e-4


def smooth_tiles(lq: Tensor) -> Tensor:
    """Return 1 in the half of all tiles with least gradient, (B, 1, H, W): a first guess."""
    gradient = F.avg_pool2d(detail_planes(lq)[:, -1:], TILE, ceil_mode=True)
    return of_tiles((gradient < gradient.median()).to(lq.dtype), *lq.shape[2:])


@torch.no_grad()
def fit_at_smooth_tiles(net: TileMasked, pieces: Tensor) -> Iterator[None]:
    """Fit all substitutes to the dense network, where a first guess says that nothing happens."""
    sums = [LeastSquares(net.config.num_feat) for _ in range(net.config.num_block)]
    for lq in pieces.split(BATCH):
        smooth, x = smooth_tiles(lq), net.head(lq)
        for k, fitted in enumerate(sums):
            y = net.dense_join(k, x)
            fitted.add(x, y, smooth)
            x = net.after(k, x, y)
        yield
    for k, fitted in enumerate(sums):
        fitted.solve_into(net.substitute(k).linear)


def losses_of_tiles(
    net: TileMasked, lq: Tensor, generator: torch.Generator, masks: Tensor | None = None
) -> Tensor:
    """Return the loss of skipping each tile, (B, K, ⌈H/4⌉, ⌈W/4⌉), from 0.

    Args:
        net: Of which no parameter learns.
        lq: Images, (B, num_in_ch, H, W), 0…1.
        generator: Draws the directions.
        masks: What blocks see of those before them, (B, K, H, W); None if everything is computed.
            What a tile would bring is measured for all of them, also for those that are skipped.
    """
    ys, errors, features = [], [], [net.head(lq)]
    for k in range(net.config.num_block):
        x = features[-1]
        y = net.dense_join(k, x)
        skipped = net.substitute(k)(x)
        errors.append((y - skipped).detach())
        if masks is not None:
            y = torch.lerp(skipped, y, masks[:, k : k + 1].expand_as(y))
        ys.append(y.requires_grad_())
        features.append(net.after(k, x, y))
    sr = net.tail(lq, features)
    changes = lq.new_zeros(len(lq), len(ys), *lq.shape[2:])
    for number in range(DIRECTIONS):
        direction = torch.randn(sr.shape, generator=generator, dtype=sr.dtype)
        last = number == DIRECTIONS - 1
        gradients = torch.autograd.grad(sr, ys, direction, retain_graph=not last)
        with torch.no_grad():
            for k, gradient in enumerate(gradients):
                changes[:, k] += (gradient * errors[k]).sum(1).square() / DIRECTIONS
    return F.avg_pool2d(changes, TILE, ceil_mode=True)


def train_predictor(
    net: TileMasked, pieces: Tensor, losses: Tensor, seed: int = 0
) -> Iterator[float]:
    """Train the predictor towards the standardised logarithm of losses, one for all blocks.

    Yields:
        The loss of each of `STEPS` steps.
    """
    target = (losses + LEAST_LOSS * losses.mean()).log()
    target = (target - target.mean()) / target.std()
    generator = torch.Generator().manual_seed(seed)
    parameters = list(net.predictor.parameters())
    optimizer = torch.optim.Adam(parameters, LEARNING_RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, LEARNING_RATE, STEPS)
    for _ in range(STEPS):
        drawn = torch.randperm(len(pieces), generator=generator)[:BATCH]
        turned: Callable[[Tensor], Tensor] = _turn(generator)
        loss = F.smooth_l1_loss(net.predictor.worth(turned(pieces[drawn])), turned(target[drawn]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        yield loss.item()


def _turn(generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """Draw one of the eight ways to turn and mirror a batch of squares."""
    turns, mirrored = torch.randint(4, (), generator=generator), torch.rand((), generator=generator)

    def turned(x: Tensor) -> Tensor:
        x = x.rot90(int(turns), (2, 3))
        return x.flip(3) if mirrored < 0.5 else x

    return turned
