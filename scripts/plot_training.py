"""Plot a training from its TensorBoard folder: PSNR of a validation set, and the densities.

usage: python scripts/plot_training.py tb_logger/NAME OUT.png   (needs matplotlib)
"""

from __future__ import annotations

import sys
from pathlib import Path

import matplotlib as mpl
import matplotlib.pyplot as plt
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

mpl.use("Agg")


def main(folder: Path, out: Path) -> None:
    events = EventAccumulator(str(folder)).Reload()
    tags = events.Tags()["scalars"]

    def curve(tag: str) -> tuple[list[int], list[float]]:
        points = events.Scalars(tag)
        return [p.step for p in points], [p.value for p in points]

    _, (quality, density) = plt.subplots(2, 1, sharex=True, figsize=(7, 6), layout="constrained")
    for tag in tags:
        if tag.endswith("/psnr"):
            quality.plot(*curve(tag), marker="o", label=tag.split("/")[1])
    quality.set_ylabel("PSNR on Y (dB)")
    quality.legend(loc="lower right")
    density.plot(*curve("spa_density"), alpha=0.8, label="spatial density, soft masks, training")
    density.plot(*curve("kept"), alpha=0.8, label="computation kept in the blocks, training")
    for tag in tags:
        if tag.endswith("/spa_density"):
            name = tag.split("/")[1]
            density.plot(*curve(tag), marker="o", label=f"spatial density, hard masks, {name}")
    density.set_ylim(0, 1)
    density.set_xlabel("iteration")
    density.legend(loc="lower right")
    for axes in (quality, density):
        axes.grid(alpha=0.3)
    plt.savefig(out, dpi=120)


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]))
