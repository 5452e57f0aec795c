"""Files that are no SMSR, or damaged, or dangerous."""

from __future__ import annotations

import io
import zipfile
from functools import cache
from pathlib import Path

import pytest
import torch
from checkpoint_files import error_of, released_form
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from networks import tiny_smsr
from safetensors.torch import save

from smsr_plugin.archs.smsr_program import PEAKS
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.masked_networks import load
from smsr_plugin.checkpoints.network import save_smsr


class Touch:
    """Unpickles by creating a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return Path.touch, (self.path,)


def content_of(net, form):
    """The weights as a file: safetensors, or PyTorch's, as a zip or in its legacy form."""
    if form == "safetensors":
        return save(net.state_dict())
    stream = io.BytesIO()
    torch.save(net.state_dict(), stream, _use_new_zipfile_serialization=form == "zip")
    return stream.getvalue()


@cache
def small_content(form):
    """That of a small network, written once: legacy files hold addresses, and differ in length."""
    return content_of(tiny_smsr(num_feat=1, num_layer=1, num_block=1).float(), form)


class TestRefusals:
    def test_pickled_code_does_not_run(self, net, write, tmp_path):
        mark = tmp_path / "it ran"
        for number, options in enumerate(({}, {"_use_new_zipfile_serialization": False})):
            content = {"params": net.state_dict(), "extra": Touch(mark)}
            path = write(content, f"{number}.pth", **options)
            assert "can run code" in error_of(path)
            assert not mark.exists()
        torch.load(path, weights_only=False)
        assert mark.exists()  # the file was indeed armed

    def test_whole_modules_are_refused_by_name(self, net, write):
        assert "needs the Python object smsr_plugin.archs.smsr_arch.SMSR" in error_of(write(net))

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "is empty"),
            (b"\x00", "neither a PyTorch nor"),
            (b"<!DOCTYPE html><html>", "neither a PyTorch nor"),
            (b"\x80", "damaged"),
            (b"PK\x03\x04", "damaged"),
            (b"\x80\x04\x95" + bytes(100), "damaged"),
            ((10**9).to_bytes(8, "little") + b'{"a":', "damaged safetensors"),
            ((2).to_bytes(8, "little") + b"{}", "an empty dict"),
            ([torch.zeros(1)], "holds a list"),
            (torch.zeros(3), "holds a Tensor"),
            ({}, "an empty dict"),
            ({"params": {}}, "no state dict under 'params'"),
            ({"params": None}, "but a NoneType"),
            ({"lr": 0.1}, "'lr' holds a float"),
            ({0: torch.zeros(1)}, "0 holds a Tensor"),
            ({"epoch": 1, "iter": 2, "optimizers": [], "schedulers": []}, "a training state"),
        ],
    )
    def test_what_is_no_network_is_refused(self, content, message, write):
        assert message in error_of(write(content))

    def test_training_states_of_basicsr_are_told_apart(self, write):
        parameter = torch.nn.Parameter(torch.zeros(2))
        optimizer = torch.optim.Adam([parameter])
        scheduler = torch.optim.lr_scheduler.MultiStepLR(optimizer, [1, 2])
        content = {
            "epoch": 0,
            "iter": 5,
            "optimizers": [optimizer.state_dict()],
            "schedulers": [scheduler.state_dict()],
        }
        assert "net_g_*.pth" in error_of(write(content, "5.state"))

    def test_zip_archives_of_other_things_are_refused(self, write):
        stream = io.BytesIO()
        with zipfile.ZipFile(stream, "w") as archive:
            archive.writestr("letter.txt", "hello")
        assert "not a PyTorch checkpoint" in error_of(write(stream.getvalue()))

    def test_missing_files_and_folders_are_refused(self, tmp_path):
        assert "No such file" in error_of(tmp_path / "none.pth")
        assert "directory" in error_of(tmp_path)

    def test_a_byte_that_has_changed_is_noticed(self, net, write):
        """PyTorch does not compare the checksums of the zip that it writes."""
        stream = io.BytesIO()
        torch.save(net.state_dict(), stream)
        content = stream.getvalue()
        values = net.state_dict()["collect.0.weight"].numpy().tobytes()
        start = content.index(values)
        assert write(content)
        for place in (start, start + len(values) // 2, start + len(values) - 1):
            changed = bytearray(content)
            changed[place] ^= 1 << (place % 8)
            assert torch.load(io.BytesIO(changed), weights_only=True)
            assert "have changed since it was written" in error_of(write(bytes(changed), "b.pth"))

    @pytest.mark.parametrize("form", ["zip", "legacy", "safetensors"])
    def test_files_cut_short_are_refused(self, form, net, write):
        content = content_of(net, form)
        for end in [1, 9, 100, len(content) // 3, len(content) // 2, len(content) - 1]:
            error_of(write(content[:end], "cut"))

    @settings(
        max_examples=60,
        suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
    )
    @given(data=st.data(), form=st.sampled_from(["zip", "legacy", "safetensors"]))
    def test_damaged_files_never_crash(self, data, form, tmp_path):
        content, path = bytearray(small_content(form)), tmp_path / "net"
        for _ in range(data.draw(st.integers(1, 4))):
            content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
        path.write_bytes(content)
        try:
            loaded = load(path)
        except CheckpointError:
            return
        assert all(value.isfinite().all() for value in loaded.state_dict().values())

    @pytest.mark.parametrize(
        ("key", "name"),
        [
            ("block_1.c1_r.weight", "RLFN"),
            ("module.IMDB1.c1.weight", "IMDN"),
            ("SCPA_trunk.0.conv1_a.weight", "PAN"),
            ("conv_after_body.weight", "EDSR"),
            ("cascade.blocks.0.fuses.0.weight", "CARN"),
            ("block_1.c1_r.eval_conv.weight", "SPAN"),
        ],
    )
    def test_other_networks_are_named(self, key, name, write):
        message = error_of(write({key: torch.zeros(3)}))
        assert f"holds another network, {name}, not an SMSR" in message
        assert "keys missing: rgb_mean" in message
        assert "1 keys unexpected" in message

    def test_part_of_a_network_is_told(self, net, write):
        state = {k: v for k, v in net.state_dict().items() if not k.startswith("blocks.1.fuse")}
        message = error_of(write(state))
        assert "holds only part of an SMSR" in message
        assert "2 keys missing: blocks.1.fuse.weight, blocks.1.fuse.bias" in message

    def test_missing_buffers_and_mean_shifts_are_named(self, net, write):
        state = net.state_dict()
        del state["img_range"]
        assert "img_range" in error_of(write(state))
        state = released_form(net)
        del state["add_mean.bias"]
        assert "rgb_mean, img_range" in error_of(write(state))

    def test_wrong_shapes_are_named(self, net, write):
        state = net.state_dict()
        state["blocks.1.fuse.bias"] = torch.zeros(7)
        assert "blocks.1.fuse.bias is (7,), expected (6,)" in error_of(write(state))
        state["head.0.weight"] = torch.zeros(3)
        error_of(write(state))

    def test_impossible_shapes_are_told(self, net, write):
        state = net.state_dict()
        state["tail.0.weight"] = torch.zeros(13, 6, 3, 3)
        assert "13 output channels, which is not num_in_ch × upscale²" in error_of(write(state))
        state["tail.0.weight"] = torch.zeros(3 * 25, 6, 3, 3)
        assert "upscale must be one of" in error_of(write(state))

    @pytest.mark.parametrize(
        "tensor",
        [
            torch.zeros(6, dtype=torch.complex64),
            torch.zeros(6).to_sparse(),
            torch.zeros(0),
            torch.zeros(1).expand(10**12),
            torch.zeros(6, device="meta"),
        ],
    )
    def test_unusual_tensors_are_refused(self, tensor, net, write):
        state = net.state_dict() | {"head.0.bias": tensor}
        assert "ordinary" in error_of(write(state))

    def test_diverged_weights_are_told(self, net, write):
        state = net.state_dict()
        state["tail.0.weight"][0, 0, 0, 0] = float("inf")
        assert "NaN or infinity in tail.0.weight" in error_of(write(state))

    @pytest.mark.parametrize(
        ("peaks", "message"),
        [
            (torch.ones(2, 3), r"feature_peaks is (2, 3), expected (2, 4)"),
            (torch.full((2, 4), torch.nan), "NaN or infinity in feature_peaks"),
            (torch.eye(2, 4), "feature_peaks must be finite and above 0, got 0: "),
            (torch.full((2, 4), -0.5), "feature_peaks must be finite and above 0, got -0.5: "),
        ],
    )
    def test_peaks_out_of_range_are_refused(self, peaks, message, net, write, tmp_path):
        assert message in error_of(write(net.state_dict() | {PEAKS: peaks}))
        net.feature_peaks = peaks
        with pytest.raises(CheckpointError) as caught:
            save_smsr(net, tmp_path / "out.safetensors")
        assert message in str(caught.value)

    def test_other_mean_shifts_are_refused(self, net, write):
        state = released_form(net)
        state["sub_mean.bias"] = state["sub_mean.bias"] * torch.tensor([1, 1, 1.01])
        state["add_mean.bias"] = -state["sub_mean.bias"]
        assert "do not shift by the mean" in error_of(write(state))
