"""Networks of BasicSR's registry, by name, in their standard sizes."""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Mapping
from typing import Any, NamedTuple

from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

from smsr_plugin.training.options.errors import OptionError, suggestion
from smsr_plugin.training.options.machine import check_network_files, check_network_size
from smsr_plugin.training.options.names import (
    BASICSR_SUFFIX,
    IN_CHANNEL_OPTIONS,
    UPSCALE_OPTIONS,
)

#: Options where a constructor has no default, or not that of the published network.
STANDARD_SIZES: Mapping[str, Mapping[str, Any]] = {
    "EDSR": {"num_in_ch": 3, "num_out_ch": 3, "num_feat": 64, "num_block": 16},
    "MSRResNet": {"num_feat": 64, "num_block": 16},
    "SRVGGNetCompact": {"num_feat": 64, "num_conv": 16},
    # M16C64, the largest published; published for the Y channel alone (num_in_ch=num_out_ch=1).
    "ECBSR": {
        "num_in_ch": 3,
        "num_out_ch": 3,
        "num_block": 16,
        "num_channel": 64,
        "with_idt": True,
        "act_type": "prelu",
    },
    "RLFN-S": {"num_feat": 48},
}
#: Published networks that are another registered network in another size.
VARIANTS = {"RLFN-S": "RLFN"}


class Architecture(NamedTuple):
    """A network with what one needs to know to run it."""

    net: nn.Module  #: With fresh weights.
    upscale: int  #: 1 if its constructor knows no scale.
    num_in_ch: int


def build_architecture(
    name: str, options: Mapping[str, Any] | None = None, upscale: int = 2
) -> Architecture:
    """Build a network in its standard size.

    Args:
        name: As in `network_g: type` of an option file, or one of `VARIANTS`.
        options: Constructor arguments that take the place of the standard ones.
        upscale: The scale where `options` do not say it, whatever the constructor calls it; a
            network that knows no scale is built without.

    Raises:
        OptionError: If the name or an option is unknown or does not fit.
    """
    network = _find(name)
    parameters = {
        key: parameter
        for key, parameter in inspect.signature(network).parameters.items()
        if parameter.kind is not inspect.Parameter.VAR_KEYWORD
    }
    chosen = {**STANDARD_SIZES.get(name, {}), **(options or {})}
    upscale_option = next((key for key in UPSCALE_OPTIONS if key in parameters), None)
    if upscale_option is not None:
        chosen.setdefault(upscale_option, upscale)
    for key in chosen:
        if key not in parameters:
            raise OptionError(
                f"{name} has no option {key!r}{suggestion(key, list(parameters))}; "
                f"it has: {', '.join(parameters)}"
            )
    values = {key: chosen.get(key, parameter.default) for key, parameter in parameters.items()}
    absent = [key for key, value in values.items() if value is inspect.Parameter.empty]
    if absent:
        raise OptionError(f"{name} needs a value for {', '.join(absent)}")
    check_network_files(name, network, chosen)
    check_network_size(name, network, chosen)
    try:
        with warnings.catch_warnings():  # an error of one line says all
            warnings.simplefilter("ignore")
            net = network(**chosen)
    except Exception as error:  # whatever a constructor meets in values that it does not check
        raise OptionError(f"{name} cannot be built with {chosen}: {error}") from error
    scale = values[upscale_option] if upscale_option else 1
    if not isinstance(scale, int) or scale < 1:
        raise OptionError(f"{upscale_option}: expected a whole number of at least 1, got {scale!r}")
    num_in_ch = next((values[key] for key in IN_CHANNEL_OPTIONS if key in values), 3)
    return Architecture(net, scale, num_in_ch)


def _find(name: str) -> type[nn.Module]:
    registered = VARIANTS.get(name, name)
    for key in (registered, registered + BASICSR_SUFFIX):
        if key in ARCH_REGISTRY:
            return ARCH_REGISTRY.get(key)
    known = sorted([*VARIANTS, *(key for key, _ in ARCH_REGISTRY)])
    raise OptionError(
        f"no network is called {name!r}{suggestion(name, known)}; known are: {', '.join(known)}"
    )
