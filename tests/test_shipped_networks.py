"""The networks in the package reach what their cards say, and their masks follow the image."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from mask_figures import mask_figures

import smsr_plugin
from smsr_plugin.archs.smsr_program import PEAKS, peaks_shape
from smsr_plugin.checkpoints.converted import read_converted
from smsr_plugin.checkpoints.shipped import default_weights
from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.pixels import as_lq, luma, to_image
from smsr_plugin.images.quality import psnr_inside
from smsr_plugin.images.rgb import read_rgb

CARDS = sorted((Path(__file__).parents[1] / "docs/models").glob("smsr_x*.json"))


def test_every_scale_has_a_card():
    assert [card.stem for card in CARDS] == ["smsr_x2", "smsr_x3", "smsr_x4"]


@pytest.mark.parametrize("scale", [2, 3, 4])
def test_each_smsr_brings_what_8_bits_have_to_span(scale):
    found = read_converted(default_weights(scale, model="smsr"))
    assert found is not None
    assert found.state[PEAKS].shape == peaks_shape(found.config)


@pytest.mark.reference
@pytest.mark.parametrize("path", CARDS, ids=lambda path: path.stem)
def test_set5_is_as_on_the_card(path, test_data):
    card = json.loads(path.read_text("utf-8"))
    scale, told = card["scale"], card["figures"]["Set5"]
    sparse = smsr_plugin.to_sparse(smsr_plugin.load(model="smsr", scale=scale))
    psnr, kept, masks = [], [], []
    for file in sorted((test_data / "data/Set5/HR").glob("*.png")):
        gt = mod_crop(read_rgb(file), scale)
        lq = downscale(gt, scale)
        sr, stats = sparse(torch.from_numpy(as_lq(lq)), return_stats=True)
        psnr.append(psnr_inside(luma(to_image(sr.numpy())), luma(gt), scale))
        kept.append(stats.kept)
        masks.append(mask_figures(lq, stats.spa_mask[0].numpy()))
    assert np.mean(psnr) == pytest.approx(told["psnr"], abs=2e-3)
    assert np.mean(kept) == pytest.approx(told["kept"], abs=1e-3)
    deviation, correlation, density = (
        np.mean([getattr(figures, name) for figures in masks], 0)
        for name in ("deviation", "correlation", "density")
    )
    assert min(deviation) > 0.25
    assert min(correlation) > 0.35
    assert 0 < min(density) <= max(density) < 1


@pytest.mark.reference
@pytest.mark.parametrize("density", [None, 1.0])
@pytest.mark.parametrize(("model", "scale"), [("rlfn-s", 2), ("rlfn", 4)])
def test_dense_networks_with_masks_are_as_on_their_cards(test_data, model, scale, density):
    card = (Path(__file__).parents[1] / f"docs/models/{model}_x{scale}.md").read_text("utf-8")
    row = next(line for line in card.splitlines() if line.startswith(f"| {density or 0.6:g} |"))
    told = row.split("|")[2].strip()
    runtime = smsr_plugin.Runtime.load(model=model, scale=scale, density=density)
    psnr, densities = [], []
    for file in sorted((test_data / "data/Set5/HR").glob("*.png")):
        gt = mod_crop(read_rgb(file), scale)
        found = runtime(as_lq(downscale(gt, scale))[0])
        psnr.append(psnr_inside(luma(to_image(found.sr[None])), luma(gt), scale))
        densities.append(found.spa_mask.mean())
    assert np.mean(psnr) == pytest.approx(float(told.split()[0]), abs=3e-3)
    assert f"{np.mean(densities):.2f}" == told.split()[1].strip("()")
    if density is None:  # masks that differ from image to image and follow it
        assert np.std(densities) > 0.03
        figures = mask_figures(downscale(gt, scale), found.spa_mask)
        assert min(figures.correlation) > 0.25
