"""The speed of training as Markdown that is also readable as plain text. Nothing here prints."""

from __future__ import annotations

from smsr_plugin.compare.engines.report import machine_text, optional_text, seconds_text, table
from smsr_plugin.compare.engines.results import CaseResult, Results

#: What times and memory are divided by.
BASELINE = "naive"


def training_markdown(results: Results, images: int) -> str:
    """Return the report of one batch of so many images."""
    (case,) = results.cases
    width, height = case.size
    title = f"# Training, {images} lq images of {width}×{height}"
    failures = [
        f"- {engine.name}: not available: {engine.failure}"
        for engine in case.engines
        if engine.failure
    ]
    parts = [title, machine_text(results), training_table(case), "\n".join(failures)]
    return "\n\n".join(part for part in parts if part) + "\n"


def training_table(case: CaseResult) -> str:
    """Return each variant's time and memory, absolute and against the naive one."""
    naive = case.engine(BASELINE)
    head = ["training", "how", "precision", "seconds", "quartiles", "iterations/s", "speed"]
    head += ["peak MiB", "of naive"]
    rows = []
    for engine in case.engines:
        if engine.failure is not None:
            continue
        median, first, third = engine.summary
        speed = naive and naive.median / median
        share = None
        if naive and naive.peak_mib and engine.peak_mib is not None:
            share = engine.peak_mib / naive.peak_mib
        rows.append(
            [
                engine.name,
                engine.library,
                engine.precision,
                seconds_text(median),
                f"{seconds_text(first)}–{seconds_text(third)}",
                f"{1 / median:.2f}",
                optional_text(speed, "{:.2f}×"),
                optional_text(engine.peak_mib, "{:.0f}"),
                optional_text(share, "{:.0%}"),
            ]
        )
    return table(head, rows, left=3)
