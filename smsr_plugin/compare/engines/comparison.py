"""How many times as fast one engine is as another, for the questions the benchmark asks."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smsr_plugin.compare.engines.results import CaseResult, EngineResult


@dataclass(frozen=True)
class Comparison:
    """One question's answer for one image.

    Attributes:
        question: What is compared with what.
        ratio: How many times as fast the engine is as the baseline, by the medians; of memory, how
            many times as much it needs.
        engine, baseline: The names of the two.
    """

    question: str
    ratio: float
    engine: str
    baseline: str


OURS = ("ours", "ours-bf16")


def comparisons(case: CaseResult) -> list[Comparison]:
    """Return every comparison for which both engines have figures."""
    ours, best = case.engine("ours"), _fastest(case, lambda e: e.name in OURS)
    dense_fp32 = _fastest(case, lambda e: e.network == "twin" and e.precision == "fp32")
    dense = _fastest(case, lambda e: e.network == "twin")
    rlfn_fp32 = _fastest(case, lambda e: e.network == "rlfn" and e.precision == "fp32")
    rlfn = _fastest(case, lambda e: e.network == "rlfn")
    pytorch = case.engine("pytorch")
    answers = [
        _speed("ours fp32 against PyTorch, dense twin fp32", ours, pytorch),
        _speed("ours fp32 against the fastest dense twin in fp32", ours, dense_fp32),
        _speed("our best against the fastest dense twin of any precision", best, dense),
        _speed("ours fp32 against the fastest RLFN in fp32", ours, rlfn_fp32),
        _speed("our best against the fastest RLFN of any precision", best, rlfn),
        _speed("ours fp32 against masked dense in PyTorch", ours, case.engine("masked")),
        _speed("ours fp32 against the reference sparse path", ours, case.engine("reference")),
        _speed("ours fp32 on all threads against one", ours, case.engine("ours-1-thread")),
        _speed(
            "ours fp32 with AVX2 only against all instruction sets", case.engine("ours-avx2"), ours
        ),
        _memory("peak memory of ours fp32 over PyTorch's, dense twin", ours, pytorch),
    ]
    return [answer for answer in answers if answer is not None]


def _fastest(case: CaseResult, wanted: Callable[[EngineResult], bool]) -> EngineResult | None:
    candidates = [e for e in case.engines if e.failure is None and wanted(e)]
    return min(candidates, key=lambda e: e.median, default=None)


def _speed(
    question: str, engine: EngineResult | None, baseline: EngineResult | None
) -> Comparison | None:
    """Return time of the baseline / time of the engine: how many times as fast the engine is."""
    if engine is None or baseline is None:
        return None
    return Comparison(question, baseline.median / engine.median, engine.name, baseline.name)


def _memory(
    question: str, engine: EngineResult | None, baseline: EngineResult | None
) -> Comparison | None:
    if engine is None or baseline is None or engine.peak_mib is None or not baseline.peak_mib:
        return None
    return Comparison(question, engine.peak_mib / baseline.peak_mib, engine.name, baseline.name)
