"""What `smsr --version` says."""

from __future__ import annotations

import platform

from smsr_plugin.version import __version__


def describe() -> str:
    """Return the version and what decides the speed, a line each; the version comes first."""
    lines = (
        f"smsr_plugin {__version__}",
        _kernels(),
        _torch(),
        f"Python {platform.python_version()}",
    )
    return "\n".join(lines)


def _kernels() -> str:
    try:
        from smsr_plugin import _kernels as kernels

        return f"kernels {kernels.isa()} (of {', '.join(kernels.available())})"
    except (ImportError, ValueError) as error:  # ValueError: an SMSR_ISA that there is not
        return f"kernels none, sparse inference runs in plain PyTorch ({error})"


def _torch() -> str:
    try:
        import torch
    except (ImportError, OSError) as error:
        return f"torch none ({error})"
    return f"torch {torch.__version__}, {torch.get_num_threads()} threads"
