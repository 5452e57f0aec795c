"""The runtime: what PyTorch's road gives, bit for bit, without PyTorch."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import noise, save, smooth
from networks import split_channels, tiny_smsr, upscaling_network
from PIL import Image
from safetensors.torch import load_file, save_file

import smsr_plugin
from smsr_plugin import machine, to_sparse
from smsr_plugin.archs.density import density_curve
from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.archs.smsr_program import CURVE, PEAKS, entry_shapes, optional_shapes
from smsr_plugin.checkpoints.converted import CONFIG, read_converted
from smsr_plugin.checkpoints.masked_networks import save as save_checkpoint
from smsr_plugin.config import SMSRConfig
from smsr_plugin.images.picture import Picture
from smsr_plugin.runtime import Runtime, UnsuitedError
from smsr_plugin.upscaling.enlarger import Enlarger

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")
PRECISIONS = ["fp32", *(["bf16"] if kernels.has_half() else [])]

COMMAND = """
import sys
from smsr_plugin.cli.main import main
code = main(sys.argv[1:])
print(sorted(name for name in sys.modules if name.partition(".")[0] == "torch"), file=sys.stderr)
sys.exit(code)
"""


def net_of(seed: int = 0, **options) -> SMSR:
    net = split_channels(tiny_smsr(seed, **options), [[[0, 1], [2], [5]], [[3], [], [0, 4]]])
    net = net.float()
    with torch.no_grad():
        _, _, _, logits = net(torch.rand(2, 3, 12, 12), return_masks=True)
        net.density_curve = density_curve(logits)
    net.feature_peaks = torch.ones(2, 4)
    return net


def lq_of(height: int, width: int) -> np.ndarray:
    return np.ascontiguousarray(
        (smooth(height, width) * 0.7 + noise(height, width, 3) / 850).transpose(2, 0, 1), np.float32
    )


def upscale(*arguments):
    """Run `smsr upscale` in a fresh process; return what it says on stderr."""
    command = [sys.executable, "-c", COMMAND, "upscale", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=300, check=True)
    return result.stderr


@pytest.mark.parametrize("precision", PRECISIONS)
def test_upscale_imports_no_pytorch_and_gives_its_pixels(tmp_path, precision):
    pixels = np.rint(smooth(41, 37) * 200 + noise(41, 37, 3) / 5).astype(np.uint8)
    save(tmp_path / "in.png", pixels)
    options = ["--density", 0.4, "--precision", precision]
    said = upscale(tmp_path / "in.png", "-o", tmp_path / "out.png", *options)
    assert said == "[]\n"
    network = upscaling_network(smsr_plugin.load(), precision=precision, density=0.4)
    expected = Enlarger(network)(Picture(pixels)).picture.colour
    with Image.open(tmp_path / "out.png") as image:
        assert np.array_equal(np.asarray(image), expected)


def test_what_the_runtime_does_not_take_is_run_by_pytorch(tmp_path):
    save(tmp_path / "in.png", noise(9, 8, 3))
    torch.save(net_of().state_dict(), tmp_path / "net.pth")
    weights = ["--weights", tmp_path / "net.pth"]
    said = upscale(tmp_path / "in.png", "-o", tmp_path / "out.png", *weights)
    assert "'torch'" in said
    said = upscale(tmp_path / "in.png", "-o", tmp_path / "dense.png", "--dense")
    assert "'torch'" in said


def test_imports_are_put_off_until_they_are_needed():
    code = (
        "import sys, smsr_plugin, smsr_plugin.cli.main as m; m.make_parser(); smsr_plugin.Runtime;"
        "print('torch' in sys.modules); smsr_plugin.load; print('torch' in sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], text=True, timeout=300)
    assert printed.split() == ["False", "True"]
    for package in (smsr_plugin, smsr_plugin.sparse):
        for name in package.__all__:
            assert getattr(package, name).__name__ == name
            assert name in dir(package)
        with pytest.raises(AttributeError, match=f"module '{package.__name__}' has no attribute"):
            _ = package.nothing_of_the_kind


@settings(max_examples=15, deadline=None)
@given(
    seed=st.integers(0, 99),
    precision=st.sampled_from(PRECISIONS),
    upscale=st.integers(2, 4),
    size=st.tuples(st.integers(1, 21), st.integers(1, 37)),
    density=st.sampled_from([None, 0.0, 0.31, 0.77, 1.0]),
    threshold=st.sampled_from([-0.5, 0.0, 0.3]),
    half=st.booleans(),
)
def test_the_result_is_that_of_to_sparse(
    tmp_path_factory, seed, precision, upscale, size, density, threshold, half
):
    path = tmp_path_factory.mktemp("runtime") / "net.safetensors"
    save_checkpoint(net_of(seed, upscale=upscale), path, half=half)
    lq = lq_of(*size)
    options = {"precision": precision, "density": density, "threshold": threshold}
    found = Runtime.load(path, threads=1, **options)(lq)
    expected, stats = to_sparse(smsr_plugin.load(path), **options)(
        torch.from_numpy(lq)[None], return_stats=True
    )
    assert np.array_equal(found.sr, expected[0].numpy())
    assert np.array_equal(found.spa_mask, stats.spa_mask[0].numpy())
    assert found.macs == pytest.approx(stats.macs[0], rel=1e-6)


@settings(max_examples=20, deadline=None)
@given(
    config=st.builds(
        SMSRConfig,
        num_feat=st.integers(1, 40),
        num_layer=st.integers(1, 4),
        num_block=st.integers(1, 3),
        upscale=st.integers(2, 4),
    )
)
def test_the_entries_are_those_of_the_network(config):
    with torch.device("meta"):
        state = SMSR.from_config(config).state_dict()
    expected = {name: tuple(value.shape) for name, value in state.items()}
    assert list(entry_shapes(config).items()) == list(expected.items())


def spoiled(tmp_path, change, metadata=None):
    """Return the path of a converted file that was changed."""
    path = tmp_path / "net.safetensors"
    net = net_of()
    save_checkpoint(net, path)
    state = load_file(path)
    change(state)
    config = json.dumps(net.config.to_dict())
    save_file(state, path, {"format": "smsr", CONFIG: config, **(metadata or {})})
    return path


def test_a_file_that_is_in_order_is_taken(tmp_path):
    found = read_converted(spoiled(tmp_path, lambda state: None))
    assert found is not None
    for name, shape in optional_shapes(found.config, {CURVE, PEAKS}).items():
        assert found.state[name].shape == shape
    without = read_converted(spoiled(tmp_path, lambda state: [state.pop(CURVE), state.pop(PEAKS)]))
    assert without is not None
    assert not {CURVE, PEAKS} & without.state.keys()


@pytest.mark.parametrize(
    ("change", "metadata"),
    [
        (lambda state: state.pop("tail.0.bias"), {}),
        (lambda state: state.update(extra=torch.ones(1)), {}),
        (lambda state: state.update({CURVE: torch.ones(2, 3)}), {}),
        (lambda state: state.update({PEAKS: torch.ones(2, 3)}), {}),
        (lambda state: state[PEAKS][1].fill_(torch.inf), {}),
        (lambda state: state[PEAKS][1].fill_(0), {}),
        (lambda state: state[PEAKS][1].fill_(-1), {}),
        (lambda state: state["head.0.bias"].fill_(torch.nan), {}),
        (lambda state: state["rgb_mean"].mul_(2), {}),
        (lambda state: state["img_range"].mul_(255), {}),
        (lambda state: state.update({"head.0.bias": state["head.0.bias"].bfloat16()}), {}),
        (lambda state: state.update({"head.0.bias": state["head.0.bias"].double()}), {}),
        (lambda state: None, {"format": "other"}),
        (lambda state: None, {CONFIG: "{}x"}),
        (lambda state: None, {CONFIG: "[" * 10**5}),
        (lambda state: None, {CONFIG: '{"num_feat": -1}'}),
        (lambda state: None, {CONFIG: '{"num_block": 1000000000}'}),
        (lambda state: None, {CONFIG: json.dumps({"img_range": 255})}),
    ],
)
def test_a_file_that_is_not_in_order_is_left_to_the_reader_of_all_kinds(tmp_path, change, metadata):
    path = spoiled(tmp_path, change, metadata)
    assert read_converted(path) is None
    with pytest.raises(UnsuitedError, match="no file that smsr convert or smsr sparsify wrote"):
        Runtime.load(path)


@pytest.mark.parametrize("content", [b"", b"{", b"\xff" * 8 + b"{", b"\x40" + b"\0" * 7 + b"{}"])
def test_broken_bytes_are_left_to_it_as_well(tmp_path, content):
    path = tmp_path / "net.safetensors"
    path.write_bytes(content)
    assert read_converted(path) is None
    assert read_converted(tmp_path / "absent") is None
    assert read_converted(tmp_path) is None


def test_options_and_images_that_do_not_fit_are_named(tmp_path):
    save_checkpoint(net_of(), tmp_path / "net.safetensors")
    load, runtime = Runtime.load, Runtime.load(tmp_path / "net.safetensors")
    with pytest.raises(UnsuitedError, match="enlarges by 2, not by 3"):
        load(tmp_path / "net.safetensors", scale=3)
    with pytest.raises(ValueError, match="precision must be one of"):
        load(tmp_path / "net.safetensors", precision="fp64")
    with pytest.raises(ValueError, match="threads must be a whole number from 1, got 0"):
        load(tmp_path / "net.safetensors", threads=0)
    with pytest.raises(ValueError, match="threshold must be a number"):
        load(tmp_path / "net.safetensors", threshold=float("nan"))
    with pytest.raises(ValueError, match="density must be in 0…1"):
        load(tmp_path / "net.safetensors", density=2)
    with pytest.raises(TypeError, match="an array of float32, got float64"):
        runtime(np.zeros((3, 4, 4)))
    with pytest.raises(TypeError, match="an array of float32, got list"):
        runtime([0.0])
    for shape in ((3, 4), (1, 4, 4), (3, 0, 4)):
        with pytest.raises(ValueError, match=r"of shape \(3, H, W\) with no empty side, got \("):
            runtime(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="takes values in 0…1, got values up to 255"):
        runtime(np.full((3, 4, 4), 255, np.float32))


def test_threads_are_as_many_as_cores_or_as_asked(monkeypatch, tmp_path):
    monkeypatch.setattr(machine, "PROCESSORS", tmp_path)
    monkeypatch.setattr(machine.os, "sched_getaffinity", lambda _: {0, 1, 2, 3}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert machine.default_threads() == 4
    for processor, siblings in enumerate(["0,2", "1,3", "0,2", "1,3"]):
        folder = tmp_path / f"cpu{processor}" / "topology"
        folder.mkdir(parents=True)
        (folder / "thread_siblings_list").write_text(siblings)
    assert machine.default_threads() == 2
    for text, threads in (("3", 3), ("5,2", 5), ("0", 2), ("many", 2)):
        monkeypatch.setenv("OMP_NUM_THREADS", text)
        assert machine.default_threads() == threads
