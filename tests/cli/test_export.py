from __future__ import annotations

import re

import pytest
from networks import tiny_smsr

from smsr_plugin.checkpoints.masked_networks import save
from smsr_plugin.cli import main as roof

pytest.importorskip("onnxscript")


def main(argv: list[str]) -> int:
    return roof.main(["export", *argv])


@pytest.fixture
def weights(tmp_path):
    save(tiny_smsr(num_block=1, num_layer=2).float(), tmp_path / "net.safetensors")
    return tmp_path / "net.safetensors"


def test_exports_tries_and_says_so(weights, tmp_path, capsys):
    onnxruntime = pytest.importorskip("onnxruntime")
    out = tmp_path / "net.onnx"
    assert main([str(weights), str(out), "--threshold", "0.5"]) == 0
    printed = capsys.readouterr()
    assert printed.err == ""
    read, wrote, checked = printed.out.splitlines()
    assert read == f"read   {weights}: SMSR state dict, safetensors, x2"
    assert wrote == f"wrote  {out}: ONNX, opset 18, values in 0…1"
    difference = re.fullmatch(
        r"checked in ONNX Runtime: differs from PyTorch by at most (\S+)", checked
    )
    assert float(difference[1]) < 1e-5
    session = onnxruntime.InferenceSession(out, providers=["CPUExecutionProvider"])
    assert [output.name for output in session.get_outputs()] == ["sr"]
    metadata = session.get_modelmeta().custom_metadata_map
    assert (metadata["source"], metadata["threshold"]) == ("net.safetensors", "0.5")


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["WEIGHTS", "EXISTING"], "EXISTING exists; --force replaces it"),
        (["WEIGHTS", "net.pth"], "net.pth: must end in .onnx"),
        (["WEIGHTS", "net.param"], "net.param: masks need .onnx; --every-pixel does without"),
        (["none.pth", "net.onnx"], "none.pth: cannot be read: No such file or directory"),
        (["EXISTING", "net.onnx"], "EXISTING: is neither a PyTorch nor a safetensors file"),
        (["WEIGHTS", "net.onnx", "--param-key", "ema"], "WEIGHTS: has no 'ema'"),
        (["WEIGHTS", "net.onnx", "--threshold", "nan"], "the threshold must be a number"),
    ],
)
def test_errors_are_one_line_and_nothing_is_written(
    argv, message, weights, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    existing = tmp_path / "old.onnx"
    existing.write_text("precious")
    names = {"WEIGHTS": str(weights), "EXISTING": str(existing)}
    assert main([names.get(word, word) for word in argv]) == 2
    printed = capsys.readouterr()
    assert "wrote" not in printed.out
    for name, path in names.items():
        message = message.replace(name, path)
    assert printed.err.startswith(f"smsr export: error: {message}")
    assert printed.err.count("\n") == 1
    assert sorted(tmp_path.iterdir()) == [weights, existing]
    assert existing.read_text() == "precious"


def test_help_fits_a_screen(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--help"])
    assert caught.value.code == 0
    assert len(capsys.readouterr().out.splitlines()) <= 24
