"""`smsr upscale` of a video."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from smsr_plugin.cli.arguments import FAILED, INTERRUPTED, bad_usage
from smsr_plugin.cli.upscale_network import load_enlarger, weights_file
from smsr_plugin.images.errors import SHORTAGE, ImageError
from smsr_plugin.names import printable
from smsr_plugin.processes import TORCHRUN
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling.inputs import result_path
from smsr_plugin.version import __version__

if TYPE_CHECKING:
    from smsr_plugin.upscaling.video.run import VideoOutcome, VideoUpscaler

#: Options that mean nothing for a video, with what stands for "not given".
OF_IMAGES = {"masks": None, "recursive": False, "ext": "same", "budget": None}
#: Options that decide the pixels.
DECISIVE = (
    *("weights", "scale", "outscale", "density", "threshold", "precision", "dense", "engine"),
    *("tile", "tile_overlap"),
)


def run(args: argparse.Namespace) -> int:
    """Upscale a video; return 0, 1 if it fails on the way, 2 on wrong usage, 130 if interrupted."""
    try:
        out = _result(args)
        if args.skip_existing and out.exists():
            print(printable(f"{args.inputs[0]}: skipped, {out} is there"))
            return 0
        upscaler = _upscaler(args, out)
        made_of = _made_of(args)
    except (ValueError, OSError) as error:
        return bad_usage(args, error)
    for note in upscaler.notes:
        _say(f"note: {upscaler.clip.path}: {note}")
    try:
        outcome = _work(upscaler, made_of)
    except KeyboardInterrupt:
        _say("interrupted; the same command goes on")
        return INTERRUPTED
    except (ImageError, OSError, MemoryError) as error:
        _say(f"error: {str(error) or SHORTAGE}; the same command goes on")
        return FAILED
    report = json.dumps(_report(upscaler, outcome), indent=2)
    print(report if args.json else printable(_line(upscaler, outcome)))
    return 0


def _result(args: argparse.Namespace) -> Path:
    given = [name for name, default in OF_IMAGES.items() if getattr(args, name) != default]
    if given:
        raise RequestError(f"--{given[0]} is for images, and {args.inputs[0]} is a video")
    if TORCHRUN in os.environ:
        raise RequestError("one process at a time makes a video: leave out torchrun")
    return result_path(args.inputs, args.out, args.suffix)


def _upscaler(args: argparse.Namespace, out: Path) -> VideoUpscaler:
    from smsr_plugin.upscaling.video.clip import Clip
    from smsr_plugin.upscaling.video.run import VideoUpscaler

    clip = Clip.open(Path(args.inputs[0]), args.max_pixels)
    return VideoUpscaler(clip, out, load_enlarger(args), args.crf)


def _made_of(args: argparse.Namespace) -> str:
    """Return what decides the result, a line for each thing: see `Segments`."""
    import av

    source = Path(args.inputs[0]).resolve()
    status = source.stat()
    with weights_file(args).open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    lines = [f"smsr_plugin {__version__}, PyAV {av.__version__}", f"weights {digest}"]
    lines += [f"{source} {status.st_size} {status.st_mtime_ns}"]
    return "\n".join([*lines, *(f"{name} {getattr(args, name)}" for name in DECISIVE)])


def _work(upscaler: VideoUpscaler, made_of: str) -> VideoOutcome:
    from tqdm import tqdm

    total = upscaler.clip.num_frames or None
    with tqdm(total=total, unit="frame", disable=None, leave=False) as bar:
        bar.set_postfix_str(printable(upscaler.clip.path.name))

        def progress(done: int) -> None:
            if not bar.n:
                bar.initial = done  # so that the time left is told from this run's frames alone
            bar.update(done - bar.n)

        return upscaler.run(made_of, progress)


def _say(text: str) -> None:
    print(f"smsr upscale: {printable(text)}", file=sys.stderr)


def _line(upscaler: VideoUpscaler, outcome: VideoOutcome) -> str:
    clip, (width, height) = upscaler.clip, outcome.size
    sizes = f"{clip.width}×{clip.height} → {width}×{height}"
    resumed = f" ({outcome.resumed} of an earlier run)" if outcome.resumed else ""
    density = "" if outcome.density is None else f", density {outcome.density:.2f}"
    frames = f"{outcome.frames} frames{resumed}{density}, {outcome.seconds:.2f} s"
    return f"{clip.path} → {upscaler.out}  {sizes}, {clip.colours.written}, {frames}"


def _report(upscaler: VideoUpscaler, outcome: VideoOutcome) -> dict[str, Any]:
    """Return what became of the video as plain values, fit for JSON."""
    clip = upscaler.clip
    files = {"source": str(clip.path), "target": str(upscaler.out), "notes": upscaler.notes}
    lq = {"lq_size": (clip.width, clip.height), "pixel_format": clip.colours.written}
    return {"video": {**files, **lq, **asdict(outcome)}}
