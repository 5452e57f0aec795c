"""Fine-tuning with the dense network as the teacher: no ground truth is needed.

Each step takes masks of another density, so that one network serves them all. The mean absolute
difference from the teacher's output is what falls.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.gumbel import straight_through_mask
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_predictor import of_tiles

#: Pieces of a step, and their side.
BATCH, SIDE = 8, 48
#: Densities are drawn evenly from here to 1.
LEAST_DENSITY = 0.25
#: Of what was fitted anew, and of the dense network's own blocks and the predictor.
LEARNING_RATE, OWN_LEARNING_RATE = 1e-3, 2e-4
#: Steps until the learning rates are reached; then they fall to 0 as a cosine.
WARM_UP = 50
#: Largest norm of a step's gradient.
CLIP = 1.0


def finetune(net: TileMasked, pieces: Tensor, iters: int, seed: int = 0) -> Iterator[float]:
    """Train a fitted network in place; its first and last convolutions stay as they are.

    Args:
        net: The network; every tile computed, it is the teacher.
        pieces: lq images, (N, num_in_ch, H, W), 0…1, of which squares of side `SIDE` are drawn.
        iters: Steps.
        seed: Of what is drawn.

    Yields:
        The loss of each step.
    """
    teacher = copy.deepcopy(net).requires_grad_(False).eval()
    generator = torch.Generator().manual_seed(seed)
    own = [p for block in net.blocks() for p in block.parameters()] + [*net.predictor.parameters()]
    fitted = [net.constants, *net.substitutes.parameters()]
    net.requires_grad_(False)
    for parameter in own + fitted:
        parameter.requires_grad_()
    groups = [{"params": fitted, "lr": LEARNING_RATE}, {"params": own, "lr": OWN_LEARNING_RATE}]
    optimizer = torch.optim.Adam(groups, betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: _share(step, iters))
    for _ in range(iters):
        lq = _drawn(pieces, generator)
        density = LEAST_DENSITY + (1 - LEAST_DENSITY) * torch.rand((), generator=generator)
        loss = F.l1_loss(net(lq, spa_mask=_masks(net, lq, density)), _every_tile(teacher, lq))
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(own + fitted, CLIP)
        optimizer.step()
        schedule.step()
        yield loss.item()
    net.requires_grad_(False)


def _masks(net: TileMasked, lq: Tensor, density: Tensor) -> Tensor:
    """Return hard masks with the sigmoid's gradient, with one threshold for the whole batch."""
    scores = net.predictor(lq)
    scores = scores - torch.quantile(scores.detach(), 1 - density)
    return of_tiles(straight_through_mask(scores), *lq.shape[2:])


@torch.no_grad()
def _every_tile(teacher: TileMasked, lq: Tensor) -> Tensor:
    features = [teacher.head(lq)]
    for k in range(teacher.config.num_block):
        features.append(teacher.after(k, features[-1], teacher.dense_join(k, features[-1])))
    return teacher.tail(lq, features)


def _drawn(pieces: Tensor, generator: torch.Generator) -> Tensor:
    """Draw squares, each turned and mirrored in one of eight ways."""

    def below(limit: int) -> int:
        return int(torch.randint(limit, (), generator=generator))

    squares = []
    for _ in range(BATCH):
        piece = pieces[below(len(pieces))]
        top, left = (below(side - SIDE + 1) for side in piece.shape[1:])
        square = piece[:, top : top + SIDE, left : left + SIDE].rot90(below(4), (1, 2))
        squares.append(square.flip(2) if below(2) else square)
    return torch.stack(squares)


def _share(step: int, iters: int) -> float:
    rising = min(1.0, (step + 1) / WARM_UP)
    return rising * (1 + math.cos(math.pi * step / iters)) / 2
