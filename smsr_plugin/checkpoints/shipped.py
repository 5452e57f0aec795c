"""The weights that come with the package, and which of them is meant."""

from __future__ import annotations

import os
import re
from pathlib import Path

from smsr_plugin.checkpoints.errors import CheckpointError

#: A file of weights that the user sets with this variable wins over the package's own.
VARIABLE = "SMSR_WEIGHTS"
FOLDER = Path(__file__).parents[1] / "weights"
_NAME = re.compile(r"smsr_x(\d)\.safetensors")


def shipped_weights() -> dict[int, Path]:
    """Return the files of weights in the package by scale, smallest first."""
    found = {int(m[1]): path for path in FOLDER.glob("*") if (m := _NAME.fullmatch(path.name))}
    return dict(sorted(found.items()))


def default_weights(scale: int | None = None, outscale: float | None = None) -> Path:
    """Return the weights to take where no file is named: `SMSR_WEIGHTS`, else the package's own.

    Args:
        scale: Of the package's networks the one for this scale, …
        outscale: … or the smallest that enlarges by at least this; 2 where neither is given.

    Raises:
        CheckpointError: If the package has no network for the scale.
    """
    named = os.environ.get(VARIABLE)
    if named:
        return Path(named)
    files = shipped_weights()
    if not files:
        raise CheckpointError(
            f"the package was built without its weights in {FOLDER}: name a file, or set {VARIABLE}"
        )
    if scale is None:
        scale = next((s for s in files if s >= (outscale or 2)), max(files))
    if scale not in files:
        raise CheckpointError(
            f"scale must be one of {', '.join(map(str, files))}, those of the weights in the "
            f"package, got {scale}"
        )
    return files[scale]
