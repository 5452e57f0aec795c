"""Import this before basicsr: it puts back the torchvision module that BasicSR 1.4.2 imports."""

from __future__ import annotations

import importlib
import sys
from types import ModuleType

_MODULE = "torchvision.transforms.functional_tensor"


def install_torchvision_shim() -> None:
    """Provide `rgb_to_grayscale` under its old module name where torchvision has dropped it."""
    try:
        importlib.import_module(_MODULE)
    except ModuleNotFoundError:
        from torchvision.transforms.functional import rgb_to_grayscale

        shim = ModuleType(_MODULE)
        shim.__dict__["rgb_to_grayscale"] = rgb_to_grayscale
        sys.modules[_MODULE] = shim


install_torchvision_shim()
