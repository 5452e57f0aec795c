"""Commands of `smsr` as functions of their arguments, which return the exit code."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smsr_plugin.cli.main import main


def _command(name: str) -> Callable[[Sequence[str]], int]:
    return lambda arguments: main([name, *arguments])


train, run_test, flops, prepare, convert = map(
    _command, ("train", "test", "flops", "prepare", "convert")
)
