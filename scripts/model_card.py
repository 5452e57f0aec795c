"""Put a trained network into the package, measured, with its card in docs/models/.

usage: python scripts/model_card.py EXPERIMENT SETS PHOTOGRAPHS [--density D] [--note TEXT]
(needs matplotlib)

EXPERIMENT is the folder of a training with `train.masks` (experiments/SMSR_x2_cpu), SETS holds
Set5/HR, Set14/HR, B100/HR, PHOTOGRAPHS what the peaks of features are chosen by, those of the
training; run it where the training's option file finds its data. Writes
smsr_plugin/weights/smsr_xN.safetensors (weights as float16) and docs/models/smsr_xN.{md,json} with
pictures of the curves and of masks.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import matplotlib as mpl
import numpy as np
import torch
import yaml
from matplotlib import pyplot as plt
from measured_sets import SETS, as_tensor, bicubic, measure
from PIL import Image
from safetensors import safe_open
from skimage import data

from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.peaks import PIECES, choose_peaks
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.images.bicubic import downscale, mod_crop
from smsr_plugin.images.mask_overlay import mask_overlay
from smsr_plugin.sparse import to_sparse
from smsr_plugin.sparsify.photographs import read_photographs
from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset

mpl.use("Agg")
ROOT = Path(__file__).parents[1]
#: Of the training, for the curves.
PATCHES = 1200
DENSITIES = (0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0)
PEAKS_ARE = f"of features in 8 bits: chosen by {PIECES} pieces of these photographs"
TEACHERS = {
    "RLFN": "RLFN of bytedance/RLFN (Apache-2.0): the network learned its output{}. Copyright 2022 "
    "ByteDance; the licence is LICENSE of this package, the same text."
}


def training_curves(experiment: Path) -> dict[str, list[tuple[int, float]]]:
    """Return learning rate, density and validation figures of a training's logs by iteration."""
    text = "".join(path.read_text() for path in sorted(experiment.glob("train_*.log")))
    curves: dict[str, dict[int, float]] = {"lr": {}, "density": {}, "psnr": {}, "spa_density": {}}
    iteration = 0
    for line in text.splitlines():
        if found := re.search(r"iter:\s*([\d,]+), lr:\((\S+?),", line):
            iteration = int(found[1].replace(",", ""))
            curves["lr"][iteration] = float(found[2])
            if asked := re.search(r" density: (\S+)", line):
                curves["density"][iteration] = float(asked[1])
        for key in ("psnr", "spa_density"):
            if found := re.search(rf"# {key}: (\S+)", line):
                curves[key][iteration] = float(found[1])
    return {key: sorted(points.items()) for key, points in curves.items()}


def plot(card: dict[str, Any], out: Path) -> None:
    """Draw the training and the dial."""
    figure, ((quality, density), (rate, dial)) = plt.subplots(
        2, 2, figsize=(10, 6.5), layout="constrained"
    )
    curves = card["training"]
    for axes, keys, label in (
        (quality, ("psnr",), "PSNR on Y, Set5, dB"),
        (density, ("density", "spa_density"), "density: asked for, and on Set5"),
        (rate, ("lr",), "learning rate"),
    ):
        for key in keys:
            points = curves[key]
            axes.plot(*zip(*points, strict=True), marker="." if len(points) < 60 else None)
        axes.set_ylabel(label)
        axes.set_xlabel("iteration")
    for name in SETS:
        points = [(row[name]["density"], row[name]["psnr"]) for row in card["dial"].values()]
        best = max(psnr for _, psnr in points)
        dial.plot(*zip(*((d, p - best) for d, p in points), strict=True), marker="o", label=name)
    dial.set_xlabel("density measured")
    dial.set_ylabel("PSNR below the best, dB")
    dial.legend()
    for axes in (quality, density, rate, dial):
        axes.grid(alpha=0.3)
    figure.savefig(out, dpi=90)
    plt.close(figure)


def mask_picture(weights: Path, out: Path) -> None:
    """Draw a photograph of scikit-image (CC0) and the masks of the blocks beside each other."""
    net = load(weights)
    lq = downscale(mod_crop(data.coffee(), net.config.upscale), net.config.upscale)
    _, stats = to_sparse(net)(as_tensor(lq), return_stats=True)
    masks = stats.spa_mask[0].numpy()
    panels = [lq, *(mask_overlay(lq, masks[k : k + 1]) for k in range(len(masks)))]
    panels += [np.zeros_like(lq)] * (len(panels) % 2)
    rows = [np.hstack(panels[: len(panels) // 2]), np.hstack(panels[len(panels) // 2 :])]
    Image.fromarray(np.vstack(rows)).save(out, quality=88)


def markdown(card: dict[str, Any], name: str) -> str:
    """Return the card as a page."""
    scale = card["scale"]
    lines = [
        f"# SMSR x{scale}",
        "",
        f"`smsr upscale photo.jpg -o out --model smsr --scale {scale}`, "
        f'`smsr_plugin.load(model="smsr", scale={scale})`: an SMSR that',
        "comes with the package.",
        "",
        f"![The lq image and where each block computes]({name}_masks.jpg)",
        "",
        "## Figures",
        "",
        "Standard bicubic lq images, on Y, borders of the scale cut off; B100 from its JPEG "
        "originals. Kept is the share of the dense network's multiply-adds that is computed.",
        "",
        "| set | bicubic | SMSR: PSNR / SSIM | density | kept |",
        "|---|---|---|---|---|",
    ]
    for key in SETS:
        own, plain = card["figures"][key], card["bicubic"][key]
        lines.append(
            f"| {key} | {plain['psnr']:.2f} / {plain['ssim']:.4f} | **{own['psnr']:.2f}** / "
            f"{own['ssim']:.4f} | {own['density']:.3f} | {own['kept']:.0%} |"
        )
    masks = card["figures"]["Set14"]
    lines += ["", "Urban100 and Manga109 were not at hand.", ""]
    lines += ["| Set14, block | " + " | ".join(str(k + 1) for k in range(len(masks["blocks"])))]
    lines[-1] += " |"
    lines += ["|---" * (len(masks["blocks"]) + 1) + "|"]
    for label, key in (
        ("density", "blocks"),
        ("standard deviation over the image", "deviation"),
        ("correlation with the gradient", "correlation"),
    ):
        lines.append(f"| {label} | " + " | ".join(f"{value:.2f}" for value in masks[key]) + " |")
    lines += [
        "",
        "## The dial",
        "",
        "`--density`, `to_sparse(net, density=…)`: PSNR (density).",
        "",
    ]
    lines += ["| asked for | " + " | ".join(SETS) + " |", "|---" * (len(SETS) + 1) + "|"]
    for asked, row in card["dial"].items():
        cells = [f"{row[key]['psnr']:.3f} ({row[key]['density']:.2f})" for key in SETS]
        lines.append(f"| {asked} | " + " | ".join(cells) + " |")
    lines += ["", f"![Curves of the training, and the dial]({name}.png)", "", "## Training", ""]
    lines += [f"- {key}: {value}" for key, value in card["about"].items()]
    lines += [
        "",
        f"`{card['command']}` made this page; the numbers are in [{name}.json]({name}.json).",
    ]
    return "\n".join(lines) + "\n"


def calibrate(net: SMSR, options: dict[str, Any], density: float) -> None:
    """Set the curves by many patches like those of the training, and threshold 0 to a density."""
    section = options["datasets"]["train"] | {"phase": "train", "scale": options["scale"]}
    dataset = CheckedPairedImageDataset(section)
    random.seed(0)
    logits = []
    for start in range(0, PATCHES, 8):
        places = [random.randrange(len(dataset)) for _ in range(start, start + 8)]
        lq = torch.stack([dataset[place]["lq"] for place in places])
        with torch.no_grad():
            logits.append(net(lq, return_masks=True).logits[..., ::2, ::2])
    net.density_curve = density_curve(torch.cat(logits))
    net.set_density(density)


def leaves(options: dict[str, Any], path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield the keys of an option file as --force_yml writes them, with their values."""
    for key, value in options.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{path}{key}:")
        else:
            yield f"{path}{key}", value


def command_line(options: dict[str, Any]) -> str:
    """Return the option file of the package that was trained, and what was changed in it."""
    name = f"x{options['scale']}_cpu"
    text = (ROOT / f"smsr_plugin/training/options/templates/{name}.yml").read_text()
    template = dict(leaves(yaml.safe_load(text.replace("!!float", ""))))
    own = dict(leaves(options))
    changed = [f"{key}={value}" for key, value in own.items() if template.get(key) != value]
    changed += [f"{key}=~" for key in template.keys() - own.keys()]
    wanted = [change for change in changed if not change.startswith(("name=", "val:val_freq"))]
    return f"smsr options {name}" + (f", --force_yml {' '.join(wanted)}" if wanted else "")


def about(options: dict[str, Any]) -> dict[str, str]:
    """Return what the header of the weights and the card say of a training."""
    train, loaded = options["train"], options["datasets"]["train"]
    side = loaded["gt_size"] // options["scale"]
    images = f"{loaded['batch_size_per_gpu']} lq patches of {side}²"
    teacher = options.get("network_t")
    larger = teacher and teacher["upscale"] > options["scale"]
    reduced = f" for x{teacher['upscale']}, reduced to x{options['scale']}" if larger else ""
    facts = {
        "options": command_line(options),
        "iterations": f"{train['total_iter']:,} of {images}, "
        f"the first {train['masks'].get('dense_iters', 0):,} with every pixel",
        "data": "55 photographs under free licences (CC0, CC-BY, CC-BY-SA, Unsplash, Pexels; "
        "docs/models/data.md names each), also reduced to 0.6 and 0.36",
        "teacher": TEACHERS[teacher["type"]].format(reduced)
        if teacher
        else "none: the ground truth",
        "licence": "Apache-2.0",
        "commit": git("rev-parse", "--short", "HEAD"),
    }
    started = options["path"].get("pretrain_network_g")
    if started:
        facts["begun from"] = begun_from(started)
    return facts


def begun_from(file: str) -> str:
    """Say which network a training began with: one of the package's, or of a training before."""
    scale = load(file).config.upscale
    if not file.endswith(".safetensors"):
        return f"an x{scale} network of the same options ({Path(file).name})"
    with safe_open(file, "pt") as opened:
        before = opened.metadata()
    return f"the package's x{scale} network of commit {before['commit']} ({before['iterations']})"


def git(*arguments: str) -> str:
    return subprocess.run(
        ["git", *arguments], cwd=ROOT, capture_output=True, text=True
    ).stdout.strip()


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("experiment", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("photographs", type=Path)
    parser.add_argument("--density", type=float, help="the share of pixels that threshold 0 keeps")
    parser.add_argument("--note", default="", help="what else there is to say of the training")
    args = parser.parse_args()
    trained = args.experiment / "models" / "net_g_latest.pth"
    options = yaml.safe_load(next(args.experiment.glob("*.yml")).read_text().replace("!!float", ""))
    net = load(trained)
    calibrate(net, options, args.density or options["train"]["masks"]["density"])
    scale = net.config.upscale
    name = f"smsr_x{scale}"
    weights, cards = ROOT / f"smsr_plugin/weights/{name}.safetensors", ROOT / "docs/models"
    net.feature_peaks = choose_peaks(
        net, read_photographs(args.photographs, scale, pieces=PIECES).pieces
    )
    facts = about(options) | {"peaks": PEAKS_ARE} | ({"note": args.note} if args.note else {})
    save(net, weights, facts, half=True)
    card: dict[str, Any] = {
        "scale": scale,
        "command": f"python scripts/model_card.py {args.experiment.name} SETS PHOTOGRAPHS",
        "about": facts,
        "figures": measure(weights, args.sets),
        "bicubic": bicubic(args.sets, scale),
        "dial": {str(d): measure(weights, args.sets, d) for d in DENSITIES},
        "training": training_curves(args.experiment),
    }
    figures = {
        key: {k: card["figures"][key][k] for k in ("psnr", "density", "kept")} for key in SETS
    }
    save(net, weights, {**facts, "figures": json.dumps(figures)}, half=True)
    cards.mkdir(exist_ok=True)
    (cards / f"{name}.json").write_text(json.dumps(card, indent=1) + "\n")
    (cards / f"{name}.md").write_text(markdown(card, name))
    plot(card, cards / f"{name}.png")
    mask_picture(weights, cards / f"{name}_masks.jpg")
    print(f"wrote {weights} ({weights.stat().st_size / 1e6:.1f} MB) and {cards / name}.md")


if __name__ == "__main__":
    main()
