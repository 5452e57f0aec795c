"""Train masks with and without each part of the recipe, all from one dense start, and compare.

usage: python scripts/ablations.py OPTIONS SETS [--root DIR] [--dense-iters N] [--mask-iters N]

OPTIONS is the package's x2_cpu.yml (`smsr options x2_cpu`), SETS holds Set5/HR and Set14/HR; run it
where the option file finds its data. Prints a Markdown table. Runs that are there already are not
repeated. One thread: OMP_NUM_THREADS=1.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from pathlib import Path
from statistics import mean

from measured_sets import measure

EVERY_PIXEL = "train:masks:dense_iters=1000000"


def runs(start: Path, iters: int) -> dict[str, list[str]]:
    """Return the changes of the options for each run, by what it tries."""
    begin = [
        f"path:pretrain_network_g={start.resolve()}",
        "train:optim_g:lr=8e-4",
        "train:masks:dense_iters=0",
        "train:masks:density=0.4",
        f"train:masks:density_iters={iters // 2}",
        f"train:masks:detail_iters={iters * 2 // 5}",
    ]
    no_teacher = [
        "network_t=~",
        "train:teacher_opt=~",
        "path:pretrain_network_t=~",
        "path:ignore_resume_networks=~",
        "train:pixel_opt:loss_weight=1",
    ]
    # An iteration as an epoch; τ and λ reach their ends in the middle, as the density does.
    soft = [
        "train:masks=~",
        "train:detail_opt=~",
        "train:sparsity_opt={type: SparsityLoss, loss_weight: 3.92e-4}",
        "train:iters_per_epoch=1",
        f"train:tau_epochs={iters // 2}",
        f"train:sparsity_warmup_epochs={iters // 2}",
    ]
    no_detail = ["train:detail_opt:loss_weight=0", "train:detail_opt:end_weight=0"]
    return {
        "quantiles, detail loss, teacher": begin,
        "the same from the ground truth": [*begin, *no_teacher],
        "without the detail loss": [*begin, *no_detail],
        "patches drawn evenly": [*begin, "datasets:train:detail_draws=1"],
        "the paper's soft masks and sparsity loss": [*begin, *soft],
        "every pixel": [*begin, EVERY_PIXEL],
    }


def train(options: Path, root: Path, name: str, iters: int, changes: list[str]) -> Path:
    """Run a training unless its network is there; return the network's file."""
    weights = root / "experiments" / name / "models/net_g_latest.pth"
    if not weights.exists():
        settings = [
            f"name={name}",
            f"train:total_iter={iters}",
            f"train:scheduler:periods=[{iters}]",
            f"val:val_freq={iters}",
            *changes,
        ]
        command = [sys.executable, "-m", "smsr_plugin", "train", "-opt", str(options)]
        command += ["--root", str(root), "--force_yml", *settings]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            sys.exit(done.stderr or done.stdout)
    return weights


def row(name: str, weights: Path, sets: Path) -> str:
    """Return the figures of a run as a row of the table."""
    figures = measure(weights, sets, names=("Set5", "Set14"))
    five, fourteen = figures["Set5"], figures["Set14"]
    blocks = " ".join(f"{value:.2f}" for value in fourteen["blocks"])
    return (
        f"| {name} | {five['psnr']:.3f} | {fourteen['psnr']:.3f} | {fourteen['density']:.3f} | "
        f"{fourteen['tiles']:.3f} | {blocks} | {mean(fourteen['deviation']):.2f} | "
        f"{mean(fourteen['correlation']):.2f} |"
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("options", type=Path)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--root", type=Path, default=Path())
    parser.add_argument("--dense-iters", type=int, default=750)
    parser.add_argument("--mask-iters", type=int, default=250)
    args = parser.parse_args()
    start = train(args.options, args.root, "ablation_dense", args.dense_iters, [EVERY_PIXEL])
    print("| from one dense start | Set5 | Set14 | density | tiles | blocks | deviation | corr. |")
    print("|---|---|---|---|---|---|---|---|")
    for place, (name, changes) in enumerate(runs(start, args.mask_iters).items()):
        weights = train(args.options, args.root, f"ablation_{place}", args.mask_iters, changes)
        print(row(name, weights, args.sets), flush=True)


if __name__ == "__main__":
    main()
