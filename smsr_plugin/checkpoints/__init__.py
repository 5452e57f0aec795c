"""Checkpoints, read safely: the released weights, BasicSR's networks, safetensors; and others.

`shipped` and `converted` do without PyTorch.
"""


class CheckpointError(ValueError):
    """A checkpoint cannot be read, does not hold an SMSR network, or cannot be written."""
