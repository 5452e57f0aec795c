"""The user's own modules, as `--import` names them."""

from __future__ import annotations

import os
import sys

import pytest

from smsr_plugin.cli.main import main
from smsr_plugin.training.options.errors import OptionError
from smsr_plugin.training.registration import VARIABLE, import_user_modules

MODULE = """
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class OneConvolution(nn.Module):
    def __init__(self, num_feat=3, upscale=2):
        super().__init__()
        self.body = nn.Sequential(
            nn.Conv2d(3, 3 * upscale**2, 3, padding=1), nn.PixelShuffle(upscale)
        )

    def forward(self, x):
        return self.body(x)
"""


@pytest.fixture(autouse=True)
def own_environment(monkeypatch):
    """Leave neither the variable nor modules behind."""
    monkeypatch.setenv(VARIABLE, "")
    yield
    sys.modules.pop("my_arch", None)


def test_a_network_of_a_file_is_counted(tmp_path, capsys):
    file = tmp_path / "my_arch.py"
    file.write_text(MODULE)
    assert main(["flops", "OneConvolution", "--import", str(file)]) == 0
    shown = capsys.readouterr().out
    assert "0.34 K" in shown  # 12·3·3² weights and 12 biases
    assert "0.07 G" in shown  # the products at each of 1280·720/4 pixels
    import_user_modules([str(file)])  # again: it is there


def test_processes_that_are_started_have_it_too(tmp_path, make_images, monkeypatch, capsys):
    (tmp_path / "found_arch.py").write_text(MODULE.replace("OneConvolution", "Found"))
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=os.pathsep)
    images = make_images(tmp_path / "images", {"a.png": (16, 24)})
    command = ["benchmark", "Found", "--import", "found_arch", "--images", str(images)]
    assert main([*command, "--rounds", "1", "--out", str(tmp_path / "out")]) == 0
    assert "| Found " in capsys.readouterr().out


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "No such file or directory"),
        ("def f(:\n", "SyntaxError: "),
        ("import torch\n\n1 / 0\n", "ZeroDivisionError: division by zero (wrong.py, line 3)"),
        ("import nowhere\n", "ModuleNotFoundError: No module named 'nowhere' (wrong.py, line 1)"),
    ],
)
def test_what_cannot_be_imported_is_said_in_one_line(tmp_path, capsys, content, message):
    file = tmp_path / "wrong.py"
    if content is not None:
        file.write_text(content)
    assert main(["flops", "SMSR", "--import", str(file)]) == 2
    shown = capsys.readouterr().err
    assert shown.startswith(f"smsr flops: error: --import {file}: {message}")
    assert shown.count("\n") == 1


def test_a_file_may_not_hide_a_module(tmp_path):
    (tmp_path / "torch.py").write_text("")
    with pytest.raises(OptionError, match="a module torch is there already: give the file another"):
        import_user_modules([str(tmp_path / "torch.py")])
