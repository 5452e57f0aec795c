"""BasicSR's registries: what of this package enters them, and of the user's own modules.

Networks are built of them by name, in their standard sizes.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
import traceback
import warnings
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, cast

from basicsr.utils.registry import (
    ARCH_REGISTRY,
    DATASET_REGISTRY,
    LOSS_REGISTRY,
    MODEL_REGISTRY,
    Registry,
)
from torch import nn

from smsr_plugin.archs.carn_arch import CARN
from smsr_plugin.archs.imdn_arch import IMDN
from smsr_plugin.archs.mask_losses import DetailLoss, SparsityLoss
from smsr_plugin.archs.pan_arch import PAN
from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.span_arch import SPAN
from smsr_plugin.checkpoints.masked_networks import CLASSES
from smsr_plugin.names import printable
from smsr_plugin.sparse import to_sparse
from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset
from smsr_plugin.training.model.smsr_model import SMSRModel
from smsr_plugin.training.options.errors import OptionError, suggestion
from smsr_plugin.training.options.machine import check_network
from smsr_plugin.training.options.names import (
    CONVERTER_REGISTRY,
    IN_CHANNEL_OPTIONS,
    UPSCALE_OPTIONS,
    find,
    names,
)

#: (registry, object); each is found in option files under its own `__name__`.
ENTRIES: tuple[tuple[Registry, Any], ...] = (
    (ARCH_REGISTRY, SMSR),
    (ARCH_REGISTRY, RLFN),
    *((ARCH_REGISTRY, network) for network in CLASSES),
    (ARCH_REGISTRY, IMDN),
    (ARCH_REGISTRY, PAN),
    (ARCH_REGISTRY, CARN),
    (ARCH_REGISTRY, SPAN),
    (MODEL_REGISTRY, SMSRModel),
    (LOSS_REGISTRY, SparsityLoss),
    (LOSS_REGISTRY, DetailLoss),
    (DATASET_REGISTRY, CheckedPairedImageDataset),
    (CONVERTER_REGISTRY, to_sparse),
)

#: Names them for the processes that a command starts, parted as in PATH.
VARIABLE = "SMSR_IMPORT"

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


def register_all() -> None:
    """Register every entry that is not yet registered.

    Raises:
        RuntimeError: If something else already holds one of the names.
    """
    for registry, entry in ENTRIES:
        name = entry.__name__
        if name not in registry:
            registry.register(entry)
        elif (present := registry.get(name)) is not entry:
            raise RuntimeError(
                f"cannot register smsr_plugin's {name}: {present!r} of module "
                f"{present.__module__} is already registered under this name; rename or do not "
                "import that one (after importlib.reload, restart Python)"
            )


def import_user_modules(names: Iterable[str]) -> None:
    """Import modules, here and in the processes that this one starts.

    Args:
        names: Of modules that Python finds, or paths of files that end in `.py`.

    Raises:
        OptionError: If one cannot be imported, with the line at fault.
    """
    names = list(names)
    for name in names:
        try:
            _import(name)
        except Exception as error:  # whatever a stranger's module raises
            raise OptionError(f"--import {printable(name)}: {_reason(error)}") from error
    if names:
        os.environ[VARIABLE] = os.pathsep.join(map(_absolute, names))


def import_inherited() -> None:
    """Import what the process that started this one has imported."""
    names = os.environ.get(VARIABLE)
    import_user_modules(names.split(os.pathsep) if names else ())


def _import(name: str) -> None:
    if not name.endswith(".py"):
        importlib.import_module(name)
        return
    path = Path(name).resolve(strict=True)
    if path.stem in sys.modules:
        if getattr(sys.modules[path.stem], "__file__", None) == str(path):
            return
        raise ImportError(f"a module {path.stem} is there already: give the file another name")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None or spec.loader is None:
        raise ImportError("is no Python file")
    module = sys.modules[path.stem] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[path.stem]
        raise


def _absolute(name: str) -> str:
    return str(Path(name).resolve()) if name.endswith(".py") else name


def _reason(error: Exception) -> str:
    """Return type and message, and of an error inside a module its file and line."""
    if isinstance(error, OSError):
        return error.strerror or str(error)
    text = " ".join(f"{type(error).__name__}: {error}".split())
    last = traceback.extract_tb(error.__traceback__)[-1]
    is_inside = last.filename.endswith(".py") and "importlib" not in last.filename
    if isinstance(error, SyntaxError) or not is_inside or last.filename == __file__:
        return text
    return f"{text} ({Path(last.filename).name}, line {last.lineno})"


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
    check_network(name, network, chosen)
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
    found = find("network", VARIANTS.get(name, name))
    if found is None:
        known = sorted([*VARIANTS, *names("network")])
        raise OptionError(
            f"no network is called {name!r}{suggestion(name, known)}; known are: {', '.join(known)}"
        )
    return cast(type[nn.Module], found)
