"""From a dense network to its masked form, step by step."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from smsr_plugin.archs.tile_masked import TileMasked
from smsr_plugin.archs.tile_steps import EVENNESS
from smsr_plugin.checkpoints.masked_networks import CLASSES
from smsr_plugin.sparsify.curve import Point, bicubic_psnr, dense_psnr, table
from smsr_plugin.sparsify.finetune import Finetuning
from smsr_plugin.sparsify.fit import (
    BATCH,
    fit_substitutes,
    keep_curve,
    masks_at_all_densities,
)
from smsr_plugin.sparsify.importance import (
    STEPS,
    fit_at_smooth_tiles,
    losses_of_tiles,
    train_predictor,
)
from smsr_plugin.sparsify.photographs import PIECES, Photographs
from smsr_plugin.sparsify.state import State, digest
from smsr_plugin.version import __version__

#: Channels of the narrow path at skipped pixels; it begins at 0, and only training gives it worth.
NARROW = 12
#: Fine-tuning sees so many times the pieces that a fit does.
MORE_PIECES = 24
#: Shares of the fine-tuning before which tiles are measured again, and the predictor fitted to it.
DECIDED = 0.5, 0.85
#: A network may lie so many dB below bicubic interpolation: those trained for looks do.
LOOKS = 3.0
#: The masked form of each network, by its name in BasicSR's registry.
FORMS = {network.dense_name: network for network in CLASSES}


class SparsifyError(ValueError):
    """A network cannot be given masks: one line that says why."""


def masked_form(dense: nn.Module, iters: int, seed: int = 0) -> TileMasked:
    """Return a network with masks, yet to be fitted.

    Args:
        dense: The network, with trained weights.
        iters: Steps of fine-tuning that are to follow.
        seed: Of the predictor's first weights.

    Raises:
        SparsifyError: If its blocks are not known.
    """
    name = type(dense).__name__
    if name not in FORMS:
        raise SparsifyError(
            f"masks are known for {', '.join(sorted(FORMS))}, not for {name}: "
            "smsr_plugin/archs/masked_srvgg_arch.py shows how a network gets them"
        )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = FORMS[name].from_dense(dense, num_narrow=NARROW if iters else 0)
    return net.requires_grad_(False).eval()


def check_dense(dense: nn.Module, photographs: Photographs, scale: int) -> None:
    """Refuse a network far worse than bicubic interpolation: nothing can be learned from it.

    Raises:
        SparsifyError: If it is.
    """
    own = dense_psnr(dense, photographs.judged, scale)
    plain = bicubic_psnr(photographs.judged, scale)
    if not own > plain - LOOKS:
        raise SparsifyError(
            f"{type(dense).__name__} reaches {own:.2f} dB on the photographs, bicubic "
            f"interpolation {plain:.2f} dB: its weights are not trained, or for values of another "
            "range (,img_range=255)"
        )


def card(name: str, source: str, iters: int, net: TileMasked, points: Sequence[Point]) -> str:
    """Return a page in Markdown on what was made, and on the curve of quality against density."""
    trained = f"fine-tuned for {iters:,} steps" if iters else "fitted without training"
    return f"""\
# {name}

{type(net).__name__} x{net.config.upscale}, made by `smsr sparsify` {__version__} of `{source}`,
{trained}. The dense network is the first row. Measured on photographs that were kept aside; the
density is the mean over blocks and images, and one threshold serves all blocks. "From dense" is the
PSNR (Y) against what the dense network gives: it alone counts for networks trained for looks.
Seconds are those of a megapixel of lq in sparse inference, float32, threads of the machine that
fitted it: {torch.get_num_threads()}; other work there makes them longer.

{table(points)}
"""


def facts(dense: nn.Module, photographs: Photographs, iters: int, seed: int) -> dict[str, str]:
    """Return what two runs must have in common to make the same network."""
    return {
        "version": __version__,
        "evenness": f"{EVENNESS:g}",
        "network": digest(dense.state_dict()),
        "photographs": digest({"pieces": photographs.pieces}),
        "--iters": str(iters),
        "--seed": str(seed),
    }


class Fit:
    """Fits a network with masks to its dense form, in place.

    Args:
        net: As `masked_form` returns it.
        pieces: lq images, (N, num_in_ch, H, W), 0…1; `PIECES` of them are fitted to, all of them
            seen by the fine-tuning.
        iters: Steps of fine-tuning.
        seed: Of what is drawn.
        state: Where the fine-tuning is kept, and goes on from if it was interrupted: the result is
            the same, bit for bit.

    Attributes:
        total: Steps in all.
        done: Those of an interrupted run.

    Raises:
        StateError: If there is a state that does not fit.
    """

    def __init__(
        self,
        net: TileMasked,
        pieces: Tensor,
        iters: int = 0,
        seed: int = 0,
        state: State | None = None,
    ) -> None:
        self.net, self.pieces, self.iters, self.seed, self.state = net, pieces, iters, seed, state
        self.some = pieces[:: max(1, len(pieces) // PIECES)]
        batches = -(-len(self.some) // BATCH)
        decided = batches + STEPS
        alone = batches + 2 * (decided + net.config.num_block)
        again = [number for number in map(self._decided_at, range(len(DECIDED))) if number < iters]
        self.total, self.done = alone + iters + len(again) * decided, 0
        self.training: Finetuning | None = None
        if state is not None and state.exists():
            self.training = Finetuning(net, pieces, iters, seed)
            state.restore(self.training)
            self.done = alone + self.training.done + self.training.decided * decided

    def run(self) -> Iterator[str]:
        """Take the steps that are left; yield what was done after each of them."""
        if self.training is None:
            yield from _fit_alone(self.net, self.some, self.seed)
            self.training = Finetuning(self.net, self.pieces, self.iters, self.seed)
        while self.training.done < self.iters:
            if self.training.done == self._decided_at(self.training.decided):
                yield from _decide(self.net, self.some, self.seed)
                self.training.decided += 1
            if self.state is not None:
                self.state.keep(self.training)
            yield f"fine-tuning {self.training.step():.5f}"
        self.net.requires_grad_(False)
        keep_curve(self.net, self.pieces)

    def _decided_at(self, number: int) -> int:
        """Return before which step it is decided for the n-th time again what tiles are worth."""
        return math.ceil(DECIDED[number] * self.iters) if number < len(DECIDED) else self.iters


def _fit_alone(net: TileMasked, pieces: Tensor, seed: int) -> Iterator[str]:
    """Fit masks, constants and substitutes without training what the network computes."""
    for _ in fit_at_smooth_tiles(net, pieces):
        yield "first substitutes"
    yield from _decide(net, pieces, seed, masked=False)
    for _ in fit_substitutes(net, pieces):
        yield "substitutes"
    yield from _decide(net, pieces, seed)
    for _ in fit_substitutes(net, pieces):
        yield "substitutes"


def _decide(net: TileMasked, pieces: Tensor, seed: int, masked: bool = True) -> Iterator[str]:
    """Fit the predictor to what tiles are worth, with masks at many densities or none at all."""
    generator = torch.Generator().manual_seed(seed)
    masks = masks_at_all_densities(net, pieces) if masked else None
    losses: list[Tensor] = []
    for start in range(0, len(pieces), BATCH):
        part = slice(start, start + BATCH)
        of_part = None if masks is None else masks[part]
        losses.append(losses_of_tiles(net, pieces[part], generator, of_part))
        yield "what tiles are worth"
    net.predictor.requires_grad_()
    for loss in train_predictor(net, pieces, torch.cat(losses), seed):
        yield f"predictor {loss:.3f}"
    net.predictor.requires_grad_(False)
