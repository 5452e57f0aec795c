"""ncnn on the CPU, in fp32 with Winograd or in bf16.

In bf16 both storage and packing are on; the library chooses its convolutions in either precision.
OpenMP's threads spin for `openmp_blocktime` (20 ms, the default) after a run at most, less than the
pause between turns.
"""

from __future__ import annotations

import importlib
from typing import Any

import numpy as np

from smsr_plugin.engines.base import Engine, Image, Input, Job

ncnn: Any = importlib.import_module("ncnn")

#: The names that pnnx gives to the first input and output.
INPUT, OUTPUT = "in0", "out0"


class NcnnEngine(Engine):
    """Runs a pair of .param and .bin files with one input and one output."""

    def __init__(self, job: Job) -> None:
        if job.model is None:
            raise ValueError("ncnn needs a model file")
        bf16 = job.spec.precision == "bf16"
        self.net = ncnn.Net()
        options = self.net.opt
        options.num_threads = job.spec.threads
        options.use_winograd_convolution = True
        options.use_bf16_storage = options.use_bf16_packed = bf16
        # Half precision is on by default where a CPU has it, which would not be fp32.
        options.use_fp16_packed = options.use_fp16_storage = options.use_fp16_arithmetic = False
        for read, path in (
            (self.net.load_param, job.model),
            (self.net.load_model, job.model.with_suffix(".bin")),
        ):
            if read(str(path)) != 0:
                raise RuntimeError(f"ncnn cannot read {path.name}")

    def prepare(self, given: Input) -> Any:
        return ncnn.Mat(given.lq[0]).clone()

    def run(self, prepared: Any) -> Any:
        extractor = self.net.create_extractor()
        extractor.input(INPUT, prepared)
        status, result = extractor.extract(OUTPUT)
        if status != 0:
            raise RuntimeError(f"ncnn failed with status {status}")
        return result

    def output(self, result: Any) -> Image:
        return np.array(result, dtype=np.float32)[None]


def load(job: Job) -> Engine:
    """Load a converted network in ncnn."""
    return NcnnEngine(job)
