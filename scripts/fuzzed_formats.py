"""What `fuzz_readers.py` damages: small whole files, their readers, and their errors."""

from __future__ import annotations

import contextlib
import io
import random
import re
import struct
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import safetensors.torch
import torch
from fuzzed_images import PNG_SIGNATURE, image_files, png

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load, save
from smsr_plugin.data import lmdb_store
from smsr_plugin.images import rgb
from smsr_plugin.images.errors import ImageError
from smsr_plugin.images.files import DataError
from smsr_plugin.images.reading import read_picture
from smsr_plugin.training.data.image_sets import CheckedPairedImageDataset
from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.file import read_option_file
from smsr_plugin.training.registration import register_all
from smsr_plugin.training.run.resume import UnreadableError, read_state

OPTION_FILE = Path(__file__).parents[1] / "smsr_plugin/training/options/templates/x2.yml"
#: Bytes that mean something in one format or another.
TELLING = (
    b"\x00", b"\xff", b"\x7f", b"\x80", b"\xff\xff\xff\xff", b"\x00\x00\x00\x80", b"../", b"\n",
    b"\xff" * 8, b"\x00" * 8, b"{", b"}", b"*a", b"&a ", b"!!python/name:os.system ", b"<<: ",
    b": ", b"1e999", b"9" * 30, b"[", b"]", b"c", b"R", b".", b"q\x00", b"h\x00", b"Q",
    b"b", b"\\ud800",
)  # fmt: skip


@dataclass(frozen=True)
class Format:
    """Files that make one valid input, how they are read, and what that may raise."""

    files: Mapping[str, bytes]
    read: Callable[[Path], object]
    errors: tuple[type[Exception], ...]


def damaged(files: Mapping[str, bytes], seed: str) -> dict[str, bytes]:
    """Return the files with one of them damaged, the same way for the same seed."""
    rng = random.Random(seed)
    name = rng.choice(sorted(files))
    content = files[name]
    if content.startswith(b"PK") and rng.random() < 0.6:
        content = _inside_zip(content, rng)
    elif content.startswith(PNG_SIGNATURE) and rng.random() < 0.6:
        content = _inside_png(content, rng)
    else:
        content = _changed(content, rng)
    return {**files, name: content}


def _changed(content: bytes, rng: random.Random) -> bytes:
    data = bytearray(content)
    for _ in range(rng.choice((1, 1, 2, 3, 8))):
        # Most of what can go wrong is near the beginning, where the headers are.
        place = min(rng.randrange(len(data) + 1), rng.choice((16, 64, 512, len(data))))
        length = rng.choice((1, 2, 4, 16, 100, len(data) // 2))
        match rng.randrange(6):
            case 0:
                data[place : place + 1] = bytes([rng.randrange(256)])
            case 1:
                telling = rng.choice(TELLING)
                data[place : place + len(telling)] = telling
            case 2:
                data[place:place] = rng.choice(TELLING)
            case 3:
                del data[place : place + length]
            case 4:
                data[place:place] = data[place : place + length]
            case 5:
                other = rng.randrange(len(data) + 1)
                data[place : place + length] = data[other : other + length]
    return bytes(data)


def _inside_zip(content: bytes, rng: random.Random) -> bytes:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    pickles = [name for name in entries if name.endswith("data.pkl")]
    name = rng.choice(pickles * 8 + list(entries))
    entries[name] = _changed(entries[name], rng)
    stream = io.BytesIO()
    kind = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
    with zipfile.ZipFile(stream, "w", kind) as archive:
        for entry, data in entries.items():
            archive.writestr(entry, data)
    return stream.getvalue()


def _inside_png(content: bytes, rng: random.Random) -> bytes:
    chunks, position = [], len(PNG_SIGNATURE)
    while position < len(content):
        length, kind = struct.unpack_from(">I4s", content, position)
        chunks.append((kind, content[position + 8 : position + 8 + length]))
        position += length + 12
    place = rng.randrange(len(chunks))
    chunks[place] = (chunks[place][0], _changed(chunks[place][1], rng))
    if rng.random() < 0.2:
        chunks.insert(rng.randrange(len(chunks)), rng.choice(chunks))
    return png(chunks)


def _torch(content: object, legacy: bool = False) -> bytes:
    stream = io.BytesIO()
    torch.save(content, stream, _use_new_zipfile_serialization=not legacy)
    return stream.getvalue()


def _read_image(folder: Path) -> None:
    (path,) = folder.iterdir()
    with contextlib.suppress(DataError):  # as of 16 bits and transparency, for the other reader
        rgb.read_rgb(path)
    read_picture(path)


def _lmdb() -> dict[str, bytes]:
    import tempfile

    rng = np.random.default_rng(0)
    with tempfile.TemporaryDirectory() as folder:
        with lmdb_store.LmdbWriter(Path(folder)) as writer:
            for number in range(150):
                image = rng.integers(0, 256, (8 + number % 30, 20, 3), np.uint8)
                shape = (image.shape[0], image.shape[1], 3)
                writer.put([(f"{number:04}", rgb.encode_png(image), shape)])
        return {path.name: path.read_bytes() for path in Path(folder).iterdir()}


def _read_lmdb(folder: Path) -> None:
    place = folder.with_name("x.lmdb")
    folder.rename(place)  # BasicSR goes by the suffix
    try:
        options = {"dataroot_gt": str(place), "dataroot_lq": str(place), "scale": 1}
        options |= {"phase": "val", "io_backend": {"type": "lmdb"}, "name": "x"}
        lmdb_store.find_fault(place)
        dataset = CheckedPairedImageDataset(options)
        for index in range(0, len(dataset), 10):
            dataset[index]
    finally:
        place.rename(folder)


def _read_state(folder: Path) -> None:
    options = {"num_gpu": 0, "path": {"models": str(folder)}}
    read_state(folder / "5.state", options)


def _read_options(folder: Path) -> None:
    options = read_option_file(folder / "x.yml")
    check_options(options, is_train=True)


def _formats() -> dict[str, Format]:
    register_all()
    torch.manual_seed(0)
    net = SMSR(num_feat=4, num_layer=2, num_block=2)
    params = {"params": net.state_dict(), "params_ema": net.state_dict()}
    optimizer = torch.optim.Adam(net.parameters())
    state = {"epoch": 1, "iter": 5, "optimizers": [optimizer.state_dict()], "schedulers": []}
    save(net, path := Path("own.safetensors"))
    own = path.read_bytes()
    path.unlink()
    weights = {
        "pth": _torch(params),
        "pth_legacy": _torch(params, legacy=True),
        "safetensors": own,
        "safetensors2": safetensors.torch.save(net.state_dict()),
    }
    formats = {
        name: Format({"x": content}, _read_image, (ImageError, DataError))
        for name, content in image_files().items()
    }
    for name, content in weights.items():
        formats[name] = Format({"x": content}, lambda f: load(f / "x"), (CheckpointError,))
    options = re.sub(r"((dataroot|pretrain_network)\w*:) \S+", r"\1 .", OPTION_FILE.read_text())
    options = re.sub(r"(num_(feat|layer|block):) \d+", r"\1 2", options)  # building it takes time
    formats["yaml"] = Format({"x.yml": options.encode()}, _read_options, (OptionError,))
    formats["state"] = Format({"5.state": _torch(state)}, _read_state, (UnreadableError,))
    formats["lmdb"] = Format(_lmdb(), _read_lmdb, (DataError,))
    return formats


FORMATS = _formats()
