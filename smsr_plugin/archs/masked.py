"""What a network with masks is: all that the rest of the package knows of one.

In each block a spatial mask tells which pixels are important: there all channels are computed, and
elsewhere only those that a channel mask calls dense. In training the masks are what the network
learns; in evaluation they are hard, and `MaskedNetwork.program` says what is left to compute.
`docs/adding.md` tells how to add one.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_batch
from smsr_plugin.archs.density import POINTS, logits_at
from smsr_plugin.archs.gumbel import MaskNoise, MaskSeeds
from smsr_plugin.archs.program import Program


class MaskedOutput(NamedTuple):
    """The result of a forward pass together with the masks that made it."""

    sr: Tensor  #: (B, num_out_ch, H·upscale, W·upscale), 0…1 (not clamped)
    spa_mask: Tensor  #: (B, K, H, W), one spatial mask per block, in 0…1, 1 = important
    ch_mask: Tensor  #: (1, K, C, L), the channel masks, in 0…1, 1 = sparse
    logits: Tensor | None  #: (B, K, H, W), logit 1 − logit 0; None where the masks were given


class MaskedConfig(Protocol):
    """What determines the shape of a network with masks.

    Attributes:
        num_in_ch, num_out_ch: Channels of the lq image and of sr.
        num_feat, num_layer, num_block: C, L and K of the masks.
        upscale: How many times sr is larger.
    """

    @property
    def num_in_ch(self) -> int: ...
    @property
    def num_out_ch(self) -> int: ...
    @property
    def num_feat(self) -> int: ...
    @property
    def num_layer(self) -> int: ...
    @property
    def num_block(self) -> int: ...
    @property
    def upscale(self) -> int: ...


class MaskedNetwork(nn.Module, ABC):
    """A network with masks.

    Attributes:
        config: What determines its shape.
        density_curve: See `smsr_plugin.archs.density`, (K, POINTS); None unless trained with
            densities. It comes with the weights, or not.
    """

    config: MaskedConfig
    density_curve: Tensor | None

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("density_curve", None)

    @property
    def curve_shape(self) -> tuple[int, int]:
        """The shape of `density_curve`, where there is one."""
        return self.config.num_block, POINTS

    @property
    def optional_shapes(self) -> dict[str, tuple[int, ...]]:
        """The shapes of the buffers that come with the weights or not."""
        return {"density_curve": self.curve_shape}

    def _load_from_state_dict(  # pyright: ignore[reportIncompatibleMethodOverride]
        self, state_dict: Any, prefix: str, *args: Any
    ) -> None:
        like = next(self.parameters())
        for name, shape in self.optional_shapes.items():
            setattr(self, name, like.new_zeros(shape) if prefix + name in state_dict else None)
        super()._load_from_state_dict(state_dict, prefix, *args)

    @abstractmethod
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
        """Super-resolve a batch.

        Args:
            x: lq images, (B, num_in_ch, H, W), 0…1, any H and W from 1.
            tau: Temperature of the soft masks; used in training only.
            threshold: A pixel is important where logit 1 − logit 0 exceeds this; used in
                evaluation only.
            spa_mask: Spatial masks (B, K, H, W) to use in place of the predicted ones.
            return_masks: Return `MaskedOutput` in place of the image alone.
            noise: Of the soft masks; used in training only. None to draw it.
            straight_through: In training, take hard masks whose gradient is the sigmoid's, and
                channel masks without one, in place of soft masks.

        Returns:
            (B, num_out_ch, H·upscale, W·upscale), about 0…1, not clamped.

        Raises:
            ValueError: If the shape of `x` or `spa_mask` does not fit.
        """

    def draw_noise(self, lq: Tensor, seeds: MaskSeeds | None = None) -> MaskNoise:
        """Draw the noise of the soft masks for a batch (B, num_in_ch, H, W)."""
        return MaskNoise.draw(self.config, lq, seeds)

    @abstractmethod
    def program(self) -> Program[Tensor]:
        """Return what the network computes in evaluation, for the engine.

        The weights are in the dtype of the network's, and may share memory with them.
        """

    def set_density(self, density: float) -> None:
        """Let threshold 0 compute a share of the pixels, 0…1, if the network can tell how.

        Raises:
            ValueError: If it cannot, or `density` is outside 0…1.
        """
        raise ValueError(
            f"{type(self).__name__} keeps no curves by which to set a density of {density}"
        )


class DensityNetwork(MaskedNetwork):
    """A network with masks whose density a training can set, instead of learning it.

    That is `train.masks` of an option file: `smsr_plugin.training.model.mask_training`.
    """

    @abstractmethod
    def shift_logits(self, amount: Tensor) -> None:
        """Subtract an amount from the logits of each block, (K,): the density falls as it rises."""

    @abstractmethod
    def reset_logits(self) -> None:
        """Take back what was ever subtracted."""

    @abstractmethod
    def predictor_weights(self) -> Iterator[nn.Parameter]:
        """Yield the weights that the spatial masks follow from."""

    @abstractmethod
    def fix_channel_masks(self) -> None:
        """Keep the channel masks as they are: hard masks give their logits no gradient."""

    @abstractmethod
    def first_weights(self) -> None:
        """Draw the weights that a short training begins with; every pixel is computed."""

    def set_density(self, density: float) -> None:
        """Let threshold 0 compute a share of the pixels, by the curves kept from training.

        It is the mean share over images like those of the training; each image has its own.

        Args:
            density: In 0…1; at 1 every pixel is computed.

        Raises:
            ValueError: If the network has no curves, or `density` is outside 0…1.
        """
        self.shift_logits(logits_at(self.density_curve, density))


def program_of(
    net: nn.Module,
    make: Callable[[dict[str, NDArray[np.float64]]], Program[NDArray[np.float64]]],
    stand_in: Callable[[str, Tensor], NDArray[np.float64]] = lambda _, entry: np.ones(entry.shape),
) -> Program[Tensor]:
    """Return the program that `make` makes of a state dict in NumPy, in the network's own dtype.

    Args:
        net: The network; its first parameter tells dtype and device.
        make: Makes the program.
        stand_in: What entries without values (on the meta device) count as, by their names.
    """
    like = next(net.parameters())
    state = {
        name: stand_in(name, entry)
        if entry.is_meta
        else entry.detach().double().cpu().contiguous().numpy()
        for name, entry in net.state_dict().items()
    }
    return make(state).map(
        lambda _, weight: (
            torch.empty(weight.shape, dtype=like.dtype, device="meta")
            if like.is_meta
            else torch.from_numpy(weight).to(like.device, like.dtype)
        )
    )


def unwrapped(net: nn.Module) -> nn.Module:
    """Return the network inside DataParallel or DistributedDataParallel."""
    if isinstance(net, nn.DataParallel | nn.parallel.DistributedDataParallel):
        return net.module
    return net


def as_masked(net: nn.Module, what: str) -> MaskedNetwork:
    """Return `net`, known to have masks.

    Args:
        net: Any network, perhaps wrapped for several devices or processes.
        what: Needs it, for the message: "to_sparse converts".

    Raises:
        TypeError: If it has no masks.
    """
    net = unwrapped(net)
    if not isinstance(net, MaskedNetwork):
        raise TypeError(
            f"{what} a network with masks, such as SMSR; {type(net).__name__} has none "
            "(smsr_plugin.archs.masked.MaskedNetwork says what is needed)"
        )
    return net


def is_traced() -> bool:
    """Tell whether the network is run to record a graph, not to compute."""
    tracing = torch.jit.is_tracing()  # pyright: ignore[reportPrivateImportUsage]
    return tracing or torch.compiler.is_compiling()


def check_input(
    network: str, x: Tensor, config: MaskedConfig, spa_mask: Tensor | None = None
) -> None:
    """Raise unless `x` is a batch of images (and `spa_mask` masks) for a network of that name.

    Raises:
        TypeError, ValueError: As `check_batch`, or if the masks do not fit.
    """
    check_batch(network, x, config.num_in_ch)
    if spa_mask is not None:
        expected = (x.shape[0], config.num_block, *x.shape[2:])
        if tuple(spa_mask.shape) != expected:
            raise ValueError(
                f"spa_mask must have shape (B, K, H, W) = {expected}, got {tuple(spa_mask.shape)}"
            )
