"""BasicSR in several processes, on CUDA as it is meant to be and on the CPU."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Any

import torch
from basicsr.models.base_model import BaseModel
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel

from smsr_plugin.processes import current
from smsr_plugin.training.options.errors import VALUE_LENGTH, OptionError, wrong
from smsr_plugin.training.options.values import Options


def connect(opt: Options) -> None:
    """Connect the processes of a run: gloo on the CPU, nccl and a device for each on CUDA.

    Takes the place of BasicSR's `init_dist`, which needs CUDA and counts its devices by rank.

    Raises:
        OptionError: If a machine has fewer devices than processes.
        LostProcessError: If a process does not come.
    """
    devices = torch.cuda.device_count()
    if opt["num_gpu"] == 0 or (opt["num_gpu"] == "auto" and devices == 0):
        current().connect("gloo")
        return
    local_rank = int(os.environ.get("LOCAL_RANK", "0"))
    if local_rank >= devices:
        came, advice = f"{local_rank + 1} or more", "write num_gpu: 0 to run on the CPU"
        raise wrong("--nproc-per-node", f"at most {devices}, the CUDA devices here", came, advice)
    torch.cuda.set_device(local_rank)
    current().connect("nccl")


class DistributedModel(BaseModel):
    """What a BasicSR model of any type does differently, because it may be one of several.

    A model whose class says `shares_validation = True` infers its share of the images. Others
    validate in the first process, on the bare network: in its distributed wrapping it would wait
    for those of the other processes.
    """

    nondist_validation: Callable[..., None]

    def model_to_device(self, net: nn.Module) -> nn.Module:
        """As BasicSR's method, which asks for a CUDA device in each distributed training."""
        if not self.opt["dist"] or self.device.type == "cuda":
            return super().model_to_device(net)
        # With features channels-last the gradients are so too, and PyTorch warns of the copies.
        warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
        return DistributedDataParallel(net.to(self.device))

    def load_network(
        self, net: nn.Module, load_path: str, strict: bool = True, param_key: Any = "params"
    ) -> None:
        """As the model's method; BasicSR's tells of weights that do not fit on many lines."""
        try:
            super().load_network(net, load_path, strict, param_key)
        except (KeyError, RuntimeError) as error:
            reason = f"no entry {param_key}" if isinstance(error, KeyError) else _joined(error)
            network = type(self.get_bare_model(net)).__name__
            raise OptionError(f"{load_path} does not fit {network}: {reason}") from error

    def reduce_loss_dict(self, loss_dict: Mapping[str, Tensor]) -> OrderedDict[str, float]:
        """Average losses over the processes, in all of them; BasicSR does so in the first."""
        means = torch.stack([loss.detach().mean() for loss in loss_dict.values()])
        if self.opt["dist"]:
            torch.distributed.all_reduce(means)
            means /= self.opt["world_size"]
        return OrderedDict(zip(loss_dict, means.tolist(), strict=True))

    def dist_validation(self, *args: Any, **kwargs: Any) -> None:
        if getattr(self, "shares_validation", False):
            super().dist_validation(*args, **kwargs)  # type: ignore[misc]
        elif self.opt["rank"] == 0:
            wrapped, self.net_g = self.net_g, self.get_bare_model(self.net_g)
            try:
                self.nondist_validation(*args, **kwargs)
            finally:
                self.net_g = wrapped


def _joined(error: Exception) -> str:
    return " ".join(str(error).split())[:VALUE_LENGTH]
