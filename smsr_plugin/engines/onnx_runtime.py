"""ONNX Runtime on the CPU, all graph optimisations.

Threads spin between operations, the library's default and its best for latency, and are told to
stop when a run ends (`session.force_spinning_stop`), so that they do not disturb other engines.
"""

from __future__ import annotations

import importlib
from typing import Any

from smsr_plugin.engines.base import Engine, Image, Input, Job

onnxruntime: Any = importlib.import_module("onnxruntime")


class OnnxRuntimeEngine(Engine):
    """Runs an ONNX file with one input and one output."""

    def __init__(self, job: Job) -> None:
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = job.spec.threads
        options.inter_op_num_threads = 1
        options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_ENABLE_ALL
        options.add_session_config_entry("session.force_spinning_stop", "1")
        self.session = onnxruntime.InferenceSession(
            str(job.model), options, providers=["CPUExecutionProvider"]
        )
        self.input_name = self.session.get_inputs()[0].name

    def prepare(self, given: Input) -> dict[str, Any]:
        return {self.input_name: onnxruntime.OrtValue.ortvalue_from_numpy(given.lq)}

    def run(self, prepared: dict[str, Any]) -> Any:
        return self.session.run_with_ort_values(None, prepared)[0]

    def output(self, result: Any) -> Image:
        return result.numpy()


def load(job: Job) -> Engine:
    """Load an ONNX file in ONNX Runtime."""
    return OnnxRuntimeEngine(job)
