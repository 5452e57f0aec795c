"""Fine-tuning with the dense network as the teacher: no ground truth is needed.

Each step takes masks of another density, so that one network serves them all. The mean absolute
difference from the teacher's output is what falls. The predictor is left alone: trained on by
straight-through gradients it forgets the image, and the dial its upper end. It may be fitted anew
between two steps (`smsr_plugin.sparsify.run`).
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from smsr_plugin.archs.gumbel import hard_mask
from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_predictor import of_tiles

#: Pieces of a step, and their side.
BATCH, SIDE = 8, 48
#: Densities are drawn evenly from one to the other; all above 1 are 1.
DENSITIES = 0.25, 1.1
#: Of what was fitted anew, and of the dense network's own blocks.
LEARNING_RATE, OWN_LEARNING_RATE = 1e-3, 2e-4
#: Steps until the learning rates are reached; then they fall to 0 as a cosine.
WARM_UP = 50
#: Largest norm of a step's gradient.
CLIP = 1.0


class Finetuning:
    """The training of a fitted network, in place; its first and last convolutions stay as they are.

    Args:
        net: The network; every tile computed, it is the teacher.
        pieces: lq images, (N, num_in_ch, H, W), 0…1, of which squares of side `SIDE` are drawn.
        iters: Steps.
        seed: Of what is drawn.

    Attributes:
        done: Steps that were taken.
        decided: How often the predictor was fitted anew since; kept here to be in the state.
    """

    def __init__(self, net: TileMasked, pieces: Tensor, iters: int, seed: int = 0) -> None:
        self.net, self.pieces, self.iters = net, pieces, iters
        self.done = self.decided = 0
        self.teacher = copy.deepcopy(net).requires_grad_(False).eval()
        self.generator = torch.Generator().manual_seed(seed)
        blocks = [p for block in net.blocks() for p in block.parameters()]
        fitted = [net.constants, *net.substitutes.parameters()]
        self.trained = blocks + fitted
        self.rates = LEARNING_RATE, OWN_LEARNING_RATE
        self.optimizer = torch.optim.Adam(
            [{"params": fitted}, {"params": blocks}], betas=(0.9, 0.99)
        )
        net.requires_grad_(False)
        for parameter in self.trained:
            parameter.requires_grad_()

    def step(self) -> float:
        """Take a step; return its loss. After the last one no parameter learns any more."""
        for group, rate in zip(self.optimizer.param_groups, self.rates, strict=True):
            group["lr"] = rate * _share(self.done, self.iters)
        lq = _drawn(self.pieces, self.generator)
        least, most = DENSITIES
        density = least + (most - least) * torch.rand((), generator=self.generator)
        masks = _masks(self.net, lq, density)
        loss = F.l1_loss(self.net(lq, spa_mask=masks), _every_tile(self.teacher, lq))
        self.optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.trained, CLIP)
        self.optimizer.step()
        self.done += 1
        if self.done == self.iters:
            self.net.requires_grad_(False)
        return loss.item()

    def state_dict(self) -> dict[str, Any]:
        """Return all that another training needs to go on from here, bit for bit."""
        return {
            "net": self.net.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "generator": self.generator.get_state(),
            "done": self.done,
            "decided": self.decided,
        }

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from there.

        Raises:
            LookupError, TypeError, ValueError, RuntimeError, AttributeError: If it is none.
        """
        self.net.load_state_dict(state["net"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.generator.set_state(state["generator"])
        self.done, self.decided = int(state["done"]), int(state["decided"])


@torch.no_grad()
def _masks(net: TileMasked, lq: Tensor, density: Tensor) -> Tensor:
    """Return hard masks, with one threshold for the whole batch."""
    scores = net.predictor(lq)
    if density >= 1:
        return of_tiles(torch.ones_like(scores), *lq.shape[2:])
    tiles = hard_mask(scores, torch.quantile(scores, 1 - density).item())
    return of_tiles(tiles, *lq.shape[2:])


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
