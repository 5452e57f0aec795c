"""The loss that teaches logits where the reference differs from bicubic, against loops."""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F

from smsr_plugin.archs.mask_losses import DetailLoss, detail_target


def literal_target(reference, lq):
    """Pixel by pixel, in numpy."""
    scale = reference.shape[-1] // lq.shape[-1]
    bicubic = F.interpolate(lq, scale_factor=scale, mode="bicubic")
    difference = 255 * np.abs((reference - bicubic).numpy()).mean(1)
    batch, height, width = len(lq), *lq.shape[2:]
    level = np.empty((batch, height, width))
    for b in range(batch):
        cells = difference[b].reshape(height, scale, width, scale).mean((1, 3))
        for row in range(height):
            for column in range(width):
                window = cells[max(row - 2, 0) : row + 3, max(column - 2, 0) : column + 3]
                level[b, row, column] = np.log(0.3 + window.mean())
    return 2 * (level - level.mean()) / level.std(ddof=1)


def test_the_target_is_the_standardised_log_of_the_mean_difference():
    torch.manual_seed(0)
    for scale in (2, 3):
        lq = torch.rand(2, 3, 7, 6, dtype=torch.float64)
        reference = torch.rand(2, 3, 7 * scale, 6 * scale, dtype=torch.float64)
        found = detail_target(reference, lq)
        np.testing.assert_allclose(found[:, 0].numpy(), literal_target(reference, lq), atol=1e-9)


def test_a_flat_image_teaches_nothing_and_breaks_nothing():
    lq = torch.full((1, 3, 6, 6), 0.5)
    target = detail_target(torch.full((1, 3, 12, 12), 0.5), lq)
    assert target.abs().max() < 0.1


def test_the_loss_is_zero_at_the_target_up_to_a_shift_and_has_no_gradient_along_it():
    torch.manual_seed(1)
    lq, reference = torch.rand(2, 3, 8, 8), torch.rand(2, 3, 16, 16)
    target = detail_target(reference, lq)
    loss = DetailLoss()
    shifted = (target + torch.tensor([3.0, -1.0]).view(1, 2, 1, 1)).requires_grad_()
    assert loss(shifted, reference, lq).item() < 1e-9
    logits = torch.randn(2, 2, 8, 8, requires_grad=True)
    value = loss(logits, reference, lq)
    value.backward()
    assert logits.grad.sum((0, 2, 3)).abs().max() < 1e-6
    centred = logits.detach() - logits.detach().mean((0, 2, 3), keepdim=True)
    off = (centred - target).abs()
    expected = torch.where(off < 1, off**2 / 2, off - 0.5).mean()
    torch.testing.assert_close(value.detach(), expected)
