"""What TensorBoard shows of a validation beyond its metrics: masks, densities, schedules, loss."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from smsr_plugin.upscale.mask_overlay import mask_overlay

Image = NDArray[np.uint8]

OPTION = "tb_masks"
#: Pixels of a panel's longer side: event files keep every picture of a training.
PANEL_SIDE = 320
#: Of the labels, as OpenCV takes them.
FONT = {"fontFace": cv2.FONT_HERSHEY_SIMPLEX, "fontScale": 0.6, "thickness": 1}
WHITE, MARGIN = (255, 255, 255), 6


def mask_images(logger: Mapping[str, Any]) -> int | None:
    """Return `tb_masks` of the `logger` section: of how many images to draw masks, None for no log.

    Raises:
        ValueError: If it is not a whole number of at least 0.
    """
    value = logger.get(OPTION)
    if value is not None and (not isinstance(value, int) or isinstance(value, bool) or value < 0):
        raise ValueError(
            f"logger.{OPTION} must be ~ or the number of images whose masks TensorBoard shows, "
            f"got {value!r}"
        )
    return value


class ValidationLog:
    """Logs one run over a validation set, all of it under `validation/{dataset}/`.

    Scalars are `spa_density/block_1` …, the mean share of important pixels; `l_pix`, the mean loss;
    and the schedules. Pictures are `masks/{image}`, see `mask_picture`.

    Args:
        writer: TensorBoard's SummaryWriter.
        dataset: The name of the validation set.
        step: The iteration to log at.
        images: The masks of the first so many images are drawn.
        schedules: More scalars, by name.
    """

    def __init__(
        self, writer: Any, dataset: str, step: int, images: int, schedules: Mapping[str, float]
    ) -> None:
        self.writer, self.group, self.step = writer, f"validation/{dataset}", step
        self.images, self.schedules = images, schedules
        self.densities: list[Tensor] = []
        self.losses: list[float] = []

    def add(self, name: str, lq: Tensor, spa_mask: Tensor, loss: float | None) -> None:
        """Add an image, (1, C, H, W) in 0…1, its masks, (1, K, H, W) bool, and its pixel loss."""
        if len(self.densities) < self.images:
            pixels = lq[0].float().clamp(0, 1).mul(255).round().byte().permute(1, 2, 0)
            lq_image = pixels.expand(-1, -1, 3).cpu().numpy()
            picture = mask_picture(lq_image, spa_mask[0].cpu().numpy())
            tag = f"{self.group}/masks/{name}"
            self.writer.add_image(tag, picture, self.step, dataformats="HWC")
        self.densities.append(spa_mask.float().mean((0, 2, 3)).cpu())
        if loss is not None:
            self.losses.append(loss)

    def write(self) -> None:
        """Write the scalars of what was added."""
        densities = torch.stack(self.densities).mean(0).tolist()
        scalars = {f"spa_density/block_{k}": value for k, value in enumerate(densities, 1)}
        if self.losses:
            scalars["l_pix"] = sum(self.losses) / len(self.losses)
        for name, value in {**self.schedules, **scalars}.items():
            self.writer.add_scalar(f"{self.group}/{name}", value, self.step)


def mask_picture(lq: Image, spa_mask: NDArray[np.bool_]) -> Image:
    """Draw an image, its masks together (see `mask_overlay`) and each block's, in two rows.

    Args:
        lq: (H, W, 3) RGB, 0…255.
        spa_mask: (K, H, W).
    """
    panels = {"lq": lq, "all": mask_overlay(lq, spa_mask)}
    for number in range(len(spa_mask)):
        panels[str(number + 1)] = mask_overlay(lq, spa_mask[number : number + 1])
    drawn = [_panel(label, image) for label, image in panels.items()]
    drawn += [np.zeros_like(drawn[0])] * (len(drawn) % 2)
    columns = len(drawn) // 2
    return np.vstack([np.hstack(drawn[:columns]), np.hstack(drawn[columns:])])


def _panel(label: str, image: Image) -> Image:
    height, width = image.shape[:2]
    ratio = PANEL_SIDE / max(height, width)
    size = max(1, round(width * ratio)), max(1, round(height * ratio))
    interpolation = cv2.INTER_AREA if ratio < 1 else cv2.INTER_NEAREST
    panel = cv2.resize(image, size, interpolation=interpolation).astype(np.uint8, copy=False)
    (text_width, text_height), below = cv2.getTextSize(label, **FONT)
    panel[: text_height + below + 2 * MARGIN, : text_width + 2 * MARGIN] = 0
    cv2.putText(panel, label, (MARGIN, MARGIN + text_height), color=WHITE, **FONT)
    return panel
