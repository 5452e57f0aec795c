"""How many times as fast one engine is as another, for the questions that a comparison answers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from smsr_plugin.compare.networks.source import FORMS
from smsr_plugin.compare.presets import MATMUL_TITLE, SWEPT
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult


@dataclass(frozen=True)
class Ratio:
    """One question's answer for one image.

    Attributes:
        question: What is compared with what.
        ratio: How many times as fast the engine is as the baseline, by the medians; of memory, how
            many times as much it needs.
        engine, baseline: The labels of the two.
    """

    question: str
    ratio: float
    engine: str
    baseline: str


Timed = tuple[NetworkResult, Measurement]


def ratios(comparison: Comparison, set_name: str, image: str) -> list[Ratio]:
    """Return the answer to every question for which both engines have figures on an image."""
    timed = [
        (network, measurement)
        for network, measurement in comparison.on(set_name, image)
        if measurement.seconds and measurement.wanted_density is None
    ]
    by_label = {network.label: (network, measurement) for network, measurement in timed}

    def fastest(wanted: Callable[[NetworkResult], bool]) -> Timed | None:
        found = [each for each in timed if wanted(each[0])]
        return min(found, key=lambda each: each[1].median or 0, default=None)

    ours, pytorch = by_label.get("ours"), by_label.get("pytorch")
    best = fastest(lambda n: n.label in SWEPT)
    answers = [_speed("ours fp32 against PyTorch, dense twin fp32", ours, pytorch)]
    own = {FORMS["sparse"], FORMS["masked"], MATMUL_TITLE, best and best[0].title}
    for title in dict.fromkeys(network.title for network, _ in timed):
        if title in own:
            continue
        full = fastest(lambda n, title=title: n.title == title and n.precision == "fp32")
        of_any = fastest(lambda n, title=title: n.title == title)
        answers += [
            _speed(f"ours fp32 against the fastest {title} in fp32", ours, full),
            _speed(f"our best against the fastest {title} of any precision", best, of_any),
        ]
    answers += [
        _speed("ours fp32 against masked dense in PyTorch", ours, by_label.get("masked")),
        _speed("ours fp32 against the reference sparse path", ours, by_label.get("reference")),
        _speed("ours fp32 on all threads against one", ours, by_label.get("ours-1-thread")),
        _speed(
            "ours fp32 with AVX2 only against all instruction sets", by_label.get("ours-avx2"), ours
        ),
        _memory("peak memory of ours fp32 over PyTorch's, dense twin", ours, pytorch),
    ]
    return [answer for answer in answers if answer is not None]


def _speed(question: str, engine: Timed | None, baseline: Timed | None) -> Ratio | None:
    """Return time of the baseline / time of the engine: how many times as fast the engine is."""
    if engine is None or baseline is None:
        return None
    slow, fast = baseline[1].median, engine[1].median
    if not slow or not fast:
        return None
    return Ratio(question, slow / fast, engine[0].label, baseline[0].label)


def _memory(question: str, engine: Timed | None, baseline: Timed | None) -> Ratio | None:
    if engine is None or baseline is None:
        return None
    much, little = baseline[1].peak_mib, engine[1].peak_mib
    if little is None or not much:
        return None
    return Ratio(question, little / much, engine[0].label, baseline[0].label)
