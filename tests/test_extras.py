"""What is not installed is named with the extra that brings it, in one line."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from smsr_plugin.lazy import EXTRAS, advice

ROOT = Path(__file__).parents[1]


def without(modules: tuple[str, ...], code: str) -> subprocess.CompletedProcess[str]:
    """Run code where modules cannot be imported."""
    gone = f"import sys; sys.modules.update(dict.fromkeys({modules!r}))\n"
    return subprocess.run(
        [sys.executable, "-c", gone + code], capture_output=True, text=True, timeout=120, cwd=ROOT
    )


@pytest.mark.parametrize(
    ("command", "missing", "extra"),
    [
        (["report", "a.png"], "torch", "report"),
        (["benchmark", "a.pt"], "torch", "bench"),
        (["export", "a.pt", "a.onnx"], "torch", "onnx"),
        (["convert", "a.pt", "a.safetensors"], "torch", "torch"),
        (["flops", "SMSR"], "torch", "train"),
        (["prepare", "--root", "data"], "lmdb", "train"),
        (["upscale", "a.mp4", "-o", "b.mp4"], "av", "video"),
    ],
)
def test_a_command_names_the_extra_that_it_needs(command, missing, extra):
    code = f"from smsr_plugin.cli.main import main; sys.exit(main({command!r}))"
    done = without((missing,), code)
    expected = f"smsr {command[0]}: error: {missing} is not installed: "
    assert done.stderr == expected + f"pip install 'smsr_plugin[{extra}]'\n"
    assert done.returncode == 2


def test_what_needs_pytorch_says_so_when_it_is_asked_for():
    done = without(("torch",), "import smsr_plugin; smsr_plugin.load")
    assert done.stderr.splitlines()[-1] == (
        "ModuleNotFoundError: smsr_plugin.load: torch is not installed: "
        "pip install 'smsr_plugin[torch]'"
    )


def test_an_image_is_enlarged_with_nothing_that_an_extra_brings(tmp_path):
    pytest.importorskip("smsr_plugin._kernels")
    (tmp_path / "in").mkdir()
    code = f"""
import os
import numpy as np
from PIL import Image
Image.fromarray(np.zeros((5, 7, 4), np.uint8)).save({str(tmp_path / "in/a.png")!r})
from smsr_plugin.images.picture import Picture
from smsr_plugin.images.writing import write_picture
from pathlib import Path
deep = Picture(np.zeros((5, 7, 3), np.uint16), alpha=np.eye(5, 7, dtype=np.uint16))
write_picture(deep, Path({str(tmp_path / "in/b.png")!r}))
from smsr_plugin.cli.main import main
os.chdir({str(tmp_path)!r})
sys.exit(main(["upscale", "in", "-o", "out", "--masks", "masks"]))
"""
    done = without(tuple(EXTRAS), code)
    assert (done.returncode, done.stderr) == (0, "")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["a.png", "b.png"]


def test_every_extra_that_is_named_is_one():
    declared = re.findall(r'^    "(\w+)": ', (ROOT / "setup.py").read_text("utf-8"), re.MULTILINE)
    assert set(EXTRAS.values()) <= set(declared)


@pytest.mark.parametrize("library", ["libGL.so.1", "libgthread-2.0.so.0", "libxcb.so.1"])
def test_a_library_of_the_system_that_opencv_needs_is_named(library):
    error = ImportError(f"{library}: cannot open shared object file")
    assert "libgl1" in advice(error)
    assert "opencv-python-headless" in advice(error)


LACKS = "libGL.so.1: cannot open shared object file: No such file"


@pytest.mark.parametrize("argv", [["train", "-opt", "."], ["benchmark", "EDSR", "--images", "."]])
@pytest.mark.parametrize("lacks", ["the module", LACKS], ids=["the module", "a library"])
def test_an_opencv_that_cannot_be_loaded_is_one_line_whatever_it_lacks(
    argv, lacks, tmp_path, interpreter
):
    if lacks == LACKS:
        (tmp_path / "cv2.py").write_text(f"raise ImportError({LACKS!r})")
    else:
        (tmp_path / "cv2.abi3.so").write_bytes(b"")
    Image.new("RGB", (16, 16)).save(tmp_path / "a.png")
    code = f"import sys\nfrom smsr_plugin.cli.main import main\nsys.exit(main({argv!r}))"
    done = interpreter(tmp_path, code)
    assert done.returncode == 2
    assert done.stderr.startswith(f"smsr {argv[0]}: error: OpenCV cannot be loaded (")
    assert (f"({LACKS}" in done.stderr) == (lacks == LACKS)
    assert "libgl1" in done.stderr
    assert "opencv-python-headless" in done.stderr
    assert done.stderr.count("\n") == 1
