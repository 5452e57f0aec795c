"""OpenVINO on the CPU with the latency hint.

The precision is always given: left alone, OpenVINO chooses bf16 where the CPU has it, also for a
float32 model. What a quantised network leaves in floating point is bf16 there, and float32
elsewhere. Its threads (TBB) sleep between runs.
"""

from __future__ import annotations

import ctypes
import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from smsr_plugin.engines.base import Engine, Image, Input, Job

openvino: Any = importlib.import_module("openvino")

PRECISIONS = {"fp32": "f32", "bf16": "bf16"}
#: As OpenVINO calls it among what a processor can do.
HALF = "BF16"


class SignalStack(ctypes.Structure):
    """Linux's `stack_t` (sigaltstack(2)): where a thread's signal handlers that ask for it run."""

    _fields_ = (
        ("address", ctypes.c_void_p),
        ("flags", ctypes.c_int),
        ("size", ctypes.c_size_t),
    )

    @classmethod
    def current(cls) -> SignalStack:
        """That of the calling thread."""
        stack = cls()
        ctypes.CDLL(None).sigaltstack(None, ctypes.byref(stack))
        return stack

    def restore(self) -> None:
        """Make it the calling thread's again."""
        ctypes.CDLL(None).sigaltstack(ctypes.byref(self), None)


@contextmanager
def signal_stack_kept() -> Iterator[None]:
    """Leave the thread's alternate signal stack as it was.

    OpenVINO 2026.4.1 gives the thread that compiles a network, or first asks for the CPU's
    properties, a stack that it frees, in whatever thread that is; the next SIGINT of the first
    would be handled in freed memory. A handler on the ordinary stack does as well.
    """
    if sys.platform != "linux":
        yield
        return
    stack = SignalStack.current()
    try:
        yield
    finally:
        stack.restore()


def has_half(core: openvino.Core) -> bool:
    """Tell whether the processor has instructions for bfloat16."""
    with signal_stack_kept():
        return HALF in core.get_property("CPU", "OPTIMIZATION_CAPABILITIES")


class OpenVinoEngine(Engine):
    """Runs an ONNX file, or an .xml with its .bin, with one input and one output."""

    def __init__(self, job: Job) -> None:
        core, precision = openvino.Core(), job.spec.precision
        if precision == "int8":
            precision = "bf16" if has_half(core) else "fp32"
        config = {
            "PERFORMANCE_HINT": "LATENCY",
            "INFERENCE_PRECISION_HINT": PRECISIONS[precision],
            "INFERENCE_NUM_THREADS": job.spec.threads,
        }
        with signal_stack_kept():
            compiled = core.compile_model(str(job.model), "CPU", config)
        actual = compiled.get_property("INFERENCE_PRECISION_HINT").to_string()
        if actual != config["INFERENCE_PRECISION_HINT"]:
            raise RuntimeError(
                f"OpenVINO runs {actual} in place of {precision} on this processor: take fp32"
            )
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
    """Load a file in OpenVINO."""
    return OpenVinoEngine(job)
