"""Exports of a package that are imported when they are first asked for, and what is not installed.

PyTorch takes more than a second and half a gigabyte to import; what can do without it must not pay
because a package exports something that cannot.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping
from typing import Any

#: By the name of a module, the extra that brings it. What trains is BasicSR with all that it needs.
EXTRAS = {
    "torch": "torch",
    "torchvision": "train",
    "basicsr": "train",
    "lmdb": "train",
    "msgspec": "train",
    "yaml": "train",
    "cv2": "train",
    "jinja2": "report",
    "markupsafe": "report",
    "scipy": "report",
    "skimage": "bench",
    "sklearn": "bench",
    "torchmetrics": "bench",
    "matplotlib": "bench",
    "openvino": "bench",
    "ncnn": "bench",
    "nncf": "bench",
    "pnnx": "bench",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnxruntime": "onnx",
    "spandrel": "spandrel",
    "tensorboard": "tensorboard",
    "av": "video",
}
#: Of the system's libraries that OpenCV needs, how their names begin; an error that was wrapped may
#: not say that they were OpenCV's.
OF_OPENCV = ("libGL", "libgthread", "libglib", "libxcb", "libX11", "libXext")


def exports(
    package: str, homes: Mapping[str, str]
) -> tuple[Callable[[str], Any], Callable[[], list[str]]]:
    """Return `__getattr__` and `__dir__` for a package.

    Args:
        package: Its `__name__`.
        homes: By name of what is exported, the module where it is defined; a name must not be that
            of a module in the package, which would take its place.
    """

    def get(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        try:
            value = getattr(importlib.import_module(homes[name]), name)
        except ModuleNotFoundError as error:
            if (error.name or "").startswith("smsr_plugin"):
                raise
            text = f"{package}.{name}: {advice(error)}"
            raise ModuleNotFoundError(text, name=error.name) from error
        setattr(sys.modules[package], name, value)
        return value

    def names() -> list[str]:
        return sorted({*vars(sys.modules[package]), *homes})

    return get, names


def advice(error: ImportError, extra: str | None = None) -> str:
    """Say in one line why an import failed, and what to install so that it does not.

    Args:
        error: How it failed.
        extra: All that the caller needs; None: the one that brings the missing module.
    """
    reason = " ".join(str(error).split())
    module = (error.name or "").partition(".")[0]
    found = not isinstance(error, ModuleNotFoundError)
    if found and (module == "cv2" or any(library in reason for library in OF_OPENCV)):
        return (
            f"OpenCV cannot be loaded ({reason}): install the system's libgl1 and libglib2.0-0, or "
            "pip install --force-reinstall opencv-python-headless"
        )
    if not found and module in EXTRAS:
        return f"{module} is not installed: pip install 'smsr_plugin[{extra or EXTRAS[module]}]'"
    return f"a package cannot be loaded ({reason}): install it, or smsr_plugin again"
