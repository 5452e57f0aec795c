"""Files of weights that BasicSR's networks and losses read by themselves while they are built.

They unpickle them without a look at what is in them; here that look comes first.
"""
# pyright: reportMissingTypeStubs=false

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.training.options.errors import wrong

BASICSR = "basicsr"
#: How arguments end that name such a file: `spynet_path`, `edvr_path`, `dict_path`.
SUFFIX = "path"


def check_network_files(
    section: str, network: Callable[..., Any], options: Mapping[str, Any]
) -> None:
    """Refuse a file that a network of BasicSR would read, if it holds no weights.

    Args:
        section: How errors call the network.
        network: Its class.
        options: Its arguments.

    Raises:
        OptionError: If the file is not there, or is none of tensors alone.
    """
    if network.__module__.partition(".")[0] != BASICSR:
        return  # what the arguments of others mean is not known
    for key, value in options.items():
        if key.endswith(SUFFIX) and isinstance(value, str):
            check_weight_file(f"{section}.{key}", value)


def check_loss_files(section: str, loss: object) -> None:
    """Refuse the file of VGG's weights that BasicSR's perceptual loss would read.

    Args:
        section: How errors call the loss.
        loss: The name of its class.

    Raises:
        OptionError: If the file is there and holds no weights.
    """
    from basicsr.archs.vgg_arch import VGG_PRETRAIN_PATH

    if loss == "PerceptualLoss" and Path(VGG_PRETRAIN_PATH).exists():
        check_weight_file(f"{section}.type", VGG_PRETRAIN_PATH)


def check_weight_file(key: str, value: object) -> None:
    """Read a file as weights, without running what is in it.

    Raises:
        OptionError: If it cannot be read, or is no file of weights; it names the key.
    """
    try:
        read_file(Path(str(value)))
    except CheckpointError as error:
        expected = f"a file of weights (it {error})"
        raise wrong(key, expected, value, "name another file") from error
