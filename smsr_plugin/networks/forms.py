"""Networks as engines run them: in their forms and precisions, or as spandrel recognises them."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.sparse import to_sparse

if TYPE_CHECKING:
    import spandrel

#: Characters of a reason that are kept.
REASON_LENGTH = 200


def masked_as(
    form: str, net: nn.Module, precision: str, backend: str = "", threshold: float = 0.0
) -> nn.Module:
    """Return a network with masks in evaluation mode in one of its forms; images are in 0…1.

    `net` is used up: what is returned may be `net` itself, in another precision.

    Args:
        form: "twin" (of an SMSR), "masked" or "sparse".
        net: A network with masks in float32.
        precision: "fp32" or "fp64"; for "twin" and "sparse" also "bf16", for "sparse" also
            "int8", which still take and return float32.
        backend: Of the sparse form, as in `to_sparse`.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this; sparse form only.

    Raises:
        ValueError: If the form is not known in this precision, or as `to_sparse`.
    """
    if form == "sparse":
        return to_sparse(net, precision, threshold, backend)
    if form == "twin" and isinstance(net, SMSR):
        # Folded in float64, so that each weight is rounded once.
        twin = DenseTwin(net.double())
        if precision == "fp64":
            return twin
        twin = twin.float()
        if precision == "bf16":
            twin.body.to(torch.bfloat16)
        return twin
    if form != "masked" or precision not in ("fp32", "fp64"):
        raise ValueError(f"there is no form {form!r} in {precision}")
    return net.double() if precision == "fp64" else net


class Autocast(nn.Module):
    """Runs a network under autocast: convolutions in bfloat16, images from and to float32."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x).float()


class SpandrelNet(nn.Module):
    """A super-resolution network as spandrel calls it: padded as it needs, clamped to 0…1.

    Args:
        weights: A checkpoint. It is read as safely as our own, and then recognised by its keys.

    Raises:
        CheckpointError: If the file cannot be read, or is of no network that spandrel knows and
            that super-resolves RGB images.
    """

    def __init__(self, weights: Path) -> None:
        super().__init__()
        try:
            found = _recognise(read_file(weights).root)
        except CheckpointError as error:
            raise CheckpointError(f"{weights}: {error}") from error
        self.name, self.upscale = found.architecture.name, found.scale
        self.descriptor = found
        self.model = found.model
        self.requires_grad_(False).eval()

    def forward(self, x: Tensor) -> Tensor:
        """Map lq images (B, 3, H, W), 0…1, to (B, 3, H·upscale, W·upscale)."""
        return self.descriptor(x)


def _recognise(root: object) -> spandrel.ImageModelDescriptor[nn.Module]:
    import spandrel  # needs the extra `spandrel`

    if not isinstance(root, dict):
        raise CheckpointError(f"holds a {type(root).__name__} where a dict of tensors was expected")
    try:
        state = spandrel.canonicalize_state_dict(root)
        found = spandrel.ModelLoader(device="cpu").load_from_state_dict(state)
    except spandrel.UnsupportedModelError as error:
        raise CheckpointError("spandrel does not recognise it") from error
    except Exception as error:  # what detection and construction meet in a file of any content
        reason = " ".join(str(error).split())[:REASON_LENGTH] or type(error).__name__
        raise CheckpointError(f"spandrel cannot load it: {reason}") from error
    channels = (found.input_channels, found.output_channels)
    if not isinstance(found, spandrel.ImageModelDescriptor) or channels != (3, 3):
        raise CheckpointError(f"{found.architecture.name} does not map RGB images to RGB images")
    return found
