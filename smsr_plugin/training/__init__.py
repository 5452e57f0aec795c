"""Training and testing in BasicSR: the only folder that knows it.

Importing the package puts the torchvision shim in place, without which BasicSR cannot be imported,
and registers the package's networks, models, losses and data sets in BasicSR: after it BasicSR's
own `train_pipeline` and `test_pipeline` find them in option files.
"""

import importlib
import sys
from types import ModuleType

FUNCTIONAL_TENSOR = "torchvision.transforms.functional_tensor"


def install_torchvision_shim() -> None:
    """Put back the module that BasicSR 1.4.2 imports `rgb_to_grayscale` from, where it is gone."""
    try:
        importlib.import_module(FUNCTIONAL_TENSOR)
    except ModuleNotFoundError:
        from torchvision.transforms.functional import rgb_to_grayscale

        shim = ModuleType(FUNCTIONAL_TENSOR)
        shim.__dict__["rgb_to_grayscale"] = rgb_to_grayscale
        sys.modules[FUNCTIONAL_TENSOR] = shim


install_torchvision_shim()  # before all that imports BasicSR

from smsr_plugin.training.registration import import_inherited, register_all  # noqa: E402

register_all()
import_inherited()
