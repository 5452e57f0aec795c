"""The structure of the package in numbers, and the way of four things through it.

    python scripts/structure.py [--walks] [--walk NAME] [TREE ...]

Of each tree (a checkout with its kernels built; this one without): files, lines, rooms (folders
that hold Python files), modules and rooms that import each other in a circle, and imports that run
against the layers of the tree's own `pyproject.toml`. With `--walks` four things are followed as
the tree's code runs: an image through `smsr upscale`, an lq image through one step of a training,
an option file that is read and checked, a network through `to_sparse`. A walk is told by the rooms
and files that it enters, and by its climbs: calls from a file to one of a higher layer.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import redirect_stdout
from pathlib import Path

PACKAGE = "smsr_plugin"
#: Of each walk: the function that it is watched in, and which of its classes, if it is a method.
WALKS = {
    "image": ("upscale", [("Batch", "_read"), ("Batch", "_work"), ("Batch", "_write")]),
    "lq": ("train", [("CheckedPairedImageDataset", "__getitem__"), ("SMSRModel", "feed_data"),
                     ("SMSRModel", "optimize_parameters")]),
    "option file": ("train", [("", "read_option_file"), ("", "check_options")]),
    "network": ("convert", [("", "to_sparse")]),
}  # fmt: skip
OPTIONS = """\
name: walk
model_type: SMSRModel
scale: 2
num_gpu: 0
datasets:
  train: {name: tiny, type: CheckedPairedImageDataset, dataroot_gt: gt, dataroot_lq: lq,
    io_backend: {type: disk}, gt_size: 16, use_hflip: true, use_rot: true,
    num_worker_per_gpu: 0, batch_size_per_gpu: 1}
network_g: {type: SMSR, upscale: 2, num_feat: 8, num_block: 2}
path: {}
train: {total_iter: 1, iters_per_epoch: 1, optim_g: {type: Adam, lr: !!float 1e-4},
  scheduler: {type: MultiStepLR, milestones: [1]}, pixel_opt: {type: L1Loss},
  sparsity_opt: {type: SparsityLoss, loss_weight: 0.1}}
logger: {print_freq: 1, save_checkpoint_freq: 1, use_tb_logger: false}
"""


def modules(tree: Path) -> dict[str, Path]:
    """Return the tree's modules by name, in their files."""
    files = sorted((tree / PACKAGE).rglob("*.py"))
    dotted = (".".join(file.relative_to(tree).with_suffix("").parts) for file in files)
    return {name.removesuffix(".__init__"): file for name, file in zip(dotted, files, strict=True)}


def imports(known: Mapping[str, Path]) -> dict[str, set[str]]:
    """Return what each module imports of the others, wherever in it, but for type checkers."""
    found: dict[str, set[str]] = {}
    for name, file in known.items():
        targets: set[str] = set()
        for node in _running(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                targets |= {alias.name for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                inner = {f"{node.module}.{alias.name}" for alias in node.names}
                parts = {target for target in inner if target in known}
                targets |= parts or {node.module} - {PACKAGE}
        found[name] = {target for target in targets if target in known and target != name}
    return found


def _running(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if not (isinstance(child, ast.If) and "TYPE_CHECKING" in ast.unparse(child.test)):
            yield child
            yield from _running(child)


def circles(graph: Mapping[str, set[str]]) -> list[list[str]]:
    """Return the groups of nodes that lead to each other, two or more in each."""
    reached = {node: _reachable(graph, node) for node in graph}
    groups = {
        tuple(sorted(other for other in reached[node] if node in reached[other]))
        for node in graph
        if node in reached[node]
    }
    return [list(group) for group in groups if len(group) > 1]


def _reachable(graph: Mapping[str, set[str]], start: str) -> set[str]:
    seen, left = set[str](), [start]
    while left:
        for target in graph.get(left.pop(), ()):
            if target not in seen:
                seen.add(target)
                left.append(target)
    return seen


def room(file: Path) -> str:
    """Return the room of a file: its folder, itself where it stands beside all folders."""
    place = file if file.parent.name == PACKAGE else file.parent
    return str(place)[str(place).rindex(f"{PACKAGE}/") + len(PACKAGE) + 1 :]


def rooms(known: Mapping[str, Path], graph: Mapping[str, set[str]]) -> dict[str, set[str]]:
    """Return which rooms import from which; a folder is not the folders inside it."""
    found: dict[str, set[str]] = {room(file): set() for file in known.values()}
    for name, targets in graph.items():
        here = room(known[name])
        found[here] |= {room(known[target]) for target in targets} - {here}
    return found


def layers(tree: Path) -> dict[str, int]:
    """Return the height of each part of the package, the highest first in the tree's contract."""
    linter = tomllib.loads((tree / "pyproject.toml").read_text())["tool"]["importlinter"]
    rows = next(c["layers"] for c in linter["contracts"] if c["type"] == "layers")
    return {
        part.strip(" ()").rpartition(".")[2]: height
        for height, row in enumerate(reversed(rows))
        for part in row.split("|")
    }


def height(module: str, parts: Mapping[str, int]) -> int | None:
    return parts.get(module.removeprefix(f"{PACKAGE}.").partition(".")[0])


def figures(tree: Path) -> dict[str, object]:
    known, parts = modules(tree), layers(tree)
    graph = imports(known)
    pairs = [(height(a, parts), height(b, parts)) for a, of in graph.items() for b in of]
    up = sum(1 for low, high in pairs if low is not None and high is not None and low < high)
    return {
        "files": len(known),
        "lines": sum(len(file.read_text().splitlines()) for file in known.values()),
        "rooms": len(rooms(known, graph)),
        "layers": len(set(parts.values())),
        "circles of modules": [[m.removeprefix(f"{PACKAGE}.") for m in c] for c in circles(graph)],
        "circles of rooms": circles(rooms(known, graph)),
        "imports up": up,
    }


def watch(walk: str, tree: Path) -> None:
    """Follow one walk in this process, in the current folder, and print what it entered."""
    _, places = WALKS[walk]
    parts, root = layers(tree), str(tree / PACKAGE)
    entered, climbs = set[str](), set[tuple[str, str]]()

    def profile(frame: object, event: str, _: object) -> None:
        code = frame.f_code  # type: ignore[attr-defined]
        if event != "call" or not code.co_filename.startswith(root):
            return
        above = frame.f_back  # type: ignore[attr-defined]
        caller = None
        while above is not None:
            if above.f_code.co_name == "<module>" and above.f_code.co_filename.startswith(root):
                return  # something is imported for the first time
            if caller is None and above.f_code.co_filename.startswith(root):
                caller = above.f_code.co_filename
            above = above.f_back
        if code.co_name == "<module>":
            return
        entered.add(code.co_filename)
        if caller is not None and caller != code.co_filename:
            heights = [height(_module(file, tree), parts) for file in (caller, code.co_filename)]
            if None not in heights and heights[0] < heights[1]:  # type: ignore[operator]
                climbs.add((caller, code.co_filename))

    def watched(function):  # type: ignore[no-untyped-def]
        def call(*args, **kwargs):  # type: ignore[no-untyped-def]
            sys.setprofile(profile)
            try:
                return function(*args, **kwargs)
            finally:
                sys.setprofile(None)

        return call

    _run(walk, places, watched)
    told = [(_module(a, tree), _module(b, tree)) for a, b in sorted(climbs)]
    found = {"rooms": len({room(Path(file)) for file in entered}), "files": len(entered)}
    which = [f"{a} -> {b}" for a, b in told]
    print(json.dumps({**found, "climbs": len(told), "which": which}))


def _module(file: str, tree: Path) -> str:
    return ".".join(Path(file).relative_to(tree).with_suffix("").parts)


def _run(walk: str, places: list[tuple[str, str]], watched) -> None:  # type: ignore[no-untyped-def]
    import importlib

    tree = Path(importlib.import_module(PACKAGE).__file__ or "").parents[1]
    command, _ = WALKS[walk]
    if command == "convert":
        import torch

        package = importlib.import_module(PACKAGE)
        torch.manual_seed(0)
        watched(package.to_sparse)(package.SMSR(num_feat=8).eval())
        return
    if command == "train":  # as the command does, which puts BasicSR's missing module in place
        folder = "training" if (tree / PACKAGE / "training").is_dir() else "basicsr_compat"
        importlib.import_module(f"{PACKAGE}.{folder}")
    for holder, name in places:
        owner = importlib.import_module(_home(tree, holder, name))
        owner = getattr(owner, holder) if holder else owner
        setattr(owner, name, watched(getattr(owner, name)))
    main = importlib.import_module(f"{PACKAGE}.cli.main").main
    arguments = {"upscale": ["upscale", "lq/0.png", "-o", "out", "--weights", "net.safetensors"],
                 "train": ["train", "-opt", "walk.yml"]}  # fmt: skip
    with redirect_stdout(sys.stderr):
        code = main(arguments[command])
    assert code == 0, f"the command ended with {code}"


def _home(tree: Path, holder: str, name: str) -> str:
    """Return the module that defines a function, or a class with such a method."""
    for module, file in modules(tree).items():
        body = ast.parse(file.read_text(encoding="utf-8")).body
        if holder:
            held = [n for n in body if isinstance(n, ast.ClassDef) and n.name == holder]
            body = [inner for node in held for inner in node.body]
        if any(isinstance(node, ast.FunctionDef) and node.name == name for node in body):
            return module
    raise LookupError(f"{holder}.{name}".lstrip("."))


def walks(tree: Path, wanted: list[str]) -> dict[str, object]:
    """Follow some of `WALKS`, each in a process of its own that runs the tree's code."""
    found: dict[str, object] = {}
    if not wanted:
        return found
    with tempfile.TemporaryDirectory() as folder:
        environment = {**os.environ, "PYTHONPATH": str(tree), "PYTHONWARNINGS": "ignore"}
        prepare = (
            "import numpy as np, cv2, torch, smsr_plugin, pathlib\n"
            "for role, side in (('gt', 32), ('lq', 16)):\n"
            "    pathlib.Path(role).mkdir()\n"
            "    image = np.random.default_rng(0).integers(0, 255, (side, side, 3), np.uint8)\n"
            "    cv2.imwrite(f'{role}/0.png', image)\n"
            "smsr_plugin.save(smsr_plugin.SMSR(num_feat=8), 'net.safetensors')\n"
        )
        subprocess.run([sys.executable, "-c", prepare], cwd=folder, env=environment, check=True)
        (Path(folder) / "walk.yml").write_text(OPTIONS)
        for walk in wanted:
            command = [sys.executable, str(Path(__file__).resolve()), "--watch", walk, str(tree)]
            done = subprocess.run(
                command, cwd=folder, env=environment, capture_output=True, text=True
            )
            last = done.stdout.strip().rpartition("\n")[2]
            found[walk] = json.loads(last) if done.returncode == 0 else done.stderr[-800:]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("trees", nargs="*", type=Path, default=[Path(__file__).parents[1]])
    parser.add_argument("--walks", action="store_true", help="all four")
    parser.add_argument("--walk", action="append", choices=WALKS, default=[], help="one of them")
    parser.add_argument("--watch", choices=WALKS, help=argparse.SUPPRESS)
    args = parser.parse_args()
    for tree in (tree.resolve() for tree in args.trees):
        if args.watch:
            watch(args.watch, tree)
            return
        print(f"{tree.name}:")
        wanted = list(WALKS) if args.walks else args.walk
        for name, value in (figures(tree) | walks(tree, wanted)).items():
            print(f"  {name}: {value}")


if __name__ == "__main__":
    main()
