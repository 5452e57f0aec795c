"""The weights that come with the package, and which of them is meant."""

from __future__ import annotations

import os
import re
from pathlib import Path

from smsr_plugin.checkpoints import CheckpointError

#: A file of weights that the user sets with this variable wins over the package's own.
VARIABLE = "SMSR_WEIGHTS"
FOLDER = Path(__file__).parents[1] / "weights"
#: The networks that are taken where none is named, by scale: on Set14 and B100 they reach more dB
#: in less time than SMSR over the whole dial (docs/models). `MODEL` is taken for other scales.
BEST = {2: "rlfn-s", 4: "rlfn"}
MODEL = "smsr"
_NAME = re.compile(r"([a-z0-9-]+)_x(\d)\.safetensors")


def shipped_models() -> dict[str, dict[int, Path]]:
    """Return the files of weights in the package by network and scale, smallest first."""
    names = sorted(path.name for path in FOLDER.glob("*"))
    found: dict[str, dict[int, Path]] = {}
    for match in filter(None, map(_NAME.fullmatch, names)):
        found.setdefault(match[1], {})[int(match[2])] = FOLDER / match[0]
    return found


def shipped_weights(model: str | None = None) -> dict[int, Path]:
    """Return the files of weights in the package by scale, smallest first.

    Args:
        model: Of which network; None takes the one that is best for each scale.
    """
    models = shipped_models()
    if model is not None:
        return models.get(model, {})
    best = {s: models[name][s] for s, name in BEST.items() if s in models.get(name, {})}
    return dict(sorted((models.get(MODEL, {}) | best).items()))


def chosen_weights(
    path: str | os.PathLike[str] | None,
    model: str | None,
    scale: int | None,
    outscale: float | None = None,
) -> Path:
    """Return the file that is meant: one that is named, or the default; see `default_weights`.

    Raises:
        CheckpointError: If a file and a model are named, or as `default_weights`.
    """
    if path is None:
        return default_weights(scale, outscale, model)
    if model is not None:
        raise CheckpointError(
            f"name weights or a model, not both: got {os.fspath(path)} and {model!r}"
        )
    return Path(path)


def default_weights(
    scale: int | None = None, outscale: float | None = None, model: str | None = None
) -> Path:
    """Return the weights to take where no file is named: `SMSR_WEIGHTS`, else the package's own.

    Args:
        scale: Of the package's networks the one for this scale, …
        outscale: … or the smallest that enlarges by at least this; 2 where neither is given.
        model: Which of the package's networks; `SMSR_WEIGHTS` then does not count. By default the
            best for the scale, see `BEST`.

    Raises:
        CheckpointError: If the package has no such network, or none for the scale.
    """
    named = os.environ.get(VARIABLE)
    if named and model is None:
        return Path(named)
    files = shipped_weights(model)
    if not files and model is not None and shipped_models():
        raise CheckpointError(
            f"model must be one of {', '.join(shipped_models())}, the networks in the package, got "
            f"{model!r}"
        )
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
