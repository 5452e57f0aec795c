"""Converters: functions that turn a trained network into one for inference, by name.

An option file asks for one in its validation section:

    val:
      converter:
        type: to_sparse
        precision: fp32
        threshold: 0
"""

from __future__ import annotations

from collections.abc import Mapping
from copy import deepcopy
from typing import Any

from basicsr.utils.registry import Registry
from torch import nn

CONVERTER_REGISTRY = Registry("converter")


def convert(net: nn.Module, opt: Mapping[str, Any]) -> nn.Module:
    """Return `net` converted as `opt` says; `net` itself is not changed.

    Args:
        net: A trained network.
        opt: `type`, the name of a registered converter, and its keyword arguments.

    Raises:
        ValueError: If there is no such converter or it does not know an argument.
    """
    kwargs = deepcopy(dict(opt))
    name = kwargs.pop("type", None)
    if name not in CONVERTER_REGISTRY:
        known = sorted(CONVERTER_REGISTRY.keys())
        raise ValueError(f"val.converter.type must be one of {known}, got {name!r}")
    try:
        return CONVERTER_REGISTRY.get(name)(net, **kwargs)
    except TypeError as error:
        raise ValueError(f"val.converter: {error}") from error
