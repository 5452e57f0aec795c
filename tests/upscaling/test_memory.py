"""What a run is said to need against what it takes."""

from __future__ import annotations

import sys

import pytest

from smsr_plugin import SMSR, to_sparse
from smsr_plugin.upscaling.network import is_shortage
from smsr_plugin.upscaling.pytorch import torch_bytes_per_pixel

MEASURE = """
import sys
import torch
from smsr_plugin import SMSR, to_sparse
from smsr_plugin.archs.masked_rlfn_arch import MaskedRLFN
from smsr_plugin.machine import MIB, peak_mib, reset_peak, resident_mib
from smsr_plugin.upscaling.pytorch import torch_bytes_per_pixel

precision, kind = sys.argv[1], sys.argv[3]
torch.set_num_threads(2 if kind == "wide" else 1)
# Each of the two holds some rows of a block, in the wide image a good part of the whole.
height, width = (32, 8192) if kind == "wide" else (256, 256)
if kind == "wide":
    net = MaskedRLFN(num_feat=16, upscale=2, num_narrow=4).eval()
else:
    net = SMSR(num_feat=32, num_layer=3, num_block=4).eval()
config, dense = net.config, precision == "dense"
if not dense:
    net = to_sparse(net, precision, backend=sys.argv[2])
x, masks = torch.rand(1, 3, height, width), torch.ones(1, config.num_block, height, width)
with torch.inference_mode():
    net(x[..., :16, :16], spa_mask=masks[..., :16, :16])
    assert reset_peak()
    before = resident_mib()
    net(x, spa_mask=masks)
pixels = height * width
said = pixels * torch_bytes_per_pixel(config) if dense else net.bytes_needed(height, width)
print((peak_mib() - before) * MIB / said)
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="Linux tells the peak of a process's memory")
@pytest.mark.parametrize(
    ("precision", "backend", "kind"),
    [
        *(("fp32", "native", kind) for kind in ("square", "wide")),
        *(("bf16", "native", kind) for kind in ("square", "wide")),
        ("dense", "", "square"),
    ],
)
def test_a_run_takes_no_more_than_is_said_and_not_much_less(
    precision, backend, kind, tmp_path, interpreter
):
    if backend:
        kernels = pytest.importorskip("smsr_plugin._kernels", reason="the kernels were not built")
        if precision == "bf16" and not kernels.has_half():
            pytest.skip("this processor has no bfloat16 instructions")
    done = interpreter(tmp_path, MEASURE, precision, backend, kind)
    assert done.returncode == 0, done.stderr
    assert 0.4 < float(done.stdout) < 1.1


def test_memory_is_that_of_the_planes_in_whole_cache_lines():
    kernels = pytest.importorskip("smsr_plugin._kernels", reason="the kernels were not built")
    options = {"num_layer": 2, "num_block": 3}
    narrow, wide = (SMSR(num_feat=feat, **options) for feat in (5, 16))
    # The outputs of the layers, the block's input, the sums; the image in lines; activity, lists.
    expected = (2 + 1 + 1 + 1) * 64 + 1 + 192
    assert to_sparse(wide).bytes_needed(20, 30) == 20 * 30 * expected
    # As wide in memory, and a plane more: masked planes share memory only at equal channels.
    assert to_sparse(narrow).bytes_needed(20, 30) == 20 * 30 * (expected + 64)
    if kernels.has_half() and kernels.isa() != "amx":
        assert to_sparse(wide, "bf16").bytes_needed(20, 30) == 20 * 30 * expected
    with pytest.raises(RuntimeError, match="only of a run on the native kernels"):
        to_sparse(wide, backend="reference").bytes_needed(20, 30)
    assert torch_bytes_per_pixel(narrow.config) == (4 + 3 + 12) * 20 + 256


def test_a_shortage_of_memory_is_told_from_other_errors():
    for error in (
        MemoryError(),
        RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried to allocate 9 bytes"),
        RuntimeError("std::bad_alloc"),
    ):
        assert is_shortage(error)
    for error in (RuntimeError("shapes differ"), ValueError("cannot allocate"), KeyError("x")):
        assert not is_shortage(error)
