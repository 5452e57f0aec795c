"""The runtime with networks that have masks at tiles: what PyTorch's road gives, bit for bit."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
import torch
from masked_networks import TILE_NETWORKS, tiny_masked_rlfn, tiny_masked_srvgg
from safetensors.torch import load_file, save_file

from smsr_plugin import to_sparse
from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.tile_networks import NETWORKS
from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.converted import read_at_tiles
from smsr_plugin.checkpoints.masked_networks import CLASSES, load_masked, save
from smsr_plugin.runtime import Runtime, UnsuitedError

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")
PRECISIONS = ["fp32", *(["bf16"] if kernels.has_half() else [])]

CODE = """
import sys, numpy as np
from smsr_plugin import Runtime
sr = Runtime.load(sys.argv[1], density=0.5)(np.full((3, 9, 14), 0.5, np.float32)).sr
print(sr.shape, [name for name in sys.modules if name.partition(".")[0] == "torch"])
"""


def saved(net, path):
    scores = net.predictor(torch.rand(1, 3, 64, 64))
    net.density_curve = density_curve(scores.reshape(1, 1, -1, 1))
    save(net, path)
    return path


@pytest.fixture
def file(tmp_path):
    return saved(tiny_masked_rlfn(num_narrow=3, upscale=3).float(), tmp_path / "net.safetensors")


@pytest.mark.parametrize("kind", TILE_NETWORKS)
@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("density", [None, 0.0, 0.3, 1.0])
@pytest.mark.parametrize("size", [(5, 37), (24, 21)])
def test_the_result_is_that_of_to_sparse(tmp_path, kind, precision, density, size):
    net = TILE_NETWORKS[kind][0](num_narrow=3, upscale=3).float()
    file = saved(net, tmp_path / "net.safetensors")
    lq = np.random.default_rng(0).random((3, *size), np.float32)
    options = {"precision": precision, "density": density, "threshold": 0.01}
    found = Runtime.load(file, threads=1, **options)(lq)
    net = load_masked(file)
    assert net is not None
    image = torch.from_numpy(lq)[None]
    expected, stats = to_sparse(net, backend="native", **options)(image, return_stats=True)
    assert np.array_equal(found.sr, expected[0].numpy())
    assert np.array_equal(found.spa_mask, stats.spa_mask[0].numpy())
    assert found.macs == pytest.approx(stats.macs[0], rel=1e-6)


def test_it_imports_no_pytorch(file):
    printed = subprocess.check_output([sys.executable, "-c", CODE, file], text=True, timeout=300)
    assert printed == "(3, 27, 42) []\n"


def test_the_classes_are_those_of_the_list():
    assert [network.__name__ for network in CLASSES] == [network.name for network in NETWORKS]


@pytest.mark.parametrize(("network", "build"), list(zip(NETWORKS, CLASSES, strict=True)))
@pytest.mark.parametrize("options", [{}, {"num_narrow": 2}, {"num_in_ch": 1, "num_out_ch": 1}])
def test_the_entries_are_those_of_the_network(network, build, options):
    with torch.device("meta"):
        state = build(num_feat=7, upscale=3, **options).state_dict()
    expected = {name: tuple(value.shape) for name, value in state.items()}
    assert network.shapes_of(**network.options_of(state)) == expected


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("dense.body.2.bias", None),  # the convolutions are counted by their biases
        ("dense.body.2.weight", None),
        ("dense.body.12.weight", None),
        ("dense.body.12.weight", torch.ones(4, 5, 3, 3)),
        ("dense.body.14.weight", torch.tensor(1.0)),
        ("constants", torch.ones(3, 3, 5)),
        ("constants", torch.tensor(1.0)),
        ("dense.body.1.weight", torch.ones(4)),
    ],
)
def test_so_is_one_of_another_network(tmp_path, name, value):
    file = saved(tiny_masked_srvgg().float(), tmp_path / "net.safetensors")
    assert read_at_tiles(file) is not None
    state = load_file(file)
    spoil(state, name, value)
    save_file(state, file)
    assert read_at_tiles(file) is None
    with pytest.raises(CheckpointError, match="MaskedSRVGGNetCompact"):
        load_masked(file)


def spoil(state, name, value):
    if value is None:
        del state[name]
    else:
        state[name] = value


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("constants", None),
        ("more", torch.ones(1)),
        ("constants", torch.full((6, 2, 5), torch.nan)),
        ("constants", torch.ones(6, 2, 4)),
        ("density_curve", torch.ones(6, 41)),
        ("dense.conv_1.bias", torch.ones(5, dtype=torch.float64)),
        ("dense.conv_1.weight", torch.ones(3)),
        ("dense.conv_1.weight", torch.ones(5, 0, 3, 3)),
        ("dense.upsampler.0.weight", torch.ones(0, 5, 3, 3)),
        ("dense.upsampler.0.weight", torch.tensor(1.0)),
    ],
)
def test_a_file_that_is_not_in_order_is_left_to_the_reader_of_all_kinds(file, name, value):
    state = load_file(file)
    spoil(state, name, value)
    save_file(state, file)
    assert read_at_tiles(file) is None
    with pytest.raises(UnsuitedError, match="no file that smsr convert or smsr sparsify wrote"):
        Runtime.load(file)


def test_no_density_without_a_curve(tmp_path):
    save(tiny_masked_rlfn().float(), tmp_path / "net.safetensors")
    with pytest.raises(ValueError, match="density"):
        Runtime.load(tmp_path / "net.safetensors", density=0.5)
    with pytest.raises(UnsuitedError, match="enlarges by 2, not by 3"):
        Runtime.load(tmp_path / "net.safetensors", scale=3)
