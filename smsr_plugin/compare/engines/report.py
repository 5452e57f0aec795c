"""Results as Markdown that is also readable as plain text. Nothing here prints."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from smsr_plugin.compare.engines.comparison import comparisons
from smsr_plugin.compare.engines.results import CaseResult, Conditions, EngineResult, Results, Sweep
from smsr_plugin.compare.engines.spec import MATMUL, NETWORKS
from smsr_plugin.compare.floor import floor_seconds, peak_flops
from smsr_plugin.timing import summarise

UNKNOWN = "–"
#: The engine that the times of a table are divided by.
BASELINE = "pytorch"


def markdown(results: Results, plot: str | None = None) -> str:
    """Return the whole report.

    Args:
        results: What was measured.
        plot: The file of the plot of time against density, relative to the report.
    """
    parts = ["# Benchmark", machine_text(results)]
    if any(comparisons(case) for case in results.cases):
        parts += ["## Ratios", comparison_table(results.cases)]
    for case in results.cases:
        width, height = case.size
        parts += [f"## {case.name}, lq {width}×{height}", engine_table(case)]
        parts += [text for text in (floor_text(case), breakdown_table(case)) if text]
        parts += _failure_list({e.name: e.failure for e in case.engines if e.failure})
    if results.sweep is not None:
        parts += [f"## Time against density, {results.sweep.case}"]
        parts += [f"![time against density]({plot})"] if plot else []
        parts += [sweep_table(results.sweep), *_failure_list(results.sweep.failures)]
    return "\n\n".join(parts) + "\n"


def table(head: Sequence[str], rows: Sequence[Sequence[str]], left: int = 1) -> str:
    """Return a Markdown table with aligned columns, the first `left` of them to the left."""
    widths = [max(len(row[i]) for row in (head, *rows)) for i in range(len(head))]

    def line(cells: Sequence[str]) -> str:
        padded = (
            cell.ljust(width) if i < left else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(cells, widths, strict=True))
        )
        return f"| {' | '.join(padded)} |"

    rule = ["-" * w if i < left else "-" * (w - 1) + ":" for i, w in enumerate(widths)]
    return "\n".join([line(head), line(rule), *map(line, rows)])


def machine_text(conditions: Conditions) -> str:
    """Return where, when and how it was measured."""
    machine, schedule = conditions.machine, conditions.schedule
    caches = ", ".join(f"{level} {size}" for level, size in machine["caches"].items())
    packages = ", ".join(f"{name} {v}" for name, v in machine["packages"].items() if v)
    lines = [
        f"{machine['cpu']}, {machine['cores_usable'] or machine['cores']} cores",
        f"caches {caches or UNKNOWN}; memory {machine['memory_gib'] or UNKNOWN} GiB; "
        f"{' '.join(machine['isa']) or UNKNOWN}",
        f"{machine['os']}, Python {machine['python']}, {packages}",
        f"{conditions.date}, {conditions.threads} threads, {schedule['rounds']:g} rounds of "
        f"{schedule['untimed']:g} untimed and {schedule['timed']:g} timed runs, load average "
        f"{machine['load_average'][0]:.2f} before",
        f"`{' '.join(conditions.command)}`",
    ]
    return "\n".join(f"- {line}" for line in lines)


def engine_table(case: CaseResult) -> str:
    """Return the figures of all engines on one image."""
    baseline = case.engine(BASELINE)
    head = ["engine", "network", "run by", "precision", "threads", "seconds", "quartiles"]
    head += ["speed", "peak MiB", "running", "density", "max error", "PSNR dB"]
    rows = [
        _engine_row(engine, baseline)
        for engine in case.engines
        if engine.failure is None and engine.name != MATMUL
    ]
    return table(head, rows, left=4)


def _engine_row(engine: EngineResult, baseline: EngineResult | None) -> list[str]:
    median, first, third = engine.summary
    details = [engine.library, engine.loaded, *(f"{k}={v}" for k, v in engine.env.items())]
    return [
        engine.name,
        NETWORKS.get(engine.network, engine.network),
        ", ".join(filter(None, details)),
        engine.precision,
        str(engine.threads),
        seconds_text(median),
        f"{seconds_text(first)}–{seconds_text(third)}",
        _ratio(baseline.median / median) if baseline else UNKNOWN,
        optional_text(engine.peak_mib, "{:.0f}"),
        optional_text(engine.running_peak_mib, "{:.0f}"),
        optional_text(engine.density, "{:.3f}"),
        optional_text(engine.max_abs, "{:.1e}"),
        optional_text(engine.psnr, "{:.1f}"),
    ]


def comparison_table(cases: Sequence[CaseResult]) -> str:
    """Return the answers to the benchmark's questions, one column for each image."""
    answers = [{c.question: c for c in comparisons(case)} for case in cases]
    questions = list(dict.fromkeys(question for answer in answers for question in answer))
    rows = []
    for question in questions:
        row = [question]
        for answer in answers:
            found = answer.get(question)
            row.append(
                f"{_ratio(found.ratio)} ({found.baseline} → {found.engine})" if found else UNKNOWN
            )
        rows.append(row)
    return table(["", *(case.name for case in cases)], rows)


def floor_text(case: CaseResult) -> str | None:
    """Return the floor of the kept multiply-adds; None if they or the peak were not measured."""
    matmul = case.engine(MATMUL)
    kept = next((e.macs for e in case.engines if e.failure is None and e.macs), None)
    if matmul is None or kept is None:
        return None
    flops = peak_flops(matmul.seconds)
    return (
        f"Floor of direct fp32 convolution: {seconds_text(floor_seconds(kept, flops))} s for "
        f"{kept / 1e9:.1f} G multiply-adds kept, at the {flops / 1e9:.0f} GFLOP/s that a large "
        "matrix product reached."
    )


def breakdown_table(case: CaseResult) -> str | None:
    """Return the time of each part in ms (median of runs), one column for each engine."""
    engines = [engine for engine in case.engines if engine.failure is None and engine.breakdown]
    if not engines:
        return None
    parts = {
        e.name: {part: summarise(seconds).median for part, seconds in (e.breakdown or {}).items()}
        for e in engines
    }
    names = list(dict.fromkeys(part for values in parts.values() for part in values))

    def row(label: str, value: Callable[[dict[str, float]], float | None]) -> list[str]:
        values = (value(parts[engine.name]) for engine in engines)
        return [label, *(optional_text(v and v * 1e3, "{:.1f}") for v in values)]

    rows = [row(name, lambda values, name=name: values.get(name)) for name in names]
    rows.append(row("sum", lambda values: sum(values.values())))
    return table(["part, ms", *parts], rows)


def sweep_table(sweep: Sweep) -> str:
    """Return the times at each density, then those of the dense engines."""
    rows = [
        [
            p.engine,
            f"{p.density:.3f}",
            seconds_text(summarise(p.seconds).median),
            f"{p.macs / 1e9:.1f}",
        ]
        for p in sweep.points
    ]
    for name, seconds in sweep.lines.items():
        rows.append([name, UNKNOWN, seconds_text(summarise(seconds).median), UNKNOWN])
    return table(["engine", "density", "seconds", "G multiply-adds"], rows)


def _failure_list(failures: dict[str, str]) -> list[str]:
    """Return one paragraph, or none."""
    lines = [f"- {name}: not available: {reason}" for name, reason in failures.items()]
    return ["\n".join(lines)] if lines else []


def seconds_text(value: float) -> str:
    """Return seconds with three digits: 13.2, 1.70, 0.574, 0.00912."""
    for limit, digits in ((10, 1), (1, 2), (0.1, 3), (0.01, 4)):
        if value >= limit:
            return f"{value:.{digits}f}"
    return f"{value:.5f}"


def _ratio(value: float) -> str:
    return f"{value:.2f}×"


def optional_text(value: float | None, layout: str) -> str:
    return UNKNOWN if value is None else layout.format(value)
