"""`smsr export`: a checkpoint of a network with masks to an ONNX file."""

from __future__ import annotations

import argparse
from typing import Any

from smsr_plugin.cli.arguments import bad_usage, path
from smsr_plugin.names import printable

DESCRIPTION = """\
Write a network with masks as an ONNX file: lq images of any size and batch,
(batch, 3, height, width), float32, RGB in 0…1. It computes the masks from the
image and applies them, but computes every pixel all the same: inference that
skips what the masks leave out is `smsr upscale`."""


def add_parser(subparsers: Any) -> None:
    """Add the command to `smsr`'s subparsers."""
    parser = subparsers.add_parser(
        "export",
        help="write a checkpoint as an ONNX file",
        usage="%(prog)s CHECKPOINT OUT [options]",
        description=DESCRIPTION,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add(
        "checkpoint",
        metavar="CHECKPOINT",
        type=path,
        help="of a network with masks",
    )
    add("output", metavar="OUT", type=path,
        help="*.onnx; with --every-pixel also *.xml (OpenVINO) or *.param (ncnn)",
    )  # fmt: skip
    add(
        "--every-pixel",
        action="store_true",
        help="leave out the masks and what predicts them",
    )
    add(
        "--threshold",
        metavar="T",
        type=float,
        default=0.0,
        help="compute where the mask's logit exceeds T (default: 0, as trained)",
    )
    add("--masks", action="store_true", help="add the masks as a second output, spa_mask")
    add(
        "--param-key",
        metavar="KEY",
        help="entry with the weights (params_ema, params or state_dict)",
    )
    add("--force", action="store_true", help="replace OUT if it exists")
    parser.set_defaults(run=run)


def run(args: argparse.Namespace) -> int:
    """Run the command; return 0, or 2 after one line on stderr if it cannot be done."""
    from smsr_plugin.checkpoints import CheckpointError
    from smsr_plugin.checkpoints.masked_networks import load_described
    from smsr_plugin.engines.export import FORMATS, ExportError, export_every_pixel
    from smsr_plugin.onnx_export import OPSET, SUFFIX, OnnxExportError, export_onnx

    try:
        if args.output.exists() and not args.force:
            raise OnnxExportError(f"{args.output} exists; --force replaces it")
        if args.every_pixel and (args.masks or args.threshold):
            raise ExportError("--every-pixel leaves out the masks: no --masks, no --threshold")
        if not args.every_pixel and args.output.suffix in FORMATS and args.output.suffix != SUFFIX:
            raise ExportError(f"{args.output}: masks need {SUFFIX}; --every-pixel does without")
        found = load_described(args.checkpoint, param_key=args.param_key)
        print(f"read   {args.checkpoint}: {found.kind}, x{found.net.config.upscale}", flush=True)
        if args.every_pixel:
            difference = export_every_pixel(found.net, args.output)
            print(f"wrote  {printable(args.output)}: every pixel computed, values in 0…1")
            print(f"checked in its own library: differs from PyTorch by at most {difference:.1g}")
            return 0
        difference = export_onnx(
            found.net,
            args.output,
            threshold=args.threshold,
            masks=args.masks,
            metadata={"source": args.checkpoint.name},
        )
    except (CheckpointError, ExportError, OnnxExportError) as error:
        return bad_usage(args, error)
    print(f"wrote  {printable(args.output)}: ONNX, opset {OPSET}, values in 0…1")
    if difference is None:
        print("not checked: ONNX Runtime is not installed (pip install onnxruntime)")
    else:
        print(f"checked in ONNX Runtime: differs from PyTorch by at most {difference:.1g}")
    return 0
