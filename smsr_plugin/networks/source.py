"""Where a network comes from, and the network itself.

A source is sent to the engines' processes, each of which builds its own network from it, so this
module imports nothing heavy before that.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import nn

#: Kinds of sources, with the modules that building the network needs beside the engine's own.
KINDS: Mapping[str, tuple[str, ...]] = {
    "smsr": ("smsr_plugin.networks.forms",),
    "registry": ("smsr_plugin.networks.forms", "smsr_plugin.training.registration"),
    "masked": ("smsr_plugin.networks.forms", "smsr_plugin.checkpoints.masked_networks"),
    "spandrel": ("smsr_plugin.networks.forms", "spandrel"),
}
#: How an SMSR can be run, with what it is called in tables.
FORMS = {"sparse": "sparse", "masked": "masked dense", "twin": "dense twin"}


@dataclass(frozen=True)
class NetworkSource:
    """A network, as plain data.

    Attributes:
        kind: Of `KINDS`: a checkpoint of an SMSR or of another network with masks, a network of
            BasicSR's registry, or a checkpoint that spandrel recognises.
        name: What the network is called, in the registry or by spandrel.
        upscale: Its scale.
        weights: Its checkpoint; None for fresh weights.
        param_key: The entry of the checkpoint that holds the weights; None finds it.
        options: Of a registered network's constructor.
        form: Of an SMSR, one of `FORMS`; empty for other networks.
        threshold: Of an SMSR's mask decision.
        density: The share of pixels that an SMSR with curves is asked to compute; None for its own.
    """

    kind: str
    name: str
    upscale: int
    weights: Path | None = None
    param_key: str | None = None
    options: Mapping[str, Any] = field(default_factory=dict)
    form: str = ""
    threshold: float = 0.0
    density: float | None = None

    @property
    def title(self) -> str:
        """What it is, for tables."""
        return FORMS[self.form] if self.form else self.name

    def load(self) -> nn.Module:
        """Return the network in evaluation mode, as it was published, float32, 0…1.

        Fresh weights are the same at every call.

        Raises:
            CheckpointError, OptionError: If it cannot be.
            ValueError: If it has no curves for a density.
        """
        from smsr_plugin.checkpoints.files import load_weights
        from smsr_plugin.checkpoints.masked_networks import load

        if self.kind in ("smsr", "masked"):
            assert self.weights is not None
            masked = load(self.weights, param_key=self.param_key)
            if self.density is not None:
                masked.set_density(self.density)
            return masked
        if self.kind == "spandrel":
            from smsr_plugin.networks.forms import SpandrelNet

            assert self.weights is not None
            return SpandrelNet(self.weights)
        import torch

        from smsr_plugin.training.registration import build_architecture

        with torch.random.fork_rng(devices=()):
            torch.manual_seed(0)
            net = build_architecture(self.name, self.options, self.upscale).net
        if self.weights is not None:
            load_weights(net, self.weights, param_key=self.param_key)
        return net.requires_grad_(False).eval()

    def build(self, precision: str, backend: str = "", threshold: float | None = None) -> nn.Module:
        """Return the network in its form and precision.

        Args:
            precision: "fp32", "bf16" or, of the sparse form, "int8"; images are float32 in any.
            backend: Of the sparse form, as in `to_sparse`.
            threshold: In place of the source's own.

        Raises:
            ValueError: If the network does not run in "int8" here.
        """
        from smsr_plugin.networks.forms import Autocast, masked_as

        net = self.load()
        if self.form:
            chosen = self.threshold if threshold is None else threshold
            return masked_as(self.form, net, precision, backend, chosen)
        return Autocast(net) if precision == "bf16" else net
