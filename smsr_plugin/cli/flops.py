"""`smsr flops`: parameters and multiply-adds of a network."""

from __future__ import annotations

import argparse
import copy
import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from smsr_plugin.cli.arguments import add_imports, bad_usage, finite, path, positive
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from torch import nn

    from smsr_plugin.archs.masked import MaskedNetwork
    from smsr_plugin.complexity.counter import Complexity
    from smsr_plugin.complexity.masked_cost import MaskedCost

DEFAULT_UPSCALE = 2
#: What parts of a program are called here, and those that masks are for.
PARTS = {"masks": "mask predictors"}
MASKED_PARTS = ("sparse layers", "fuse")
#: Width and height for which the field quotes multiply-adds.
DEFAULT_SIZE = (1280, 720)

#: What a row's unit stands for.
UNITS = {"K": 1e3, "G": 1e9}


class Row(NamedTuple):
    """One line of the table."""

    label: str
    value: float
    unit: str
    note: str = ""


class Subject(NamedTuple):
    """The network to count."""

    name: str
    net: nn.Module
    upscale: int
    num_in_ch: int


def add_parser(subparsers: Any) -> None:
    """Add `smsr flops`."""
    parser = subparsers.add_parser(
        "flops",
        help="count parameters and multiply-adds",
        description="Count a network's parameters and multiply-adds (one multiply-add counts "
        "once; biases, activations, pooling and interpolation do not count).",
    )
    add, many = parser.add_argument, {"action": "extend", "nargs": "+", "default": []}
    add("name", nargs="?", metavar="NETWORK", help="name in BasicSR's registry: SMSR, EDSR, ...")
    add("--opt", type=path, metavar="YML", help="take network_g of an option file")
    add("--weights", type=path, metavar="FILE", help="checkpoint of a network with masks")
    add("--upscale", type=positive, metavar="S", help=f"default: {DEFAULT_UPSCALE}")
    add("--set", **many, metavar="KEY=VALUE", help="options of the network")
    size = "output size (default: {} {}); sides are rounded up to the scale".format(*DEFAULT_SIZE)
    sizes = parser.add_mutually_exclusive_group()
    sizes.add_argument("--size", nargs=2, type=positive, metavar=("W", "H"), help=size)
    sizes.add_argument("--lq-size", nargs=2, type=positive, metavar=("W", "H"),
        help="the size of the lq image, such as NTIRE's 256 256")  # fmt: skip
    add("--density", **many, type=finite, metavar="D",
        help="masks: also count with this share of important pixels")  # fmt: skip
    add("--image", **many, type=path, metavar="LQ",
        help="masks: also count with those of these lq images")  # fmt: skip
    add("--json", action="store_true", help="print one object, numbers in units of one")
    add_imports(parser)
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Count and print; return 0, or 2 after one line on stderr if it cannot be done."""
    try:
        _check_sources(args)
        subject = _subject(args)
        size, lq_size = _sizes(subject.upscale, args)
        rows = _rows(subject, lq_size, args)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    if args.json:
        figures = {row.label.strip(): round(row.value * UNITS[row.unit]) for row in rows}
        about = {"network": subject.name, "upscale": subject.upscale}
        print(json.dumps(about | {"size": size, "lq_size": lq_size, "figures": figures}, indent=2))
        return 0
    print(
        f"{subject.name} x{subject.upscale}, output {size[0]}×{size[1]}, "
        f"lq {lq_size[0]}×{lq_size[1]}"
    )
    print(table(rows))
    if subject.name == "SMSR" and args.weights is None:
        print("Without --weights, every channel of the blocks is taken as sparse.")
    return 0


def _check_sources(args: argparse.Namespace) -> None:
    """Raise ValueError if the arguments name no network, or several."""
    if args.weights is not None:
        if args.opt is not None or args.set or args.name not in (None, "SMSR"):
            raise ValueError("--weights says the network: leave out --opt, --set, other names")
    elif (args.name is None) == (args.opt is None):
        raise ValueError("give one of these: the name of a network, --opt, --weights")
    elif args.opt is not None and args.upscale is not None:
        raise ValueError("--opt says the scale: leave --upscale out")


def _subject(args: argparse.Namespace) -> Subject:
    if args.weights is not None:
        from smsr_plugin.checkpoints.masked_networks import load

        net = load(args.weights)
        if args.upscale not in (None, net.config.upscale):
            raise ValueError(f"{args.weights} is for x{net.config.upscale}, not x{args.upscale}")
        return Subject(type(net).__name__, net, net.config.upscale, net.config.num_in_ch)
    # BasicSR takes seconds to import, and --weights does not need it.
    from smsr_plugin.training.options.errors import OptionError
    from smsr_plugin.training.options.file import parse_yaml, read_option_network
    from smsr_plugin.training.registration import build_architecture

    name, upscale, options = args.name, args.upscale or DEFAULT_UPSCALE, {}
    if args.opt is not None:
        found = read_option_network(args.opt)
        name, upscale, options = found.name, found.scale or DEFAULT_UPSCALE, found.options
    for entry in args.set:
        key, equals, value = entry.partition("=")
        if not equals:
            raise OptionError(f"--set {entry}: expected KEY=VALUE, such as num_feat=32")
        options[key] = parse_yaml(value, f"--set {entry}")
    built = build_architecture(name, options, upscale)
    return Subject(name, built.net, built.upscale, built.num_in_ch)


def _sizes(upscale: int, args: argparse.Namespace) -> tuple[tuple[int, int], tuple[int, int]]:
    """Return width and height of the output and of the lq image."""
    from smsr_plugin.complexity.counter import lq_size

    if args.lq_size:
        width, height = args.lq_size
        return (width * upscale, height * upscale), (width, height)
    width, height = args.size or DEFAULT_SIZE
    lq_height, lq_width = lq_size((height, width), upscale)
    return (width, height), (lq_width, lq_height)


def _rows(subject: Subject, lq_size: tuple[int, int], args: argparse.Namespace) -> list[Row]:
    from smsr_plugin.archs.masked import MaskedNetwork
    from smsr_plugin.complexity.counter import profile

    name, net, _, num_in_ch = subject
    width, height = lq_size
    rows = network_rows(profile(net, (height, width), num_in_ch))
    if isinstance(net, MaskedNetwork):
        fresh = args.weights is None
        rows += masked_rows(net, height * width, args.density, args.image, fresh=fresh)
    elif args.density or args.image:
        raise ValueError(f"--density and --image are for networks with masks, not for {name}")
    return rows


def network_rows(complexity: Complexity) -> list[Row]:
    """Return the rows that every network has."""
    rows = [Row("parameters", (complexity.params - complexity.mask_params) / 1e3, "K")]
    if complexity.mask_params:
        rows.append(Row("channel mask logits", complexity.mask_params / 1e3, "K"))
    return [*rows, Row("multiply-adds", complexity.macs / 1e9, "G")]


def masked_rows(
    net: MaskedNetwork,
    lq_pixels: int,
    densities: Sequence[float],
    images: Sequence[Path],
    *,
    fresh: bool,
) -> list[Row]:
    """Return the rows that only a network with masks has.

    Args:
        net: The network.
        lq_pixels: Pixels of the lq image that the other rows are for.
        densities: Also count with these.
        images: Also count with the masks of these lq images.
        fresh: The weights are fresh: every channel is taken as sparse.

    Raises:
        ValueError: If there are images for fresh weights, or a density is not in 0…1.
    """
    from smsr_plugin.complexity.masked_cost import masked_cost

    if fresh and images:
        raise ValueError("--image needs --weights: the masks of fresh weights say nothing")
    # Without values every channel is sparse.
    cost = masked_cost((copy.deepcopy(net).to("meta") if fresh else net).program())
    rows = part_rows(cost, lq_pixels) + density_rows(cost, lq_pixels, densities)
    return rows + [image_row(net, path) for path in images]


def part_rows(cost: MaskedCost, lq_pixels: int) -> list[Row]:
    """Return the parts of the multiply-adds; the masked layers and their fuses come last."""
    parts = {PARTS.get(name, name): value for name, value in cost.parts.items()}
    every_pixel = sum(parts.pop(name, 0) for name in MASKED_PARTS)
    parts["masked, every pixel"] = every_pixel
    parts["masked, important pixels"] = sum(cost.of_macs.at_important)
    rows = [Row(f"  {part}", value * lq_pixels / 1e9, "G") for part, value in parts.items()]
    rows[-1] = rows[-1]._replace(note="× density")
    return rows


def density_rows(cost: MaskedCost, lq_pixels: int, densities: Sequence[float]) -> list[Row]:
    """Return the multiply-adds with the same density in each block, for each density."""
    return [
        Row(
            f"at density {density:g}",
            cost.macs([density] * len(cost.of_macs.at_important), lq_pixels) / 1e9,
            "G",
        )
        for density in densities
    ]


def image_row(net: MaskedNetwork, path: Path) -> Row:
    """Return the multiply-adds for one lq image, with the density in each block."""
    import torch

    from smsr_plugin.complexity.masked_cost import masked_cost
    from smsr_plugin.images.pixels import as_lq
    from smsr_plugin.images.rgb import read_rgb
    from smsr_plugin.sparse import SparseStats

    lq = torch.from_numpy(as_lq(read_rgb(path)))
    with torch.inference_mode():
        masks = net(lq, return_masks=True).spa_mask > 0
    stats = SparseStats.of(masks, masked_cost(net.program()))
    densities = " ".join(f"{density:.3f}" for density in stats.spa_density[0].tolist())
    height, width = lq.shape[2:]
    return Row(
        f"{printable(path.name)}, lq {width}×{height}",
        stats.macs[0] / 1e9,
        "G",
        f"{stats.kept:.1%} of {stats.macs_dense / 1e9:.2f} G; density in blocks {densities}",
    )


def table(rows: Sequence[Row]) -> str:
    """Return the rows aligned, one a line."""
    width = max(len(row.label) for row in rows)
    lines = (f"{row.label:<{width}} {row.value:10.2f} {row.unit} {row.note}" for row in rows)
    return "\n".join(line.rstrip() for line in lines)
