"""The zip in which `torch.save` keeps a pickle and its storages, checked before it is unpacked.

Source: the layout of zip files as PKWARE's APPNOTE describes it.
"""

from __future__ import annotations

import os
import struct
import zipfile
from typing import BinaryIO, NamedTuple

import torch

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.pickle_values import damaged

PICKLE = "data.pkl"
#: What makes an archive one of TorchScript, which is code.
TORCHSCRIPT = "constants.pkl"
#: Bytes of the directory, about 100 for each storage, and of the pickle.
MAX_DIRECTORY = 1 << 26
MAX_PICKLE = 1 << 26

#: The end of a directory: its signature, then what is of interest here.
END = struct.Struct("<4s8xIIH")
LOCATOR = struct.Struct("<4s4xQ4x")
END_64 = struct.Struct("<4s36xQQ")


class Archive(NamedTuple):
    """What lies in the zip."""

    pickle: bytes
    records: dict[str, int]  #: Bytes of every entry, by its name below the common folder.


def read_archive(file: BinaryIO) -> Archive:
    """Read the pickle of a zip, and the sizes of what lies beside it.

    Python and PyTorch read zips each in its own way, so that a file made for the purpose could
    show them different things: only files that both read alike are taken.

    Raises:
        CheckpointError: If the zip is not laid out as `torch.save` does, is compressed, or unpacks
            to more than itself.
    """
    size = file.seek(0, os.SEEK_END)
    _check_end(file, size)
    try:
        with zipfile.ZipFile(file) as archive:
            entries = archive.infolist()
    # zipfile says NotImplementedError of versions of the format that it does not know.
    except (zipfile.BadZipFile, NotImplementedError, ValueError) as error:
        raise damaged(error) from error
    names = [entry.filename.partition("/")[2] for entry in entries]
    sizes = dict(zip(names, (entry.file_size for entry in entries), strict=True))
    if TORCHSCRIPT in sizes:
        raise CheckpointError(
            "is a TorchScript archive, which holds code; save the network's state_dict() instead"
        )
    unpacked = sum(entry.file_size for entry in entries)
    if unpacked > size or any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
        raise CheckpointError(
            f"unpacks to {unpacked:,} bytes from {size:,}: compressed, or its entries overlap; "
            "torch.save does neither, so it is refused as a decompression bomb"
        )
    if sizes.get(PICKLE, MAX_PICKLE + 1) > MAX_PICKLE:
        raise damaged(f"it holds no {PICKLE} of up to {MAX_PICKLE:,} bytes")
    _check_sums(file)
    file.seek(0)
    try:
        reader = torch._C.PyTorchFileReader(file)
        same = sorted(reader.get_all_records()) == sorted(names)
    except RuntimeError as error:
        raise damaged(error) from error
    # PyTorch finds entries by names without regard to case.
    if not same or len({name.lower() for name in names}) < len(names):
        raise damaged("its entries have no clear names")
    return Archive(reader.get_record(PICKLE), sizes)


def _check_sums(file: BinaryIO) -> None:
    """Refuse entries whose bytes are not those of their CRC-32; PyTorch does not compare them."""
    with zipfile.ZipFile(file) as archive:
        changed = archive.testzip()
    if changed is not None:
        raise damaged(f"bytes of {changed[:80]!r} have changed since it was written")


def _check_end(file: BinaryIO, size: int) -> None:
    """Refuse a zip whose directory is not the one thing before its end."""
    place = size - END.size
    directory, start, comment = _unpack(file, END, place, b"PK\5\6")
    locator = place - LOCATOR.size
    if locator >= 0 and _bytes(file, locator, 4) == b"PK\6\7":
        (place,) = _unpack(file, LOCATOR, locator, b"PK\6\7")
        directory, start = _unpack(file, END_64, place, b"PK\6\6")
        if place != locator - END_64.size:
            raise damaged("its directory does not end where it should")
    if comment or start + directory != place:
        raise damaged("its directory does not lie where it should")
    if directory > MAX_DIRECTORY:
        raise CheckpointError(
            f"has a directory of {directory:,} bytes; up to {MAX_DIRECTORY:,} are read"
        )


def _unpack(file: BinaryIO, layout: struct.Struct, place: int, signature: bytes) -> tuple:
    content = _bytes(file, place, layout.size)
    if len(content) < layout.size or not content.startswith(signature):
        raise damaged("it is a zip without an end")
    return layout.unpack(content)[1:]


def _bytes(file: BinaryIO, place: int, count: int) -> bytes:
    if place < 0:
        return b""
    file.seek(place)
    return file.read(count)
