"""From folders of HR images to the LMDBs of lq/gt pairs that BasicSR trains and validates on.

Training images are cut into sub-images, validation images are kept whole; BasicSR itself crops gt
to the multiple of the scale that lq stands for. LR images come from MATLAB's bicubic unless they
are given. Images stream from worker processes straight into the LMDBs; no files lie in between.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from smsr_plugin.config import DIV2K_CROP_SIZE, DIV2K_STEP, UPSCALES
from smsr_plugin.data.entries import HR_SCALE, Grid, entry_shapes, min_hr_size, stream_entries
from smsr_plugin.data.outputs import Output, State, output_path
from smsr_plugin.data.sources import Source, find_sources, raise_faults, with_reduced
from smsr_plugin.images.files import ROLE_NAMES, DataError
from smsr_plugin.names import printable

#: Folders that say which part of a set is in them.
SPLIT_NAMES = ("train", "valid", "val", "test")
#: What the outputs of the official folders are called.
OFFICIAL = "DIV2K"
DIV2K_GRID = Grid(DIV2K_CROP_SIZE, DIV2K_STEP)
_NO_NAME = re.compile(r"[^A-Za-z0-9_-]+")

_DONE = {
    State.MISSING: "made",
    State.BROKEN: "made again, was incomplete",
    State.WHOLE: "kept",
    State.FOREIGN: "replaced",
}


@dataclass(frozen=True)
class Request:
    """What to prepare.

    Attributes:
        root: Gets the outputs. The official folders DIV2K_train_HR, DIV2K_valid_HR and
            DIV2K_{train,valid}_LR_bicubic/X{scale} are looked for here.
        scales: Some of 2, 3, 4.
        train_hr: Folder of HR images to train on, in place of the official one.
        valid_hr: Folder of HR images to validate on, in place of the official one.
        name: What the outputs are called; by default DIV2K, or as the folder of the images.
        grid: The sub-images of training, on HR.
        skip_small: Leave out HR images that are too small, and say so; else they are an error.
        recursive: Also take the images of folders inside the HR folders.
        reduced: Factors below 1: the training images are also taken in copies reduced by them.
        folders: Also write the sub-images as files.
        workers: Number of processes.
        overwrite: Replace outputs that hold other images than those asked for, and make all anew.
        progress: Show progress bars, if there is a terminal.
    """

    root: Path
    scales: tuple[int, ...] = UPSCALES
    train_hr: Path | None = None
    valid_hr: Path | None = None
    name: str | None = None
    grid: Grid = DIV2K_GRID
    skip_small: bool = False
    recursive: bool = False
    reduced: tuple[float, ...] = ()
    folders: bool = False
    workers: int = 1
    overwrite: bool = False
    progress: bool = True

    def __post_init__(self) -> None:
        if not self.scales or not set(self.scales) <= set(UPSCALES):
            raise ValueError(f"scales must be some of {UPSCALES}, got {self.scales}")
        for factor in self.reduced:
            if not 0.01 <= factor < 1 or self.reduced.count(factor) > 1:
                raise ValueError(
                    f"reduced must be different factors from 0.01 to below 1, got {self.reduced}"
                )
        if self.name is not None and (not self.name or _NO_NAME.search(self.name)):
            raise ValueError(
                f"the name must be of letters, digits, hyphens and underscores, got {self.name!r}"
            )
        if self.workers < 1:
            raise ValueError(f"workers must be at least 1, got {self.workers}")
        for scale in self.scales:
            self.grid.shrunk(scale)


@dataclass(frozen=True)
class Prepared:
    """What preparation comes to.

    Attributes:
        outputs: Each output with the state in which it was found.
        notes: On what was left out, a line for each reason.
    """

    outputs: list[tuple[Output, State]]
    notes: list[str]


@dataclass(frozen=True)
class _Split:
    sources: list[Source]
    notes: list[str]
    grid: Grid | None
    outputs: list[Output]


def prepare(request: Request) -> Prepared:
    """Make the outputs that are not there yet; keep those that are whole.

    Images in the official folders make outputs called DIV2K, others ones called as their folder.

    Raises:
        DataError: If there is nothing to prepare, images cannot be used (all of them are named),
            or other images are found under the name of an output.
        OSError: If a file cannot be read or written, or a worker process is killed.
    """
    splits = [split for name in ("train", "valid") if (split := _plan(request, name))]
    if not splits:
        raise DataError(
            f"nothing to prepare: {request.root} holds neither DIV2K_train_HR nor "
            "DIV2K_valid_HR, and no other folder of HR images was named"
        )
    found = {output.path: output.state() for split in splits for output in split.outputs}
    if not request.overwrite:
        _refuse_foreign(found)
    notes: list[str] = []
    for split in splits:
        whole = [output for output in split.outputs if found[output.path] is State.WHOLE]
        kept = [] if request.overwrite else whole
        notes += [*split.notes, *_newer(split.sources, kept)]
        todo = [output for output in split.outputs if output not in kept]
        if todo:
            _make(split, todo, request)
    outputs = [(output, found[output.path]) for split in splits for output in split.outputs]
    return Prepared(outputs, notes)


def _newer(sources: list[Source], kept: list[Output]) -> list[str]:
    """Note images that were written after outputs that are kept: they may have changed."""
    if not kept:
        return []
    oldest = min(kept, key=lambda output: output.made_at)
    newer = [source for source in sources if source.changed_at > oldest.made_at]
    if not newer:
        return []
    count = "1 image is" if len(newer) == 1 else f"{len(newer)} images are"
    return [
        f"{count} newer than {printable(oldest.path)}, which is kept, the first "
        f"{printable(newer[0].hr)}: --overwrite makes all anew"
    ]


def _plan(request: Request, name: str) -> _Split | None:
    official = request.root / f"DIV2K_{name}_HR"
    folder = (request.train_hr if name == "train" else request.valid_hr) or official
    if folder is official and not official.is_dir():
        return None
    scales = sorted(set(request.scales))
    lr_folders: dict[int, Path] = {}
    data_name = request.name or own_name(folder)
    if folder.resolve() == official.resolve():
        data_name = request.name or OFFICIAL
        lr_root = request.root / f"DIV2K_{name}_LR_bicubic"
        lr_folders = {scale: lr_root / f"X{scale}" for scale in scales}
        lr_folders = {scale: path for scale, path in lr_folders.items() if path.is_dir()}
    grid = request.grid if name == "train" else None
    least = min_hr_size(grid, scales)
    found = find_sources(
        folder,
        lr_folders,
        least,
        skip_small=request.skip_small,
        recursive=request.recursive,
    )
    sources = with_reduced(found.sources, request.reduced if grid else (), least)
    outputs: list[Output] = []
    for scale in (HR_SCALE, *scales):
        shapes = {k: v for source in sources for k, v in entry_shapes(source, scale, grid).items()}
        for lmdb in (True, False) if grid and request.folders else (True,):
            path = output_path(request.root, data_name, name, scale, lmdb=lmdb)
            outputs.append(Output(path, name, scale, shapes))
    return _Split(sources, found.notes, grid, outputs)


def own_name(folder: Path) -> str:
    """Return what images are called by their folder: Set5/HR is Set5, photos/train is photos."""
    place = folder.resolve()
    while place.name in (*ROLE_NAMES, *SPLIT_NAMES):
        place = place.parent
    return _NO_NAME.sub("_", place.name).strip("_") or "images"


def _refuse_foreign(found: dict[Path, State]) -> None:
    foreign = [str(path) for path, state in found.items() if state is State.FOREIGN]
    if foreign:
        raise DataError(
            f"{', '.join(foreign)}: there already, with other images or sub-images than those "
            "asked for; remove, overwrite, or choose another root"
        )


def _make(split: _Split, outputs: list[Output], request: Request) -> None:
    scales = sorted({output.scale for output in outputs})
    faults: list[str] = []
    with ExitStack() as stack:
        writers = [(output.scale, stack.enter_context(output.writing())) for output in outputs]
        results = stack.enter_context(
            closing(stream_entries(split.sources, scales, split.grid, request.workers))
        )
        bar = tqdm(
            results,
            total=len(split.sources),
            desc=f"{outputs[0].split} images",
            unit="image",
            disable=None if request.progress else True,  # None: only on a terminal
        )
        for entries in bar:
            if isinstance(entries, DataError):
                # Nothing will be kept, but all bad images shall be named at once.
                faults.append(str(entries))
            elif not faults:
                for scale, write in writers:
                    write(entries[scale])
        raise_faults(faults)


def report(prepared: Prepared, *, overwritten: bool = False) -> str:
    """Format what was made and kept, and the option lines that use it."""
    lines: list[str] = []
    for output, state in prepared.outputs:
        done = _DONE[State.FOREIGN if overwritten and state is not State.MISSING else state]
        lines.append(f"{printable(output.path)}: {len(output.shapes)} images, {done}")
    outputs = [output for output, _ in prepared.outputs]
    for scale in sorted({output.scale for output in outputs} - {HR_SCALE}):
        lines += ["", f"For scale {scale}, in the option file:", "datasets:"]
        for split, name in (("train", "train"), ("valid", "val")):
            if any(output.split == split for output in outputs):
                lines += [f"  {name}:", *_option_lines(outputs, split, scale)]
    return "\n".join(lines)


def _option_lines(outputs: Sequence[Output], split: str, scale: int) -> list[str]:
    roots = {o.scale: o.path for o in outputs if o.split == split and o.is_lmdb}
    return [
        f"    dataroot_gt: {_yaml_path(roots[HR_SCALE])}",
        f"    dataroot_lq: {_yaml_path(roots[scale])}",
        "    io_backend:",
        "      type: lmdb",
    ]


def _yaml_path(path: Path) -> str:
    text = path.as_posix()
    # A JSON string is a YAML string.
    return text if re.fullmatch(r"[\w/][\w/. -]*\b", text) else json.dumps(text)
