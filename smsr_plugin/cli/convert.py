"""`smsr convert`: a checkpoint of a network with masks to a safetensors file for values in 0…1."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import bad_usage, path
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from pathlib import Path

    from smsr_plugin.archs.masked import MaskedNetwork
    from smsr_plugin.config import SMSRConfig

#: Channels of photographs.
RGB = 3


def add_parser(subparsers: Any) -> None:
    """Add `smsr convert`."""
    parser = subparsers.add_parser(
        "convert",
        help="turn a checkpoint into safetensors",
        description="Read a checkpoint of an SMSR (the released weights, BasicSR's net_g_*.pth, a "
        "state dict or safetensors), or of another network with masks, and write it as "
        "safetensors for values in 0…1.",
    )
    parser.add_argument("input", metavar="IN", type=path, help="checkpoint to read")
    parser.add_argument("output", metavar="OUT", type=path, help="file to write, *.safetensors")
    parser.add_argument(
        "--param-key",
        metavar="KEY",
        help="entry that holds the weights (default: params_ema, params or state_dict)",
    )
    parser.add_argument(
        "--calibrate",
        metavar="DIR",
        type=path,
        help="choose, by photographs in DIR, the range of features for --precision int8",
    )
    parser.add_argument("--half", action="store_true", help="store weights as float16")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; return 0, or 2 after one line on stderr if it cannot be done."""
    from smsr_plugin.checkpoints import CheckpointError
    from smsr_plugin.checkpoints.masked_networks import load_described, save

    try:
        if args.output.exists() and not args.force:
            raise CheckpointError(f"{args.output} exists; --force replaces it")
        found = load_described(args.input, param_key=args.param_key)
        if args.calibrate is not None:
            calibrate(found.net, args.calibrate)
        save(found.net, args.output, {"source": args.input.name}, half=args.half)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    print(f"read   {printable(args.input)}: {found.kind}")
    print(describe(found.net, found.config))
    print(f"wrote  {printable(args.output)}: safetensors, values in 0…1")
    return 0


def calibrate(net: MaskedNetwork, photographs: Path) -> None:
    """Choose the peaks of an SMSR's features by a folder of photographs.

    Raises:
        ValueError: If it is no SMSR of RGB images, or the photographs are too few or too small.
        OSError: If one cannot be read.
    """
    from smsr_plugin.archs.peaks import PIECES, choose_peaks
    from smsr_plugin.archs.smsr_arch import SMSR
    from smsr_plugin.sparsify.photographs import read_photographs

    if not isinstance(net, SMSR) or net.config.num_in_ch != RGB:
        name, channels = type(net).__name__, net.config.num_in_ch
        raise ValueError(
            "--calibrate expects an SMSR of RGB images, because only its blocks run in 8 bits, "
            f"got {name} of {channels} channels; leave it out"
        )
    pieces = read_photographs(photographs, net.config.upscale, pieces=PIECES).pieces
    net.feature_peaks = choose_peaks(net, pieces)


def describe(net: MaskedNetwork, stored: SMSRConfig | None) -> str:
    """Return a few lines on a network: its configuration, size and channels.

    Args:
        net: As it was loaded.
        stored: What an SMSR's file holds, of any value range; None for other networks.
    """
    from smsr_plugin.archs.smsr_program import PEAKS
    from smsr_plugin.complexity.masked_cost import masked_cost

    config = net.config
    masks = sum(value.numel() for key, value in net.named_parameters() if "ch_mask" in key)
    params = sum(value.numel() for value in net.parameters()) - masks
    lines = [
        f"  upscale {config.upscale}, num_feat {config.num_feat}, num_block {config.num_block}, "
        f"num_layer {config.num_layer}, num_in_ch {config.num_in_ch}",
        f"  {params:,} parameters and {masks:,} channel mask logits",
        f"  dense channels of {config.num_feat} in each layer:",
    ]
    if stored is not None:
        mean = ", ".join(map(str, stored.rgb_mean))
        lines.insert(1, f"  img_range {stored.img_range:g}, rgb_mean {mean}")
    for number, counts in enumerate(masked_cost(net.program()).dense_channels, 1):
        lines.append(f"    block {number}: " + " ".join(f"{count:3d}" for count in counts))
    peaks = net.state_dict().get(PEAKS)
    if peaks is not None:
        lines.append(f"  features of up to {peaks.min():.3g} to {peaks.max():.3g} in 8 bits")
    return "\n".join(lines)
