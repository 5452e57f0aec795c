"""What preparation tells: what was made and kept, and what to write into the option file."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

from smsr_plugin.data.entries import HR_SCALE
from smsr_plugin.data.outputs import Output, State
from smsr_plugin.data.prepare import Prepared
from smsr_plugin.names import printable

_DONE = {
    State.MISSING: "made",
    State.BROKEN: "made again, was incomplete",
    State.WHOLE: "kept",
    State.FOREIGN: "replaced",
}


def report(prepared: Prepared, *, overwritten: bool = False) -> str:
    """Format what was made and kept, and the option lines that use it."""
    lines: list[str] = []
    for output, state in prepared.outputs:
        done = _DONE[State.FOREIGN if overwritten and state is not State.MISSING else state]
        lines.append(f"{printable(output.path)}: {len(output.shapes)} images, {done}")
    outputs = [output for output, _ in prepared.outputs]
    for scale in sorted({output.scale for output in outputs} - {HR_SCALE}):
        lines += ["", f"For scale {scale}, in the option file:", "datasets:"]
        for split, name in (("train", "train"), ("valid", "val")):
            if any(output.split == split for output in outputs):
                lines += [f"  {name}:", *_option_lines(outputs, split, scale)]
    return "\n".join(lines)


def _option_lines(outputs: Sequence[Output], split: str, scale: int) -> list[str]:
    roots = {o.scale: o.path for o in outputs if o.split == split and o.is_lmdb}
    return [
        f"    dataroot_gt: {_yaml_path(roots[HR_SCALE])}",
        f"    dataroot_lq: {_yaml_path(roots[scale])}",
        "    io_backend:",
        "      type: lmdb",
    ]


def _yaml_path(path: Path) -> str:
    text = path.as_posix()
    # A JSON string is a YAML string.
    return text if re.fullmatch(r"[\w/][\w/. -]*\b", text) else json.dumps(text)
