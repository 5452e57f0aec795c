"""Parameters and multiply-adds of a network; run by `scripts/count_flops.py`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import load
from smsr_plugin.complexity import (
    Complexity,
    SMSRCost,
    dense_channels,
    lq_size,
    measured,
    profile,
)
from smsr_plugin.data.image_files import decode

DEFAULT_UPSCALE = 2
#: Width and height for which the field quotes multiply-adds.
DEFAULT_SIZE = (1280, 720)


class Row(NamedTuple):
    """One line of the table."""

    label: str
    value: float
    unit: str
    note: str = ""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command; return 0, or 2 after one line on stderr if it cannot be done."""
    parser = _parser()
    args = parser.parse_args(argv)
    _check_sources(parser, args)
    try:
        name, net, upscale, num_in_ch = _network(args)
        width, height = args.size
        lq_height, lq_width = lq_size((height, width), upscale)
        rows = network_rows(profile(net, (lq_height, lq_width), num_in_ch))
        if isinstance(net, SMSR):
            rows += _smsr_rows(net, lq_height * lq_width, args)
        elif args.density or args.image:
            raise ValueError(f"--density and --image are for SMSR, not for {name}")
    except (ValueError, OSError) as error:
        print(f"{parser.prog}: {error}", file=sys.stderr)
        return 2
    print(f"{name} x{upscale}, output {width}×{height}, lq {lq_width}×{lq_height}")
    print(table(rows))
    if isinstance(net, SMSR) and args.weights is None:
        print("Without --weights, every channel of the blocks is taken as sparse.")
    return 0


def _check_sources(parser: argparse.ArgumentParser, args: argparse.Namespace) -> None:
    """Leave the command with a message if the arguments name no network, or several."""
    if args.weights is not None:
        if args.opt is not None or args.set or args.name not in (None, "SMSR"):
            parser.error("--weights is an SMSR as it is: leave out --opt, --set, other names")
    elif (args.name is None) == (args.opt is None):
        parser.error("give the name of a network, or --opt, or --weights")
    elif args.opt is not None and args.upscale is not None:
        parser.error("--opt says the scale: leave --upscale out")


def network_rows(complexity: Complexity) -> list[Row]:
    """Return the rows that every network has."""
    rows = [Row("parameters", (complexity.params - complexity.mask_params) / 1e3, "K")]
    if complexity.mask_params:
        rows.append(Row("channel mask logits", complexity.mask_params / 1e3, "K"))
    return [*rows, Row("multiply-adds", complexity.macs / 1e9, "G")]


def part_rows(cost: SMSRCost, lq_pixels: int) -> list[Row]:
    """Return the parts of an SMSR's multiply-adds."""
    parts = {
        "head": cost.head,
        "mask predictors": cost.mask,
        "collect": cost.collect,
        "tail": cost.tail,
        "SMM, every pixel": sum(cost.smm_dense),
        "SMM, important pixels": sum(cost.smm_sparse),
    }
    rows = [Row(f"  {part}", value * lq_pixels / 1e9, "G") for part, value in parts.items()]
    rows[-1] = rows[-1]._replace(note="× density")
    return rows


def density_rows(cost: SMSRCost, lq_pixels: int, densities: Sequence[float]) -> list[Row]:
    """Return the multiply-adds with the same density in each block, for each density."""
    return [
        Row(
            f"at density {density:g}",
            cost.macs([density] * cost.config.num_block, lq_pixels) / 1e9,
            "G",
        )
        for density in densities
    ]


def image_row(net: SMSR, path: Path) -> Row:
    """Return the multiply-adds for one lq image, with the density in each block."""
    image = torch.from_numpy(decode(path.read_bytes(), str(path))).permute(2, 0, 1)
    result = measured(net, image.unsqueeze(0) / 255)
    densities = " ".join(f"{density:.3f}" for density in result.spa_densities)
    height, width = image.shape[1:]
    return Row(
        f"{path.name}, lq {width}×{height}",
        result.macs / 1e9,
        "G",
        f"{result.kept:.1%} of {result.dense_macs / 1e9:.2f} G; density in blocks {densities}",
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows aligned, one a line."""
    width = max(len(row.label) for row in rows)
    lines = (f"{row.label:<{width}} {row.value:10.2f} {row.unit} {row.note}" for row in rows)
    return "\n".join(line.rstrip() for line in lines)


def _smsr_rows(net: SMSR, lq_pixels: int, args: argparse.Namespace) -> list[Row]:
    if args.weights is None:
        if args.image:
            raise ValueError("--image needs --weights: the masks of fresh weights say nothing")
        counts = [[0] * net.config.num_layer] * net.config.num_block
    else:
        counts = dense_channels(net)
    cost = SMSRCost(net.config, counts)
    rows = part_rows(cost, lq_pixels) + density_rows(cost, lq_pixels, args.density)
    return rows + [image_row(net, path) for path in args.image]


def _network(args: argparse.Namespace) -> tuple[str, torch.nn.Module, int, int]:
    """Return the name, the network, its scale and its input channels."""
    if args.weights is not None:
        net = load(args.weights)
        if args.upscale not in (None, net.config.upscale):
            raise ValueError(f"{args.weights} is for x{net.config.upscale}, not x{args.upscale}")
        return "SMSR", net, net.config.upscale, net.config.num_in_ch
    # Deferred: BasicSR takes seconds to import, and neither --help nor --weights needs it.
    from smsr_plugin.toolbox.architectures import build_architecture
    from smsr_plugin.toolbox.option_error import OptionError
    from smsr_plugin.toolbox.option_file import parse_yaml, read_option_file

    name, upscale, options = args.name, args.upscale or DEFAULT_UPSCALE, {}
    if args.opt is not None:
        file = read_option_file(args.opt)
        section = file.get("network_g")
        if not isinstance(section, dict) or not isinstance(section.get("type"), str):
            raise OptionError(f"{args.opt}: expected a section network_g with a type")
        name, upscale = section["type"], file.get("scale", DEFAULT_UPSCALE)
        options = {key: value for key, value in section.items() if key != "type"}
    for entry in args.set:
        key, equals, value = entry.partition("=")
        if not equals:
            raise OptionError(f"--set {entry}: expected KEY=VALUE, such as num_feat=32")
        options[key] = parse_yaml(value, f"--set {entry}")
    built = build_architecture(name, options, upscale)
    return name, built.net, built.upscale, built.num_in_ch


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        description="Count a network's parameters and multiply-adds (one multiply-add counts "
        "once; biases, activations, pooling and interpolation do not count)."
    )
    add = parser.add_argument
    add("name", nargs="?", metavar="NETWORK", help="name in BasicSR's registry: SMSR, EDSR, ...")
    add("--opt", type=Path, metavar="YML", help="take network_g of an option file")
    add("--weights", type=Path, metavar="FILE", help="SMSR checkpoint, for its dense channels")
    add("--upscale", type=_positive, help=f"default: {DEFAULT_UPSCALE}")
    add(
        "--set",
        action="extend",
        nargs="+",
        default=[],
        metavar="KEY=VALUE",
        help="options of the network",
    )
    add(
        "--size",
        nargs=2,
        type=_positive,
        default=DEFAULT_SIZE,
        metavar=("W", "H"),
        help="output size (default: {} {}); sides are rounded up to the scale".format(
            *DEFAULT_SIZE
        ),
    )
    add(
        "--density",
        action="extend",
        nargs="+",
        type=float,
        default=[],
        metavar="D",
        help="SMSR: also count with this share of important pixels",
    )
    add(
        "--image",
        action="extend",
        nargs="+",
        type=Path,
        default=[],
        metavar="LQ",
        help="SMSR: also count with the masks of these lq images",
    )
    return parser


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return number
