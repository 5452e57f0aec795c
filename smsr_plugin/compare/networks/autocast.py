"""Dense networks in bfloat16, in PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class Autocast(nn.Module):
    """Runs a network under autocast: convolutions in bfloat16, images from and to float32."""

    def __init__(self, net: nn.Module) -> None:
        super().__init__()
        self.net = net

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", torch.bfloat16):
            return self.net(x).float()
