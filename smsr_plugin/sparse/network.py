"""SparseNetwork: the frozen network that infers with skipped computation."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from smsr_plugin.archs.checks import check_range, check_threshold
from smsr_plugin.archs.masked import MaskedConfig, check_input
from smsr_plugin.archs.program import Program
from smsr_plugin.complexity.masked_cost import masked_cost
from smsr_plugin.sparse import operator
from smsr_plugin.sparse.backend import Backend, NativeBackend, check_threads
from smsr_plugin.sparse.native.arithmetic import arithmetic_for
from smsr_plugin.sparse.native.engine import NativeEngine
from smsr_plugin.sparse.native.kernels import Kernels, load_kernels, say_slow
from smsr_plugin.sparse.native.limits import obstacle_to
from smsr_plugin.sparse.reference.engine import ReferenceEngine
from smsr_plugin.sparse.stats import SparseStats
from smsr_plugin.timing import Timer

#: The dtypes of weights that there are native kernels for, and what these call them.
NATIVE_DTYPES = {torch.float32: "fp32", torch.bfloat16: "bf16"}


@dataclass(frozen=True)
class Held:
    """The place of a weight in a program, by the name of the parameter that holds it."""

    name: str
    shape: tuple[int, ...]


class SparseNetwork(nn.Module):
    """Takes and returns what a network with masks does in evaluation. Made by `to_sparse`.

    It holds the weights of the network's program, which are copies and cannot be trained, and
    chooses what runs it.

    Attributes:
        config: The configuration of the network it was made from.
        precision: "fp32", "fp64", "bf16" or "int8".
        backend: "native", "reference" (plain PyTorch), or "auto": native where that can be.
        cost: What it costs, as a function of the masks' densities.
    """

    def __init__(
        self,
        program: Program[Tensor],
        config: MaskedConfig,
        precision: str,
        threshold: float,
        backend: str,
    ) -> None:
        super().__init__()
        self.config, self.precision = config, precision
        self.threshold, self.backend = threshold, backend
        self.cost = masked_cost(program)
        held = [self._hold(name, weight) for name, weight in program.weights()]
        self._structure: Program[Held] = program.with_weights(held)
        self._ready: dict[str, tuple[object, Backend]] = {}
        self._limits: dict[tuple[Kernels, str], str] = {}
        self._handle = operator.register(self)
        self.register_load_state_dict_post_hook(SparseNetwork._forget)
        self.eval()

    @property
    def threshold(self) -> float:
        """A pixel is important where logit 1 − logit 0 exceeds this; may be changed.

        Raises:
            ValueError: On setting it, if it is not a number.
        """
        return self._threshold

    @threshold.setter
    def threshold(self, value: float) -> None:
        self._threshold = check_threshold(value)

    def _hold(self, name: str, weight: Tensor) -> Held:
        self.register_parameter(name, nn.Parameter(weight.detach().clone(), requires_grad=False))
        return Held(name, tuple(weight.shape))

    @property
    def program(self) -> Program[Tensor]:
        """What it computes, with the weights as they are now."""
        return self._structure.map(lambda _, held: self.get_parameter(held.name))

    @property
    def dense_channels(self) -> list[list[int]]:
        """The number of dense output channels of each masked convolution, by mask."""
        return [list(counts) for counts in self.cost.dense_channels]

    @property
    def dtype(self) -> torch.dtype:
        """The dtype of the weights."""
        return next(self.parameters()).dtype

    @property
    def device(self) -> torch.device:
        """The device of the weights."""
        return next(self.parameters()).device

    def train(self, mode: bool = True) -> SparseNetwork:
        """Refuse to train: the weights are copies.

        Raises:
            RuntimeError: If `mode` is True.
        """
        if mode:
            raise RuntimeError("SparseNetwork only infers; train the network it was made from")
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
            TypeError: If `x` is no tensor of floating-point numbers.
            ValueError: If the shape of `x` or `spa_mask` does not fit, or `x` is in 0…255.
            RuntimeError: If the backend is "native" and the kernels cannot run this, or in a forked
                process that asked for several threads.
        """
        check_input("the network", x, self.config, spa_mask)
        sr, found = operator.sparse_network(x, spa_mask, self._handle)
        if not return_stats:
            return sr
        return sr, SparseStats.of(found, self.cost)

    def infer(self, x: Tensor, spa_mask: Tensor | None) -> tuple[Tensor, Tensor]:
        """Compute what `forward` returns, with shapes known to fit; sr and masks (B, K, H, W)."""
        check_threads()
        check_range("the network", x)
        return self._backend_for(x)(x, spa_mask, self.threshold)

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
        check_input("the network", x, self.config, spa_mask)
        check_threads()
        backend = self._backend_for(x)
        if not isinstance(backend, NativeBackend):
            raise RuntimeError("only the native backend can be broken down into parts")
        timer = Timer()
        backend(x, spa_mask, self.threshold, timer)
        return timer

    @property
    def runs_native(self) -> bool:
        """Whether the native kernels take this network and float32 images on the CPU."""
        return self.backend != "reference" and not self.obstacle

    @property
    def obstacle(self) -> str:
        """What keeps the native kernels from this network and float32 images, or nothing."""
        return self._obstacle(torch.empty(0), load_kernels())

    def bytes_needed(self, height: int, width: int) -> int:
        """Return what a run of an lq image on the native kernels takes if all is important.

        Raises:
            RuntimeError: If they cannot run this network.
        """
        return self._engine().bytes_needed(height, width, torch.get_num_threads())

    @property
    def has_bands(self) -> bool:
        """Whether the native kernels compute large images in bands, which need less memory.

        Raises:
            RuntimeError: If they cannot run this network.
        """
        return self._engine().has_bands

    def _engine(self) -> NativeEngine:
        backend = self._backend_for(torch.empty(0))
        if not isinstance(backend, NativeBackend):
            raise RuntimeError("only of a run on the native kernels it is known what it needs")
        return backend.engine

    def _backend_for(self, x: Tensor) -> Backend:
        """Return what runs `x`, ready.

        Raises:
            RuntimeError: If the backend is "native" and the kernels cannot run this.
        """
        obstacle, kernels = "the backend is the reference", load_kernels()
        if self.backend != "reference":
            obstacle = self._obstacle(x, kernels)
            if kernels is not None and not obstacle:
                return self._made_ready("native", kernels)
        if self.backend == "native":
            raise RuntimeError(f'backend="native" cannot be used: {obstacle}')
        if self._native_precision == "int8":
            raise RuntimeError(f'precision="int8" cannot be used: {obstacle}')
        if self.backend != "reference" and kernels is not None:  # else that has been said
            say_slow(obstacle)
        return self._made_ready("reference", None)

    def _obstacle(self, x: Tensor, kernels: Kernels | None) -> str:
        """Say what keeps `x` from the native kernels, or nothing."""
        for what, device in (("input", x.device), ("network", self.device)):
            if device.type != "cpu":
                return f"the kernels run on the CPU, and the {what} is on {device}"
        if x.dtype == torch.float64 or self.dtype not in NATIVE_DTYPES:
            return f"there are no kernels for weights in {self.dtype} and an input in {x.dtype}"
        if kernels is None:
            return "they were not built when smsr_plugin was installed"
        precision = self._native_precision
        if (kernels, precision) not in self._limits:  # which is known from the structure alone
            self._limits[kernels, precision] = obstacle_to(self._structure, kernels, precision)
        return self._limits[kernels, precision]

    @property
    def _native_precision(self) -> str:
        """What the kernels compute in, by the dtype of the weights, where they have one for it."""
        return "int8" if self.precision == "int8" else NATIVE_DTYPES.get(self.dtype, "")

    def _made_ready(self, kind: str, kernels: Kernels | None) -> Backend:
        """Prepare the weights, or return what was prepared since they last changed."""
        state = weights_state(self._parameters.values())
        if kind not in self._ready or self._ready[kind][0] != state:
            program = self.program
            if kernels is None:
                backend: Backend = ReferenceEngine(program)
            else:
                packed = program.map(lambda _, weight: weight.detach().double().numpy())
                arithmetic = arithmetic_for(self._native_precision, kernels)
                backend = NativeBackend(program, NativeEngine(packed, kernels, arithmetic))
            self._ready[kind] = state, backend
        return self._ready[kind][1]

    def _forget(self, *_: object) -> None:
        self._ready.clear()

    def __getstate__(self) -> dict[str, Any]:
        return {**self.__dict__, "_ready": {}, "_limits": {}, "_handle": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        self._handle = operator.register(self)

    def extra_repr(self) -> str:
        return (
            f"precision={self.precision}, threshold={self.threshold}, backend={self.backend}, "
            f"dense_channels={self.dense_channels}"
        )


def weights_state(weights: Iterable[Tensor | None]) -> object:
    """Return something that compares unequal after one of the weights has changed.

    Tensors made in inference mode do not count their changes: only their replacement is seen.
    """
    return [
        (w.data_ptr(), w.dtype, 0 if w.is_inference() else w._version)
        for w in weights
        if w is not None
    ]
