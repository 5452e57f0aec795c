"""The images of a validation set, shared out over the processes, and what TensorBoard shows.

Beyond the metrics it shows masks, densities, schedules and the loss.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from itertools import chain
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import DataLoader, Subset

from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.images.pixels import to_image
from smsr_plugin.processes import current
from smsr_plugin.sparse import SparseStats
from smsr_plugin.training.options.sections import SMSRLogger
from smsr_plugin.training.options.values import built

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
        ValueError: If it is none of these.
    """
    return built("logger", {OPTION: logger.get(OPTION)}, SMSRLogger).tb_masks


class ImageMasks(NamedTuple):
    """What is logged of one image; the process that infers it need not be the one that writes."""

    name: str
    density: Tensor  #: The share of important pixels of each block, (K,).
    loss: float | None  #: The pixel loss.
    picture: Image | None  #: See `mask_picture`.


def image_masks(
    name: str, lq: Tensor, spa_mask: Tensor, loss: float | None, drawn: bool
) -> ImageMasks:
    """Note an image, (1, C, H, W) in 0…1, its masks, (1, K, H, W) bool, and its pixel loss."""
    picture = None
    if drawn:
        pixels = to_image(lq.float().cpu().numpy())
        lq_image = np.broadcast_to(pixels, (*pixels.shape[:2], 3))
        picture = mask_picture(lq_image, spa_mask[0].cpu().numpy())
    return ImageMasks(name, spa_mask.float().mean((0, 2, 3)).cpu(), loss, picture)


def log_masks(
    writer: Any,
    dataset: str,
    step: int,
    images: Sequence[ImageMasks],
    schedules: Mapping[str, float],
) -> None:
    """Log one run over a validation set, all of it under `validation/{dataset}/`.

    Scalars are `spa_density/block_1` …, the mean share of important pixels; `l_pix`, the mean loss;
    and the schedules. Pictures are `masks/{image}`, see `mask_picture`.

    Args:
        writer: TensorBoard's SummaryWriter.
        dataset: The name of the validation set.
        step: The iteration to log at.
        images: All images, in order.
        schedules: More scalars, by name.
    """
    group = f"validation/{dataset}"
    for image in images:
        if image.picture is not None:
            tag = f"{group}/masks/{image.name}"
            writer.add_image(tag, image.picture, step, dataformats="HWC")
    densities = torch.stack([image.density for image in images]).mean(0).tolist()
    scalars = {f"spa_density/block_{k}": value for k, value in enumerate(densities, 1)}
    losses = [image.loss for image in images if image.loss is not None]
    if losses:
        scalars["l_pix"] = sum(losses) / len(losses)
    for name, value in {**schedules, **scalars}.items():
        writer.add_scalar(f"{group}/{name}", value, step)


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
    drawn += [np.full_like(drawn[0], WHITE)] * (len(drawn) % 2)  # as the page around it
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


class ValidatedImage(NamedTuple):
    """What one image of a validation set gave."""

    position: int  #: In the data set.
    figures: dict[str, float]  #: Metrics, density, cost and time.
    masks: ImageMasks | None  #: For TensorBoard, if that is wanted.


def my_share(dataloader: DataLoader[Any]) -> Iterable[tuple[int, Any]]:
    """Return this process's images of a validation set, each with its position in the set."""
    processes = current()
    if processes.world_size == 1:
        return enumerate(dataloader)
    share = processes.share(len(dataloader.dataset))  # type: ignore[arg-type]
    subset = Subset(dataloader.dataset, share)
    return zip(share, DataLoader(subset, pin_memory=dataloader.pin_memory), strict=True)


def all_shares(images: Sequence[ValidatedImage]) -> list[ValidatedImage]:
    """Return the images of all processes, in all of them, in the order of the data set.

    So that sums over them are those of one process, to the last bit.

    Raises:
        AgreedStop: If a process has to stop.
        LostProcessError: If one has gone.
    """
    together = chain.from_iterable(current().gather(list(images)))
    return sorted(together, key=lambda image: image.position)


def cost_figures(stats: SparseStats, seconds: float) -> dict[str, float]:
    """Return density, multiply-adds (10⁹) and time of one batch, per image."""
    images = len(stats.macs)
    return {
        "spa_density": stats.spa_density.mean().item(),
        "gmacs": sum(stats.macs) / images / 1e9,
        "gmacs_dense": stats.macs_dense / 1e9,
        "seconds": seconds / images,
    }


def averages(images: Sequence[ValidatedImage]) -> dict[str, float]:
    """Return the mean of each figure, and `macs_kept`."""
    means = {
        name: sum(image.figures[name] for image in images) / len(images)
        for name in images[0].figures
    }
    return {**means, "macs_kept": means["gmacs"] / means["gmacs_dense"]}
