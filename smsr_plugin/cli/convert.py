"""`smsr convert`: any SMSR checkpoint to a safetensors file for values in 0…1."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import bad_usage, path
from smsr_plugin.names import printable

if TYPE_CHECKING:
    from smsr_plugin.archs.smsr_arch import SMSR
    from smsr_plugin.checkpoints import Checkpoint


def add_parser(subparsers: Any) -> None:
    """Add `smsr convert`."""
    parser = subparsers.add_parser(
        "convert",
        help="turn a checkpoint into safetensors",
        description="Read an SMSR checkpoint (the released weights, BasicSR's net_g_*.pth, a "
        "state dict or safetensors) and write it as safetensors for values in 0…1.",
    )
    parser.add_argument("input", metavar="IN", type=path, help="checkpoint to read")
    parser.add_argument("output", metavar="OUT", type=path, help="file to write, *.safetensors")
    parser.add_argument(
        "--param-key",
        metavar="KEY",
        help="entry that holds the weights (default: params_ema, params or state_dict)",
    )
    parser.add_argument("--half", action="store_true", help="store weights as float16")
    parser.add_argument("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Convert; return 0, or 2 after one line on stderr if it cannot be done."""
    from smsr_plugin.checkpoints import CheckpointError, load, read, save

    try:
        if args.output.exists() and not args.force:
            raise CheckpointError(f"{args.output} exists; --force replaces it")
        checkpoint = read(args.input, param_key=args.param_key)
        net = load(args.input, param_key=args.param_key)
        save(net, args.output, {"source": args.input.name}, half=args.half)
    except CheckpointError as error:
        return bad_usage(args, error)
    print(f"read   {printable(args.input)}: {checkpoint.kind}")
    print(describe(checkpoint, net))
    print(f"wrote  {printable(args.output)}: safetensors, values in 0…1")
    return 0


def describe(checkpoint: Checkpoint, net: SMSR) -> str:
    """Return a few lines on the configuration, the size and the channels of a network."""
    from smsr_plugin.complexity import masked_cost

    config = checkpoint.config
    masks = sum(value.numel() for key, value in net.named_parameters() if "ch_mask" in key)
    params = sum(value.numel() for value in net.parameters()) - masks
    lines = [
        f"  upscale {config.upscale}, num_feat {config.num_feat}, num_block {config.num_block}, "
        f"num_layer {config.num_layer}, num_in_ch {config.num_in_ch}",
        f"  img_range {config.img_range:g}, rgb_mean {', '.join(map(str, config.rgb_mean))}",
        f"  {params:,} parameters and {masks:,} channel mask logits",
        f"  dense channels of {config.num_feat} in each layer:",
    ]
    for number, counts in enumerate(masked_cost(net.program()).dense_channels, 1):
        lines.append(f"    block {number}: " + " ".join(f"{count:3d}" for count in counts))
    return "\n".join(lines)
