"""The forms and precisions in which networks are run."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from smsr_plugin.archs.dense_twin import DenseTwin
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.sparse import to_sparse


def masked_as(
    form: str, net: nn.Module, precision: str, backend: str = "", threshold: float = 0.0
) -> nn.Module:
    """Return a network with masks in evaluation mode in one of its forms; images are in 0…1.

    `net` is used up: what is returned may be `net` itself, in another precision.

    Args:
        form: "twin" (of an SMSR), "masked" or "sparse".
        net: A network with masks in float32.
        precision: "fp32" or "fp64"; for "twin" and "sparse" also "bf16", which still take and
            return float32.
        backend: Of the sparse form, as in `to_sparse`.
        threshold: A pixel is important where logit 1 − logit 0 exceeds this; sparse form only.

    Raises:
        ValueError: If the form is not known in this precision.
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
