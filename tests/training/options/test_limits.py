"""Option files from strangers: no code, no way out of the results, no absurd sizes."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import pytest
import torch
from basicsr.archs import vgg_arch
from commands import train
from option_files import (
    evaluation_options,
    train_options,
    training_error,
    validation,
    write_options,
)

from smsr_plugin.training.options import machine
from smsr_plugin.training.options.checks import check_options
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.options.machine import check_weights
from smsr_plugin.training.registration import build_architecture

SMSR = {"type": "SMSR", "upscale": 2}


def test_an_option_file_cannot_import_a_module_from_a_folder(tmp_path, pairs, capsys):
    mark = tmp_path / "it ran"
    (tmp_path / "mc.py").write_text(f"open({str(mark)!r}, 'w')")
    backend = {"type": "memcached", "server_list_cfg": "x", "client_cfg": "x"}
    backend["sys_path"] = str(tmp_path)
    options = train_options(pairs, {"datasets:train:io_backend": backend})
    file = write_options(tmp_path / "x.yml", options)
    before = sys.path[:]
    assert train(["-opt", str(file), "--root", str(tmp_path)]) == 2
    assert "datasets.train.io_backend: expected a section with type" in capsys.readouterr().err
    assert sys.path == before
    assert not mark.exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"datasets:val:name": "../../x"}, "datasets.val.name: expected part of a file name"),
        ({"datasets:val:name": ".."}, "datasets.val.name"),
        ({"datasets:val:name": "/tmp/x"}, "datasets.val.name"),
        ({"datasets:val:name": "a\0b"}, "datasets.val.name"),
        ({"val:suffix": "/../../x"}, "val.suffix: expected part of a file name"),
        ({"val:suffix": 5}, "val.suffix"),
        ({"name": "../x"}, "name: expected the name of a folder"),
        (
            {"datasets:train:filename_tmpl": "{:>99999999999}"},
            "filename_tmpl: expected a file name",
        ),
        ({"datasets:train:filename_tmpl": "{0.__class__}"}, "filename_tmpl"),
        ({"datasets:train:filename_tmpl": "../{}"}, "filename_tmpl"),
        ({"datasets:train:io_backend": {"type": "disk", "x": 1}}, "io_backend.x: expected only"),
        ({"datasets:train:meta_info_file": "/dev/zero"}, "meta_info_file: expected a file"),
        ({"datasets:train:num_worker_per_gpu": 10**9}, "num_worker_per_gpu: expected at most 512"),
        ({"datasets:train:dataset_enlarge_ratio": 1e30}, "dataset_enlarge_ratio: expected at most"),
        ({"scale": 1e9}, "scale: expected a whole number"),
        ({"network_g": {**SMSR, "num_feat": 10**9}}, "network_g.num_feat: expected numbers up to"),
        ({"network_g": {**SMSR, "num_block": 10**9}}, "network_g.num_block"),
        ({"network_g": {**SMSR, "rgb_mean": [10**9]}}, "network_g.rgb_mean"),
        ({"network_g:num_block": 10**9}, "network_g.num_block"),
    ],
)
def test_what_leads_out_or_is_absurd_is_refused(pairs, changes, message):
    start = time.process_time()
    assert message in training_error(pairs, changes)
    assert time.process_time() - start < 5


def test_names_of_results_are_checked_in_tests_too(pairs):
    options = evaluation_options(pairs, pairs, {"datasets:test:name": "../../x"})
    with pytest.raises(OptionError, match=r"datasets\.test\.name"):
        check_options(options, is_train=False)


@pytest.mark.parametrize(("key", "option"), [("val.suffix", "val:suffix"), ("name", "name")])
def test_images_of_a_test_leave_room_for_their_own_names(pairs, key, option):
    def options(name: str, save: bool = True):
        return evaluation_options(pairs, pairs, {option: name, "val:save_img": save})

    check_options(options("ä" * 100), is_train=False)
    check_options(options("ä" * 101, save=False), is_train=False)
    with pytest.raises(OptionError, match=f"^{key}: expected at most 200 bytes, got .* of 202"):
        check_options(options("ä" * 101), is_train=False)


def test_ordinary_names_and_templates_pass(pairs):
    changes = {"datasets:val:name": "Set 5", "val:suffix": "x2"}
    changes |= {"datasets:train:filename_tmpl": "{}x2", "datasets:val:filename_tmpl": "{}"}
    check_options(train_options(pairs, {**validation(pairs), **changes}), is_train=True)


def test_a_network_that_memory_does_not_suffice_for_is_refused(pairs, monkeypatch):
    net = build_architecture("SMSR", {"num_feat": 8}).net
    held = sum(t.numel() * 4 for t in (*net.parameters(), *net.buffers()))
    changes = {"network_g": {**SMSR, "num_feat": 8}}
    monkeypatch.setattr(machine, "available_bytes", lambda: held)
    check_options(train_options(pairs, changes), is_train=True)
    monkeypatch.setattr(machine, "available_bytes", lambda: held - 1)
    assert "network_g: expected a network whose weights fit into" in training_error(pairs, changes)
    with pytest.raises(OptionError, match="SMSR: expected a network whose weights fit"):
        build_architecture("SMSR", {"num_feat": 8})


def test_sizing_a_network_draws_no_random_numbers():
    before = torch.get_rng_state()
    machine.check_network("x", torch.nn.Linear, {"in_features": 3, "out_features": 4})
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04nonsense", b"\x80\x02nonsense"])
def test_damaged_weights_are_one_line_before_anything_starts(tmp_path, pairs, capsys, content):
    weights = tmp_path / "w.pth"
    weights.write_bytes(content)
    options = train_options(pairs, {"path:pretrain_network_g": str(weights)})
    file = write_options(tmp_path / "x.yml", options)
    assert train(["-opt", str(file), "--root", str(tmp_path)]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "path.pretrain_network_g: expected a file of weights (it is " in line
    assert not (tmp_path / "experiments").exists()


class Marks:
    """What unpickling runs."""

    def __init__(self, mark):
        self.mark = mark

    def __reduce__(self):
        return open, (str(self.mark), "w")


@pytest.fixture
def bad_weights(tmp_path) -> Path:
    """Return a file that torch.load would look into, which the package's own reader refuses."""
    path = tmp_path / "bad.pth"
    torch.save({"params": Marks(tmp_path / "it ran")}, path)
    return path


def test_weights_that_a_network_reads_itself_are_looked_at_first(pairs, bad_weights, monkeypatch):
    opened = []
    monkeypatch.setattr(torch, "load", lambda file, **_: opened.append(file))
    for network, key in (("BasicVSR", "spynet_path"), ("IconVSR", "edvr_path")):
        section = {"type": network, key: str(bad_weights)}
        told = training_error(pairs, {"network_g": section})
        assert f"network_g.{key}: expected a file of weights (it " in told
        with pytest.raises(OptionError, match=f"{network}.{key}: expected a file of weights"):
            build_architecture(network, {key: str(bad_weights)})
    assert opened == []
    missing = {"type": "BasicVSR", "spynet_path": "nowhere.pth"}
    assert "network_g.spynet_path: expected" in training_error(pairs, {"network_g": missing})


def test_the_file_that_the_perceptual_loss_reads_is_looked_at_first(
    pairs, bad_weights, monkeypatch
):
    monkeypatch.setattr(vgg_arch, "VGG_PRETRAIN_PATH", str(bad_weights))
    opened = []
    monkeypatch.setattr(torch, "load", lambda file, **_: opened.append(file))
    loss = {"type": "PerceptualLoss", "layer_weights": {"conv5_4": 1}}
    check_weights(train_options(pairs))
    with pytest.raises(OptionError, match=r"train\.perceptual_opt\.type: expected a file of weig"):
        check_weights(train_options(pairs, {"train:perceptual_opt": loss}))
    assert opened == []
