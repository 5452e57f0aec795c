"""LPIPS (Zhang et al., CVPR 2018) and DISTS (Ding et al., TPAMI 2020), computed by TorchMetrics.

Both compare features of a network that tells photographs apart, weighted as people's judgements ask
for; 0 for equal images, and less is better. TorchMetrics brings the weighting. The network's own
weights, torchvision's, are never fetched here: they have to lie where torchvision keeps them.
"""

from __future__ import annotations

import pickle
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from smsr_plugin.images.pixels import PEAK, Rgb

#: The least side of an image, in pixels: AlexNet makes nothing of less.
LEAST_SIDE = 32


class Backbone(NamedTuple):
    """The network of a metric: its function in `torchvision.models`, and its weights there."""

    function: str
    weights: str

    def file(self) -> Path:
        """Return where torchvision keeps the weights."""
        from torchvision import models

        url = getattr(models, self.weights).DEFAULT.url
        return Path(torch.hub.get_dir(), "checkpoints", url.rpartition("/")[2])


#: By name, in the order of tables.
METRICS = {
    "lpips": Backbone("alexnet", "AlexNet_Weights"),
    "dists": Backbone("vgg16", "VGG16_Weights"),
}


def check_metrics(names: Sequence[str]) -> None:
    """Find out whether metrics can be had, without loading anything large.

    Args:
        names: Of `METRICS`.

    Raises:
        ValueError: If the weights of one's network are not there; says what fetches them.
        ImportError: If TorchMetrics or torchvision is not installed.
    """
    for name in names:
        import torchmetrics.image  # noqa: F401  it may be missing

        backbone = METRICS[name]
        if not backbone.file().exists():
            raise ValueError(
                f"{name} needs torchvision's {backbone.function}, and {backbone.file()} is "
                f"missing; with a network this fetches it: python -c 'from torchvision.models "
                f'import {backbone.function}; {backbone.function}(weights="DEFAULT")\''
            )


class PerceptualMetrics:
    """Metrics with their networks loaded.

    Args:
        names: Of `METRICS`, as `check_metrics` found them to be there.

    Raises:
        ValueError: If weights are damaged, or hold more than weights.
    """

    def __init__(self, names: Sequence[str]) -> None:
        self._metrics: Mapping[str, Callable[[torch.Tensor, torch.Tensor], torch.Tensor]] = {
            name: _load(name) for name in names
        }

    def __call__(self, sr: Rgb, gt: Rgb) -> dict[str, float]:
        """Return each metric of an image, by name.

        Args:
            sr: (H, W, 3) RGB, 0…255; the whole of it is compared, without a border cut off.
            gt: The same.

        Raises:
            ValueError: If the shapes differ, or a side is shorter than 32 pixels.
        """
        if sr.shape != gt.shape or min(gt.shape[:2]) < LEAST_SIDE:
            raise ValueError(
                f"expected two images of one size, {LEAST_SIDE}×{LEAST_SIDE} or more, for "
                f"{', '.join(self._metrics)}, got {sr.shape} and {gt.shape}"
            )
        pair = [torch.tensor(image).movedim(-1, 0)[None] / PEAK for image in (sr, gt)]
        with torch.inference_mode():
            return {name: float(metric(*pair)) for name, metric in self._metrics.items()}


def _load(name: str) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
    from torchmetrics.functional.image.dists import DISTSNetwork
    from torchmetrics.image import LearnedPerceptualImagePatchSimilarity

    file = METRICS[name].file()
    try:
        # torchvision itself would run what a pickle calls.
        torch.load(file, map_location="cpu", weights_only=True)
        if name == "lpips":
            return LearnedPerceptualImagePatchSimilarity("alex", normalize=True)
        return DISTSNetwork()
    except (pickle.UnpicklingError, RuntimeError, EOFError, OSError) as error:
        reason = str(error).partition("\n")[0]
        raise ValueError(f"{file}: cannot be read as weights ({reason}); remove it") from error
