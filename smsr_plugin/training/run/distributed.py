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
from smsr_plugin.training.errors import wrong
from smsr_plugin.training.model.smsr_model import SMSRModel
from smsr_plugin.training.options.file import Options

basicsr_model_to_device = BaseModel.model_to_device


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


def model_to_device(model: BaseModel, net: nn.Module) -> nn.Module:
    """As BasicSR's method, which asks for a CUDA device in each distributed training."""
    if not model.opt["dist"] or model.device.type == "cuda":
        return basicsr_model_to_device(model, net)
    # With features channels-last the gradients are so too, and PyTorch warns that it copies them.
    warnings.filterwarnings("ignore", "Grad strides do not match bucket view strides")
    return DistributedDataParallel(net.to(model.device))


def reduce_loss_dict(model: BaseModel, losses: Mapping[str, Tensor]) -> OrderedDict[str, float]:
    """Average losses over the processes, in all of them; BasicSR's method does so in the first."""
    means = torch.stack([loss.detach().mean() for loss in losses.values()])
    if model.opt["dist"]:
        torch.distributed.all_reduce(means)
        means /= model.opt["world_size"]
    return OrderedDict(zip(losses, means.tolist(), strict=True))


def validate_in_one_process(model: Any) -> None:
    """Let a model other than SMSRModel validate in the first process, on the bare network.

    SMSRModel shares out the images. BasicSR's own models do not, and run the network in its
    distributed wrapping, which would wait for the other processes.

    Args:
        model: A model that was just built; its method `dist_validation` is replaced.
    """
    if isinstance(model, SMSRModel):
        return
    validate: Callable[..., None] = model.nondist_validation

    def dist_validation(*args: Any, **kwargs: Any) -> None:
        if model.opt["rank"] != 0:
            return
        wrapped, model.net_g = model.net_g, model.get_bare_model(model.net_g)
        try:
            validate(*args, **kwargs)
        finally:
            model.net_g = wrapped

    model.dist_validation = dist_validation
