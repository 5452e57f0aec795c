"""Inference must not need BasicSR, which takes seconds to import and forces its dependencies."""

SCRIPT = """
import sys
sys.modules["basicsr"] = None  # importing it raises ModuleNotFoundError
import torch
import smsr_plugin

net = smsr_plugin.SMSR(num_feat=4, num_layer=2, num_block=1).eval()
smsr_plugin.save(net, sys.argv[1])
net = smsr_plugin.load(sys.argv[1])
x = torch.rand(1, 3, 6, 5)
with torch.no_grad():
    assert torch.allclose(smsr_plugin.to_sparse(net)(x), net(x), atol=1e-5)

from PIL import Image
from smsr_plugin.cli.main import main

Image.new("RGB", (7, 5)).save(sys.argv[1] + ".png")
command = ["upscale", sys.argv[1] + ".png", "-o", sys.argv[1] + "_x2.png", "--weights", sys.argv[1]]
assert main(command) == 0
assert Image.open(sys.argv[1] + "_x2.png").size == (14, 10)
print(sorted(smsr_plugin.__all__))
"""


def test_import_load_sparse_inference_and_upscaling(tmp_path, interpreter):
    result = interpreter(tmp_path, SCRIPT, "net.safetensors")
    assert result.returncode == 0, result.stderr
    assert "SparseNetwork" in result.stdout
