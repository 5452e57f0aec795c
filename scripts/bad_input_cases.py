"""The cases of `bad_inputs.py`: what is wrong, how to make it so, and the command to run."""

from __future__ import annotations

import os
import shutil
import struct
import subprocess
import sys
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import yaml
from PIL import Image

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.data.lmdb_store import LmdbWriter
from smsr_plugin.images.rgb import encode_png

SMSR_COMMAND = (sys.executable, "-m", "smsr_plugin.cli.main")
TRAIN, TEST = "train -opt train.yml", "test -opt test.yml"
STATE = "experiments/x/training_states/4.state"


@dataclass(frozen=True)
class Case:
    """What is wrong, the arguments of `smsr`, and how to make it so in a folder of whole inputs."""

    what: str
    arguments: str
    prepare: Callable[[Path], object] = lambda folder: None


class Code:
    """Unpickles by making a folder, where the reader lets it."""

    def __reduce__(self):
        return os.mkdir, ("it ran",)


def base(folder: Path) -> None:
    """Make whole inputs: weights, photos, pairs, LMDBs, option files."""
    torch.manual_seed(0)
    net = SMSR(num_feat=8, num_layer=2, num_block=2)
    torch.save({"params": net.state_dict()}, folder / "net.pth")
    rng = np.random.default_rng(0)
    for name, size in (("gt", 32), ("lq", 16)):
        (folder / name).mkdir()
        store = folder / f"{name}.lmdb"
        store.mkdir()
        with LmdbWriter(store) as writer:
            for number in range(6):
                pixels = rng.integers(0, 256, (size, size, 3), np.uint8)
                Image.fromarray(pixels).save(folder / name / f"{number}.png")
                writer.put([(str(number), encode_png(pixels), (size, size, 3))])
    data = {"type": "CheckedPairedImageDataset", "name": "pairs", "io_backend": {"type": "disk"}}
    data |= {"dataroot_gt": "gt", "dataroot_lq": "lq"}
    loader = {"gt_size": 16, "use_hflip": True, "use_rot": True, "num_worker_per_gpu": 0}
    loader |= {"batch_size_per_gpu": 2, "dataset_enlarge_ratio": 1}
    network = {"type": "SMSR", "num_feat": 8, "num_layer": 2, "num_block": 2, "upscale": 2}
    options = {"name": "x", "model_type": "SMSRModel", "scale": 2, "num_gpu": 0}
    options |= {"network_g": network, "path": {"pretrain_network_g": None}}
    adam = {"type": "Adam", "lr": 1e-3}
    train = {"optim_g": adam, "scheduler": {"type": "MultiStepLR", "milestones": [9]}}
    train |= {"total_iter": 4, "pixel_opt": {"type": "L1Loss"}, "iters_per_epoch": 2}
    train |= {"sparsity_opt": {"type": "SparsityLoss"}, "warmup_iter": -1, "ema_decay": 0.9}
    logger = {"print_freq": 1, "save_checkpoint_freq": 2, "use_tb_logger": False}
    write(folder / "train.yml", {**options, "train": train, "logger": logger},
          datasets={"train": {**data, **loader}})  # fmt: skip
    val = {"save_img": True, "suffix": None}
    write(folder / "test.yml", {**options, "val": val}, datasets={"test": data},
          path={"pretrain_network_g": "net.pth"})  # fmt: skip


def write(file: Path, options: dict, **sections: object) -> None:
    file.write_text(yaml.safe_dump({**options, **sections}, sort_keys=False))


def changed(file: str, place: str, value: object) -> Callable[[Path], None]:
    """Return what sets one key of an option file; None removes it."""

    def change(folder: Path) -> None:
        options = yaml.safe_load((folder / file).read_text())
        *sections, last = place.split(".")
        section = options
        for key in sections:
            section = section[key]
        if value is None:
            del section[last]
        else:
            section[last] = value
        write(folder / file, options)

    return change


def together(*steps: Callable[[Path], object]) -> Callable[[Path], None]:
    return lambda folder: [step(folder) for step in steps] and None


def file(name: str, content: bytes) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(content)


def cut(name: str, share: float = 0.5) -> Callable[[Path], None]:
    return lambda folder: os.truncate(folder / name, int((folder / name).stat().st_size * share))


def pipe(name: str) -> Callable[[Path], None]:
    return lambda folder: os.mkfifo(folder / name)


def saved(name: str, content: Callable[[], object]) -> Callable[[Path], None]:
    return lambda folder: torch.save(content(), folder / name)


def compressed(folder: Path) -> None:
    with (
        zipfile.ZipFile(folder / "net.pth") as whole,
        zipfile.ZipFile(folder / "bomb.pth", "w", zipfile.ZIP_DEFLATED) as bomb,
    ):
        for entry in whole.namelist():
            bomb.writestr(entry, whole.read(entry) + bytes(10_000_000))


def claiming(name: str, side: int = 100_000) -> Callable[[Path], object]:
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    content = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        for kind, data in chunks
    )
    return file(name, content)


def terabytes(folder: Path) -> None:
    changed("train.yml", "network_g.num_feat", 10_000)(folder)
    changed("train.yml", "network_g.num_block", 200)(folder)


def linked_out(folder: Path) -> None:
    shutil.copytree(folder / "lq", folder / "in/a")
    (folder / "away").mkdir()
    (folder / "out").mkdir()
    (folder / "out/a").symlink_to(folder / "away")


def lmdbs(folder: Path) -> None:
    for key in ("gt", "lq"):
        changed("train.yml", f"datasets.train.dataroot_{key}", f"{key}.lmdb")(folder)
    changed("train.yml", "datasets.train.io_backend", {"type": "lmdb"})(folder)


def without_an_entry(folder: Path) -> None:
    lmdbs(folder)
    for key in ("gt", "lq"):
        with (folder / f"{key}.lmdb/meta_info.txt").open("a") as lines:
            lines.write("7.png (16,16,3) 1\n")


def damaged_pages(folder: Path) -> None:
    lmdbs(folder)
    data = bytearray((folder / "gt.lmdb/data.mdb").read_bytes())
    for start in range(2 * 4096, len(data), 4096):
        if struct.unpack_from("=H", data, start + 10)[0] == 2:  # a leaf: its first entry's length
            pointer = struct.unpack_from("=H", data, start + 16)[0]
            struct.pack_into("=I", data, start + pointer, 2**32 - 1)
    (folder / "gt.lmdb/data.mdb").write_bytes(data)


def removed_while_running(folder: Path) -> None:
    lmdbs(folder)
    changed("train.yml", "train.total_iter", 10**6)(folder)
    changed("train.yml", "logger.save_checkpoint_freq", 10**6)(folder)
    log = "experiments/x/train_*.log"
    command = f"until grep -qs 'epoch: .*lr:' {log}; do [ -d $0 ] || exit; sleep 0.2; done"
    subprocess.Popen(
        ["sh", "-c", f"{command}; rm -r gt.lmdb", str(folder)],
        cwd=folder,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


def trained(folder: Path) -> None:
    subprocess.run([*SMSR_COMMAND, *TRAIN.split()], cwd=folder, capture_output=True, check=True)


def state(**changes: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        trained(folder)
        path = folder / STATE
        torch.save({**torch.load(path, weights_only=True), **changes}, path)

    return change


def resuming(name: str) -> Callable[[Path], None]:
    return changed("train.yml", "path.resume_state", name)


def two_trainings(folder: Path) -> None:
    changed("train.yml", "train.total_iter", 10**6)(folder)
    changed("train.yml", "logger.save_checkpoint_freq", 10**6)(folder)
    until_removed = '"$@" & while [ -d "$0" ]; do sleep 1; done; kill $!'
    command = ["sh", "-c", until_removed, str(folder), *SMSR_COMMAND, *TRAIN.split()]
    subprocess.Popen(command, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    lock = folder / "experiments/.x.lock"
    subprocess.run(
        ["sh", "-c", f"until [ -s {lock} ]; do sleep 0.2; done"], check=True, timeout=600
    )


CODE = saved("w.pth", lambda: {"params": Code()})
LAUGHS = "a0: &a0 [x]\n" + "".join(
    f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]\n" for n in range(1, 10)
)
CASES = (
    Case("no such option file", "train -opt none.yml"),
    Case("option file is a pipe", "train -opt p.yml", pipe("p.yml")),
    Case("code in the option file", TRAIN,
         file("train.yml", b"a: !!python/object/apply:os.system [id]")),
    Case("aliases of aliases (10⁹ values)", TRAIN, file("train.yml", LAUGHS.encode())),
    Case("a key twice", TRAIN, file("train.yml", b"name: a\nname: b")),
    Case("not UTF-8", TRAIN, file("train.yml", b"name: \xff\xfe")),
    Case("option file of 100 MB", TRAIN, lambda f: os.truncate(f / "train.yml", 10**8)),
    Case("unknown key", TRAIN, changed("train.yml", "train.total_itr", 5)),
    Case("text for a number", TRAIN, changed("train.yml", "train.total_iter", "many")),
    Case("scale 1e9", TRAIN, changed("train.yml", "scale", 1e9)),
    Case("num_feat 10⁹", TRAIN, changed("train.yml", "network_g.num_feat", 10**9)),
    Case("weights of terabytes", TRAIN, terabytes),
    Case("10⁹ workers", TRAIN, changed("train.yml", "datasets.train.num_worker_per_gpu", 10**9)),
    Case("name leads out", TRAIN, changed("train.yml", "name", "../../x")),
    Case("module from a folder", TRAIN,
         changed("train.yml", "datasets.train.io_backend", {"type": "memcached", "sys_path": "."})),
    Case("no such data set", TRAIN, changed("train.yml", "datasets.train.dataroot_gt", "none")),
    Case("an image cut short", TRAIN, cut("lq/3.png")),
    Case("an image that is text", TRAIN, file("gt/3.png", b"hello")),
    Case("a 100,000×100,000 PNG", TRAIN, claiming("gt/3.png")),
    Case("an LMDB cut short", TRAIN, together(lmdbs, cut("gt.lmdb/data.mdb"))),
    Case("an LMDB that kills LMDB", TRAIN, damaged_pages),
    Case("a key that is listed and not there", TRAIN, without_an_entry),
    Case("key `../../etc/x`", TRAIN,
         together(lmdbs, file("gt.lmdb/meta_info.txt", b"../../etc/x.png (9,9,3) 1\n"))),
    Case("list of keys is no text", TRAIN,
         together(lmdbs, file("gt.lmdb/meta_info.txt", b"\xff\xfe"))),
    Case("LMDB removed while running", TRAIN, removed_while_running),
    Case("weights hold code", TRAIN,
         together(CODE, changed("train.yml", "path.pretrain_network_g", "w.pth"))),
    Case("state cut short", TRAIN, together(trained, cut(STATE), resuming(STATE))),
    Case("state holds code", TRAIN, together(saved("5.state", Code), resuming("5.state"))),
    Case("state with iter `../x`", TRAIN, together(state(iter="../x"), resuming(STATE))),
    Case("state of another model", TRAIN, together(state(optimizers=[]), resuming(STATE))),
    Case("a second training in the folder", TRAIN, two_trainings),
    Case("weights missing", TEST, changed("test.yml", "path.pretrain_network_g", "none.pth")),
    Case("weights cut short", TEST, cut("net.pth")),
    Case("weights of another size", TEST, changed("test.yml", "network_g.num_feat", 16)),
    Case("data set's name leads out", TEST, changed("test.yml", "datasets.test.name", "../../x")),
    Case("suffix leads out", TEST, changed("test.yml", "val.suffix", "/../../x")),
    Case("an image cut short", TEST, cut("lq/3.png")),
    Case("a pair that does not fit", TEST, lambda f: shutil.copy(f / "lq/2.png", f / "gt/3.png")),
    Case("no image", "upscale none.png -o out --weights net.pth"),
    Case("image is a pipe", "upscale p.png -o out --weights net.pth", pipe("p.png")),
    Case("image cut short", "upscale lq -o out --weights net.pth", cut("lq/3.png")),
    Case("a 100,000×100,000 PNG", "upscale b.png -o out --weights net.pth", claiming("b.png")),
    Case("output leads out by a link", "upscale in -o out --recursive --weights net.pth",
         linked_out),
    Case("suffix leads out", "upscale lq/0.png -o out --suffix /../x --weights net.pth"),
    Case("output would replace the input", "upscale lq/0.png -o lq --weights net.pth"),
    Case("weights missing", "upscale lq/0.png -o out --weights none.pth"),
    Case("weights hold code", "convert w.pth o.safetensors", CODE),
    Case("weights are a pipe", "convert p.pth o.safetensors", pipe("p.pth")),
    Case("compressed zip", "convert bomb.pth o.safetensors", compressed),
    Case("NaN weights", "convert w.pth o.safetensors",
         saved("w.pth", lambda: {"x": torch.tensor([float("nan")])})),
    Case("training state", "convert w.pth o.safetensors",
         saved("w.pth", lambda: {"epoch": 1, "iter": 1, "optimizers": [], "schedulers": []})),
    Case("another network", "convert w.pth o.safetensors",
         saved("w.pth", lambda: {"conv_after_body.weight": torch.ones(3)})),
    Case("text", "convert t.pth o.safetensors", file("t.pth", b"hello")),
    Case("sparse tensor", "convert w.pth o.safetensors",
         saved("w.pth", lambda: {"x": torch.eye(3).to_sparse()})),
    Case("weights missing", "export none.pth o.onnx"),
    Case("weights cut short", "export net.pth o.onnx", cut("net.pth")),
    Case("wrong suffix", "export net.pth o.txt"),
    Case("image cut short", "prepare --root d --valid-hr gt --scales 2", cut("gt/3.png")),
    Case("a 100,000×100,000 PNG", "prepare --root d --valid-hr gt --scales 2",
         claiming("gt/3.png")),
    Case("name that is no key", "prepare --root d --valid-hr gt --scales 2",
         lambda f: (f / "gt/3.png").rename(f / "gt/ü\n.png")),
    Case("no images", "prepare --root d --valid-hr d --scales 2", lambda f: (f / "d").mkdir()),
    Case("image is a pipe", "report p.png --weights net.pth", pipe("p.png")),
    Case("a 100,000×100,000 PNG", "report b.png --weights net.pth", claiming("b.png")),
    Case("image is text", "report t.png --weights net.pth", file("t.png", b"hello")),
    Case("weights hold code", "report lq/0.png --weights w.pth", CODE),
    Case("image cut short", "benchmark net.pth --images gt --rounds 0 --out o", cut("gt/3.png")),
    Case("no such network", "benchmark none.pth --images gt --rounds 0 --out o"),
    Case("weights hold code", "benchmark w.pth --images gt --rounds 0 --out o", CODE),
    Case("num_feat 10⁹", "benchmark EDSR,num_feat=1000000000 --images gt --rounds 0 --out o"),
    Case("image is a pipe", "flops --weights net.pth --image p.png", pipe("p.png")),
    Case("unknown network", "flops SMSRR"),
    Case("num_block 10⁹", "flops SMSR --set num_block=1000000000"),
    Case("weights hold code", "flops --weights w.pth", CODE),
)  # fmt: skip
