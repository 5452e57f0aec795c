from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch

from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.training.model.validation_images import (
    PANEL_SIDE,
    image_masks,
    log_masks,
    mask_images,
    mask_picture,
)


class Writer:
    """Keeps what TensorBoard's SummaryWriter is told."""

    def __init__(self) -> None:
        self.scalars: dict[tuple[str, int], float] = {}
        self.pictures: dict[tuple[str, int], tuple[np.ndarray, str]] = {}

    def add_scalar(self, tag, value, step):
        self.scalars[tag, step] = value

    def add_image(self, tag, picture, step, dataformats):
        self.pictures[tag, step] = picture, dataformats


def masks(seed, shape):
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < 0.3


def test_scalars_are_means_over_the_images_and_pictures_are_of_the_first():
    writer = Writer()
    spa_masks = [masks(seed, (1, 3, 8, 6 + seed)) for seed in range(4)]
    images = []
    for number, (spa_mask, loss) in enumerate(zip(spa_masks, (1.0, None, 2.0, None), strict=True)):
        lq = torch.full((1, 3, *spa_mask.shape[2:]), 2.0)
        images.append(image_masks(f"image{number}", lq, spa_mask, loss, drawn=number < 2))
    log_masks(writer, "Set5", 30, images, {"tau": 0.5, "lambda": 0.25})
    densities = [np.mean([mask[0, k].numpy().mean() for mask in spa_masks]) for k in range(3)]
    assert writer.scalars == {
        ("validation/Set5/tau", 30): 0.5,
        ("validation/Set5/lambda", 30): 0.25,
        ("validation/Set5/l_pix", 30): 1.5,
        **{
            (f"validation/Set5/spa_density/block_{k + 1}", 30): pytest.approx(densities[k])
            for k in range(3)
        },
    }
    assert list(writer.pictures) == [(f"validation/Set5/masks/image{k}", 30) for k in range(2)]
    picture, dataformats = writer.pictures["validation/Set5/masks/image0", 30]
    white = np.full((8, 6, 3), 255, np.uint8)  # 2 is clamped to 1
    np.testing.assert_array_equal(picture, mask_picture(white, spa_masks[0][0].numpy()))
    assert dataformats == "HWC"


def test_without_losses_and_pictures_there_are_only_the_others():
    writer = Writer()
    image = image_masks("a", torch.rand(1, 1, 4, 4), masks(0, (1, 2, 4, 4)), None, drawn=False)
    log_masks(writer, "grey", 1, [image], {"tau": 1.0})
    names = ["tau", "spa_density/block_1", "spa_density/block_2"]
    assert list(writer.scalars) == [(f"validation/grey/{name}", 1) for name in names]
    assert not writer.pictures


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (640, 480), (1, 900)])
@pytest.mark.parametrize("blocks", [1, 2, 5])
def test_a_picture_holds_the_image_all_masks_and_each_of_them(size, blocks):
    height, width = size
    spa_mask = masks(0, (blocks, *size)).numpy()
    lq = np.random.default_rng(0).integers(0, 256, (*size, 3), dtype=np.uint8)
    picture = mask_picture(lq, spa_mask)
    columns = (blocks + 3) // 2
    panel_height, panel_width = picture.shape[0] // 2, picture.shape[1] // columns
    assert max(panel_height, panel_width) == PANEL_SIDE
    assert abs(panel_height * width - panel_width * height) <= max(height, width)
    expected = [lq, mask_overlay(lq, spa_mask)]
    expected += [mask_overlay(lq, spa_mask[k : k + 1]) for k in range(blocks)]
    if max(size) > PANEL_SIDE or min(size) == 1:
        return
    for number, image in enumerate(expected):
        row, column = divmod(number, columns)
        y, x = row * panel_height, column * panel_width
        panel = picture[y : y + panel_height, x : x + panel_width]
        enlarged = cv2.resize(image, panel.shape[1::-1], interpolation=cv2.INTER_NEAREST)
        # The label hides the upper left corner.
        np.testing.assert_array_equal(panel[PANEL_SIDE // 4 :], enlarged[PANEL_SIDE // 4 :])
        assert not panel[0, 0].any()
        assert (panel[: PANEL_SIDE // 4, : PANEL_SIDE // 4] == 255).all(2).any()
    if len(expected) % 2:
        assert (picture[panel_height:, -panel_width:] == 255).all()


def test_the_option_is_none_or_a_number_of_images():
    assert mask_images({}) is None
    assert mask_images({"tb_masks": None}) is None
    assert mask_images({"tb_masks": 0}) == 0
    assert mask_images({"tb_masks": 7}) == 7
    message = r"logger\.tb_masks: expected a whole number .* or ~, .* the number of images"
    for value in (True, -1, 1.5, "2"):
        with pytest.raises(ValueError, match=message):
            mask_images({"tb_masks": value})
