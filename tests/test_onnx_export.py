"""Files run in ONNX Runtime give what the network gives, at sizes they were not traced with."""

from __future__ import annotations

import copy
import importlib.util
import math
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from networks import split_channels, tiny_smsr

from smsr_plugin import load, onnx_export
from smsr_plugin.images.rgb import decode_rgb
from smsr_plugin.onnx_export import OnnxExportError, export_onnx

pytest.importorskip("onnxscript")
onnx = pytest.importorskip("onnx")
onnxruntime = pytest.importorskip("onnxruntime")

THRESHOLD = 0.1
PAGE = Path(__file__).parents[1] / "docs/interoperability.md"
PROGRAM = re.compile(r"^```python\n(.*?)^```", re.MULTILINE | re.DOTALL)
EPSILON = 2.0**-23


def rounding(config) -> float:
    """Return what float32 may lose: an error in each layer, of sums of 9·C terms."""
    depth = 2 + config.num_block * (config.num_layer + 2) + 3
    return EPSILON * depth * math.sqrt(9 * config.num_feat)


@pytest.fixture(scope="module")
def net():
    counts = [[[0, 1], [2], []], [[], [3, 4], [1, 2]]]
    return split_channels(tiny_smsr(upscale=3, img_range=255.0), counts).float()


@pytest.fixture(scope="module")
def exported(net, tmp_path_factory):
    path = tmp_path_factory.mktemp("onnx") / "net.onnx"
    difference = export_onnx(
        net, path, threshold=THRESHOLD, masks=True, metadata={"source": "a.pth", "upscale": "7"}
    )
    assert 0 <= difference < rounding(net.config)
    return path


@pytest.fixture(scope="module")
def session(exported):
    return onnxruntime.InferenceSession(exported, providers=["CPUExecutionProvider"])


def assert_same(session, net, x, threshold):
    """Compare images given the file's masks, and those masks wherever rounding cannot decide."""
    sr, spa_mask = map(torch.from_numpy, session.run(None, {"lq": x.numpy()}))
    assert (sr.dtype, spa_mask.dtype) == (torch.float32, torch.bool)
    exact = copy.deepcopy(net).double()
    features = []
    hooks = [
        block.register_forward_pre_hook(lambda module, inputs: features.append(inputs[0]))
        for block in exact.blocks
    ]
    with torch.no_grad():
        expected = exact(x.double(), spa_mask=spa_mask.double())
        for hook in hooks:
            hook.remove()
        logits = torch.cat(
            [block.spa_mask(f) for block, f in zip(exact.blocks, features, strict=True)], 1
        )
    tolerance = rounding(net.config)
    torch.testing.assert_close(sr.double(), expected, rtol=0, atol=tolerance)
    decided = (logits - threshold).abs() > tolerance * logits.abs().max()
    assert decided.float().mean() > 0.98
    assert torch.equal(spa_mask[decided], (logits > threshold)[decided])
    return spa_mask


@pytest.mark.parametrize(
    "shape", [(1, 1, 1), (1, 1, 2), (3, 2, 1), (1, 7, 9), (2, 6, 8), (5, 4, 13), (1, 33, 17)]
)
def test_equals_the_oracle_at_any_size_and_batch(net, session, shape):
    torch.manual_seed(sum(shape))
    batch, height, width = shape
    spa_mask = assert_same(session, net, torch.rand(batch, 3, height, width), THRESHOLD)
    if height * width > 50:
        assert 0 < spa_mask.float().mean() < 1


def test_the_file_says_what_it_is(exported, session):
    model = onnx.load(exported)
    properties = {entry.key: entry.value for entry in model.metadata_props}
    assert properties == {
        "network": "SMSR, masked-dense",
        "upscale": "3",
        "img_range": "1",
        "channels": "RGB",
        "threshold": "0.1",
        "opset": "18",
        "num_feat": "6",
        "num_layer": "3",
        "num_block": "2",
        "source": "a.pth",
    }
    assert [(entry.domain, entry.version) for entry in model.opset_import] == [("", 18)]
    shapes = {value.name: value.shape for value in (*session.get_inputs(), *session.get_outputs())}
    assert shapes == {
        "lq": ["batch", 3, "height", "width"],
        "sr": ["batch", 3, "3*height", "3*width"],
        "spa_mask": ["batch", 2, "height", "width"],
    }
    assert b"smsr_arch.py" not in exported.read_bytes()


def test_a_graph_that_computes_something_else_is_not_written(net, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *args, **options: onnx.load(exported))
    path = tmp_path / "net.onnx"
    path.write_text("precious")
    export_onnx(net, tmp_path / "right.onnx", threshold=THRESHOLD)
    with pytest.raises(OnnxExportError, match="not the same: images differ by up to"):
        export_onnx(tiny_smsr(1, upscale=3).float(), path, threshold=THRESHOLD)
    with pytest.raises(OnnxExportError, match=r"masks in \d"):
        export_onnx(net, path, threshold=1.0)
    assert path.read_text() == "precious"
    assert sorted(file.name for file in tmp_path.iterdir()) == ["net.onnx", "right.onnx"]


def test_without_onnx_runtime_nothing_is_compared(net, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *args, **options: onnx.load(exported))
    _hide(monkeypatch, "onnxruntime")
    assert export_onnx(net, tmp_path / "net.onnx") is None
    model = onnx.load(tmp_path / "net.onnx")
    assert [output.name for output in model.graph.output] == ["sr"]


def test_missing_packages_are_named(net, tmp_path, monkeypatch):
    _hide(monkeypatch, "onnxscript")
    with pytest.raises(OnnxExportError, match=r"needs onnxscript; .*pip install onnxscript"):
        export_onnx(net, tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def _hide(monkeypatch, package):
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name: None if name == package else find_spec(name)
    )


def test_an_exporter_that_fails_is_one_line(net, tmp_path, monkeypatch):
    def fail(*args, **options):
        raise RuntimeError("cannot trace\nmany\nlines")

    monkeypatch.setattr(torch.onnx, "export", fail)
    with pytest.raises(OnnxExportError, match=r"exporter failed: RuntimeError: cannot trace$"):
        export_onnx(net, tmp_path / "net.onnx")


def test_paths_and_thresholds_that_cannot_be(net, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(onnx_export, "to_onnx", lambda *args, **options: onnx.load(exported))
    with pytest.raises(OnnxExportError, match=r"net\.pth: must end in \.onnx"):
        export_onnx(net, tmp_path / "net.pth")
    with pytest.raises(OnnxExportError, match=r"no/net\.onnx: there is no folder .*/no$"):
        export_onnx(net, tmp_path / "no" / "net.onnx")
    with pytest.raises(OnnxExportError, match="got nan"):
        export_onnx(net, tmp_path / "net.onnx", threshold=math.nan)
    folder = tmp_path / "folder.onnx"
    folder.mkdir()
    with pytest.raises(OnnxExportError, match=r"folder\.onnx: cannot be written: "):
        export_onnx(net, folder, threshold=THRESHOLD)
    assert list(tmp_path.iterdir()) == [folder]


@pytest.mark.reference
@pytest.mark.slow
def test_the_released_weights(test_data, tmp_path):
    net = load(test_data / "weights/smsr_x2_official.pt")
    export_onnx(net, tmp_path / "net.onnx", masks=True)
    path = test_data / "data/Set5/LR_bicubic/X2/babyx2.png"
    image = decode_rgb(path.read_bytes(), str(path))[60:151, 40:125]
    x = torch.from_numpy(np.ascontiguousarray(image)).permute(2, 0, 1)[None] / 255
    session = onnxruntime.InferenceSession(tmp_path / "net.onnx")
    spa_mask = assert_same(session, net, x, 0.0)
    assert 0.1 < spa_mask.float().mean() < 0.9


def test_programs_of_the_docs_compute_in_float32(exported, session, net, tmp_path, monkeypatch):
    """OpenVINO computes in bfloat16 where the processor can, unless it is told."""
    pytest.importorskip("openvino")
    monkeypatch.chdir(tmp_path)
    shutil.copy(exported, "SMSR_X2.onnx")
    lq = torch.rand(1, 3, 19, 23, generator=torch.Generator().manual_seed(0)).numpy()
    (expected,) = session.run(["sr"], {"lq": lq})
    programs = [text for text in PROGRAM.findall(PAGE.read_text("utf-8")) if "SMSR_X2.onnx" in text]
    assert len(programs) == 2
    for program in programs:
        names = {"lq": lq}
        exec(program, names)
        np.testing.assert_allclose(names["sr"], expected, rtol=0, atol=rounding(net.config))
