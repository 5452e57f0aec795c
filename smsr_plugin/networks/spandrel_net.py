"""Networks that spandrel recognises by their checkpoints; needs the extra `spandrel`."""

from __future__ import annotations

from pathlib import Path

import spandrel
from torch import Tensor, nn

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file

#: Characters of a reason that are kept.
REASON_LENGTH = 200


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
