"""What a pickle of tensors would build, told from its opcodes before anything is unpickled.

A pickle is a program for a machine with a stack and a memo. Here that machine runs without
building anything: of each value it keeps the kind, how deep it nests, and how much it counts with
all that it refers to. Only what `torch.save` writes for state dicts and training states is known;
whatever else the opcodes say is refused.
"""

from __future__ import annotations

from smsr_plugin.checkpoints.pickles.machine import PickleSource, check_pickle
from smsr_plugin.checkpoints.pickles.values import Kind, Limits, Value, damaged

__all__ = ["Kind", "Limits", "PickleSource", "Value", "check_pickle", "damaged"]
