"""Files made to run code, to take all memory or all time, or to read what is not theirs."""

from __future__ import annotations

import io
import os
import struct
import time
import warnings
import zipfile
from pathlib import Path

import pytest
import torch
from checkpoint_files import error_of
from networks import tiny_smsr
from safetensors.torch import save_file

from smsr_plugin.checkpoints import archives, files
from smsr_plugin.checkpoints.files import read_tensors

#: What a reader that walks through all of a file of these tests would far exceed.
SECONDS = 10


@pytest.fixture
def state():
    return tiny_smsr().state_dict()


def entries_of(content: object) -> dict[str, bytes]:
    """Return what torch.save puts into its zip, by name."""
    stream = io.BytesIO()
    torch.save(content, stream)
    with zipfile.ZipFile(stream) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(path: Path, entries: dict[str, bytes], kind: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", kind) as archive:
        for name, data in entries.items():
            archive.writestr(name, data)
    return path


def test_a_compressed_zip_is_refused_before_it_is_unpacked(tmp_path, state):
    entries = entries_of(state)
    (pickle,) = (name for name in entries if name.endswith("data.pkl"))
    entries[pickle] += bytes(50_000_000)  # behind the end of the pickle, where nothing reads it
    path = zipped(tmp_path / "bomb.pth", entries, zipfile.ZIP_DEFLATED)
    assert path.stat().st_size < 200_000
    assert "refused as a decompression bomb" in error_of(path)


def test_entries_that_overlap_are_refused(tmp_path, state):
    path = zipped(tmp_path / "quine.pth", entries_of(state))
    content = bytearray(path.read_bytes())
    with zipfile.ZipFile(path) as archive:
        start, (first, *_) = archive.start_dir, archive.infolist()
    claimed = len(content) // 2
    position, count = start, 0
    while content[position : position + 4] == b"PK\x01\x02":  # the central directory
        struct.pack_into("<II", content, position + 20, claimed, claimed)
        struct.pack_into("<I", content, position + 42, first.header_offset)
        name, extra, comment = struct.unpack_from("<HHH", content, position + 28)
        position, count = position + 46 + name + extra + comment, count + 1
    assert count > 2
    path.write_bytes(content)
    assert "refused as a decompression bomb" in error_of(path)


def test_a_zip_that_readers_could_see_in_two_ways_is_refused(tmp_path, state):
    path = zipped(tmp_path / "x.pth", entries_of(state))
    whole = path.read_bytes()
    assert read_tensors(path).keys() == state.keys()
    for content, message in (
        (whole + b"\0", "without an end"),
        (whole[:30] + b"\0" + whole[30:], "does not lie where it should"),
        (whole[:-2] + b"\1\0x", "without an end"),
    ):
        path.write_bytes(content)
        assert message in error_of(path)
    entries = entries_of(state)
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    entries[name.replace("data.pkl", "DATA.PKL")] = b"other"
    assert "no clear names" in error_of(zipped(path, entries))


def test_the_directory_and_the_pickle_of_a_zip_have_a_largest_size(tmp_path, state, monkeypatch):
    path = zipped(tmp_path / "x.pth", entries_of(state))
    monkeypatch.setattr(archives, "MAX_PICKLE", 1000)
    assert "no data.pkl of up to 1,000 bytes" in error_of(path)
    monkeypatch.setattr(archives, "MAX_DIRECTORY", 1000)
    assert "up to 1,000 are read" in error_of(path)


def test_a_storage_that_claims_more_than_its_record_is_refused(tmp_path):
    entries = entries_of({"params": {"x": torch.zeros(4)}})
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    four, many = b"K\x04", b"J" + struct.pack("<i", 10**8)
    assert entries[name].count(four) == 2  # the size of the storage and that of the tensor
    entries[name] = entries[name].replace(four, many)
    assert "damaged" in error_of(zipped(tmp_path / "x.pth", entries))


def test_a_view_beyond_its_storage_is_refused(tmp_path):
    entries = entries_of({"params": {"x": torch.zeros(5)[:4]}})
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    assert entries[name].count(b"K\x04\x85") == 1
    entries[name] = entries[name].replace(b"K\x04\x85", b"K\x06\x85")
    assert "24 bytes in a storage of 20" in error_of(zipped(tmp_path / "x.pth", entries))


def test_negative_strides_are_refused(tmp_path):
    entries = entries_of({"params": {"x": torch.zeros(4)}})
    (name,) = (name for name in entries if name.endswith("data.pkl"))
    stride = b"K\x01\x85"
    assert entries[name].count(stride) == 1
    entries[name] = entries[name].replace(stride, b"J" + struct.pack("<i", -1) + b"\x85")
    assert "damaged" in error_of(zipped(tmp_path / "x.pth", entries))


def test_a_legacy_file_holds_what_its_storages_claim(write):
    path = write({"x": torch.zeros(4)}, "x.pth", _use_new_zipfile_serialization=False)
    assert read_tensors(path)["x"].shape == (4,)
    path.write_bytes(path.read_bytes()[:-16])
    assert "its storages claim 16 bytes, and 8 follow" in error_of(path)


def test_a_legacy_storage_of_absurd_size_is_refused(tmp_path, write):
    path = write({"x": torch.zeros(4)}, "x.pth", _use_new_zipfile_serialization=False)
    content = path.read_bytes()
    huge = content.replace(b"K\x04", b"\x8a\x06" + (2**45).to_bytes(6, "little"))
    assert huge != content
    path.write_bytes(huge)
    assert "damaged" in error_of(path)


#: Those that torch.save writes in a way of their own.
REBUILT_OTHERWISE = ("sparse", "compressed", "quantised", "nested", "without memory")


def exotic_tensors() -> dict[str, torch.Tensor]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # PyTorch calls some of these kinds unfinished
        two = torch.eye(2)
        return {
            "sparse": two.to_sparse(),
            "compressed": two.to_sparse_csr(),
            "quantised": torch.quantize_per_tensor(two, 1.0, 0, torch.quint8),
            "bits": torch.zeros(4, dtype=torch.uint8).view(torch.bits8),
            "nested": torch.nested.nested_tensor([two, two]),
            "complex": two.to(torch.complex64),
            "without memory": torch.zeros(2, device="meta"),
            "stretched": torch.zeros(1).expand(10**9),
            "empty": torch.zeros(0),
        }


@pytest.mark.parametrize("kind", exotic_tensors())
def test_other_tensors_than_ordinary_ones_are_refused(write, state, kind):
    message = error_of(write({**state, "tail.0.bias": exotic_tensors()[kind]}))
    assert "ordinary" in message
    assert ("torch._utils._rebuild" in message) == (kind in REBUILT_OTHERWISE)


def test_a_torchscript_archive_is_refused(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.script(torch.nn.ReLU()).save(tmp_path / "script.pt")
    assert "TorchScript" in error_of(tmp_path / "script.pt")


def test_one_value_under_many_names_does_not_fill_the_memory(write):
    shared = torch.zeros(1_000_000)
    message = error_of(write({f"{number}": shared for number in range(17)}))
    assert "names 68,000,000 bytes of values and stores 4,000,000" in message


def test_weights_that_are_shared_a_few_times_are_read(write):
    shared = torch.ones(3)
    found = read_tensors(write({f"{number}": shared for number in range(16)}))
    assert all(torch.equal(value, shared) for value in found.values())


def test_a_few_thousand_keys_do_not_describe_millions_of_layers(write, state):
    value = torch.zeros(3000)
    state |= {f"blocks.{number}.x": value[number : number + 1] for number in range(3000)}
    state |= {f"blocks.0.convs.{number}.x": value[number : number + 1] for number in range(3000)}
    start = time.process_time()
    assert "does not fit SMSR" in error_of(write(state))
    assert time.process_time() - start < SECONDS


def test_keys_are_shown_escaped_and_cut(write, state):
    assert r"a\n\x1b[31mb" in error_of(write({**state, "a\n\x1b[31mb": torch.ones(1)}))
    for content in ({"k" * 10**6: torch.ones(1)}, {"k" * 10**6: {}}, {"k" * 10**6: 1}):
        assert "kkkk" in error_of(write(content))  # which also limits the length


def test_pipes_and_devices_are_refused_at_once(tmp_path):
    os.mkfifo(tmp_path / "pipe.pth")
    (tmp_path / "link.pth").symlink_to("/dev/zero")
    for name in ("pipe.pth", "link.pth"):
        assert "a pipe, a socket or a device, not a file" in error_of(tmp_path / name)


def test_a_safetensors_header_has_a_largest_size(tmp_path, monkeypatch):
    path = tmp_path / "x.safetensors"
    save_file({"x": torch.ones(2)}, path)
    assert read_tensors(path)["x"].shape == (2,)
    monkeypatch.setattr(files, "MAX_HEADER", 20)
    assert "where up to 20 are read" in error_of(path)


def test_an_absurd_safetensors_header_is_refused(tmp_path):
    path = tmp_path / "x.safetensors"
    for length in (2**63, 2**40, 100):
        path.write_bytes(struct.pack("<Q", length) + b'{"x": 1}')
        assert "damaged safetensors" in error_of(path)
    header = b'{"x": {"dtype": "F32", "shape": [4611686018427387904, 4], "data_offsets": [0, 4]}}'
    path.write_bytes(struct.pack("<Q", len(header)) + header + bytes(4))
    assert "damaged safetensors" in error_of(path)
    nested = b'{"__metadata__": ' + b"[" * 100_000
    path.write_bytes(struct.pack("<Q", len(nested)) + nested)
    assert "damaged safetensors" in error_of(path)
