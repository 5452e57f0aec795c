"""The plugin in somebody else's BasicSR project, whichever of the two is imported first."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
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
#: Runs code by names, each in a process where nothing is imported but what takes seconds and knows
#: neither of the two.
PROCESSES = """
import json, os, sys
import cv2, scipy.stats, torchvision
for name, code in json.load(sys.stdin).items():
    if os.fork() == 0:
        print(name, end=": ")
        sys.exit(exec(code, {}))
    if os.wait()[1]:
        sys.exit(f"with {name}")
"""


def test_both_find_each_other_in_any_order(tmp_path):
    (tmp_path / "their_arch.py").write_text(THEIRS)
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROCESSES],
        input=json.dumps({order: code + CHECK for order, code in ORDERS.items()}),
        cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=240,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    found = "smsr_plugin.archs.smsr_arch\ntheir_arch\nTrue True True\n"
    assert done.stdout == "".join(f"{order}: {found}" for order in ORDERS)
