"""The kernels as on another processor, for what is said of it; they compute nothing."""

from __future__ import annotations

from typing import Any

import pytest

from smsr_plugin.sparse.native.kernels import load_kernels

built = pytest.mark.skipif(load_kernels() is None, reason="the native kernels were not built")
runs_int8 = pytest.mark.skipif(
    not getattr(load_kernels(), "has_bytes", bool)(), reason="there are no kernels for int8 here"
)
#: Where those that need them ask for the kernels.
USERS = ("runtime", "upscaling.loading", "sparse.network")


class Pretended:
    """Kernels that say of which instruction set they are."""

    MAX_CHANNELS = 1024

    def __init__(self, isa: str) -> None:
        self._isa = isa

    def isa(self) -> str:
        return self._isa

    def has_half(self) -> bool:
        return self._isa in ("avx512_bf16", "amx", "neon_bf16")

    def has_bytes(self) -> bool:
        return self._isa == "amx"

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(f"{name} is used although the network does not run")


def pretend(monkeypatch: pytest.MonkeyPatch, isa: str | None) -> None:
    """Let the package find kernels of an instruction set, or none."""
    found = None if isa is None else Pretended(isa)
    for user in USERS:
        monkeypatch.setattr(f"smsr_plugin.{user}.load_kernels", lambda: found)
