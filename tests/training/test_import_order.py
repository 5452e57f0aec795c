"""The plugin in somebody else's BasicSR project, whichever of the two is imported first."""

from __future__ import annotations

import pytest

THEIRS = """
from basicsr.utils.registry import ARCH_REGISTRY
from torch import nn

@ARCH_REGISTRY.register()
class TheirNet(nn.Module):
    def __init__(self, num_feat=4):
        super().__init__()
        self.conv = nn.Conv2d(3, num_feat, 1)
"""
CHECK = """
from basicsr.archs import build_network
from basicsr.models import build_model
from basicsr.train import train_pipeline
from basicsr.utils.registry import ARCH_REGISTRY, LOSS_REGISTRY, MODEL_REGISTRY

import smsr_plugin.training
options = {"type": "SMSR", "upscale": 2, "num_feat": 4, "num_layer": 2, "num_block": 1}
print(type(build_network(options)).__module__)
print(type(build_network({"type": "TheirNet", "num_feat": 6})).__module__)
print("SMSRModel" in MODEL_REGISTRY, "SparsityLoss" in LOSS_REGISTRY, "EDSR" in ARCH_REGISTRY)
"""
#: How projects make BasicSR 1.4.2 find what newer torchvisions have elsewhere, if the plugin, which
#: sees to it itself, is not the first.
SHIM = """
import sys
import torchvision.transforms.functional
sys.modules["torchvision.transforms.functional_tensor"] = torchvision.transforms.functional
"""
ORDERS = {
    "the plugin first": "import smsr_plugin.training, their_arch",
    "BasicSR first": SHIM + "import basicsr, their_arch, smsr_plugin.training",
    "the pipeline first": SHIM + "from basicsr.train import train_pipeline\nimport their_arch",
    "the light package first": SHIM + "import smsr_plugin, their_arch, basicsr.models",
}


@pytest.mark.parametrize("order", ORDERS)
def test_both_find_each_other_in_any_order(tmp_path, interpreter, order):
    (tmp_path / "their_arch.py").write_text(THEIRS)
    done = interpreter(tmp_path, ORDERS[order] + CHECK)
    assert done.returncode == 0, done.stderr[-1000:]
    assert done.stdout.split() == ["smsr_plugin.archs.smsr_arch", "their_arch", *["True"] * 3]
