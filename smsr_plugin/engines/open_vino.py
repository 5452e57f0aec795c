"""OpenVINO on the CPU with the latency hint.

The precision is always given: left alone, OpenVINO chooses bf16 where the CPU has it, also for a
float32 model. Its threads (TBB) sleep between runs.
"""

from __future__ import annotations

import importlib
from typing import Any

from smsr_plugin.engines.base import Engine, Image, Input, Job

openvino: Any = importlib.import_module("openvino")

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}


class OpenVinoEngine(Engine):
    """Runs an ONNX file with one input and one output."""

    def __init__(self, job: Job) -> None:
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[job.spec.precision],
            "INFERENCE_NUM_THREADS": job.spec.threads,
        }
        compiled = openvino.Core().compile_model(str(job.model), "CPU", config)
        actual = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if actual != config["INFERENCE_PRECISION_HINT"]:
            raise RuntimeError(f"OpenVINO runs {actual} in place of {job.spec.precision}")
        self.request = compiled.create_infer_request()

    def prepare(self, given: Input) -> Any:
        # Shared memory: the request reads the array itself.
        return openvino.Tensor(given.lq, shared_memory=True)

    def run(self, prepared: Any) -> Any:
        self.request.set_input_tensor(prepared)
        self.request.infer()
        return self.request.get_output_tensor()

    def output(self, result: Any) -> Image:
        return result.data.copy()


def load(job: Job) -> Engine:
    """Load an ONNX file in OpenVINO."""
    return OpenVinoEngine(job)
