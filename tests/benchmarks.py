"""`smsr benchmark` as a function, its results, and engines that run in this process."""

from __future__ import annotations

from smsr_plugin.cli import main as roof
from smsr_plugin.compare.results import Comparison
from smsr_plugin.engines.process import EngineError
from smsr_plugin.engines.worker import Worker

PAN_OPTIONS = {"num_feat": 4, "num_up_feat": 4, "num_block": 1}


def main(*arguments):
    return roof.main(["benchmark", *map(str, arguments)])


def results(out):
    return Comparison.from_json((out / "results.json").read_text())


def preset(name, files, *arguments):
    out = ("--threads", 1, "--rounds", 2, "--out", files / "out")
    return main("--preset", name, *out, *arguments)


class InProcess:
    """Stands for `EngineProcess`: the worker's calls, in this process."""

    def __init__(self, spec):
        self.spec, self.worker = spec, Worker()

    def call(self, method, *arguments):
        try:
            return getattr(self.worker, method)(*arguments)
        except Exception as error:
            raise EngineError(f"{type(error).__name__}: {error}") from error

    def close(self):
        pass
