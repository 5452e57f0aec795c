"""What a report says of single images: each engine, ratios, the floor, parts, the sweep."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from smsr_plugin.compare.costs import floor_seconds, peak_flops
from smsr_plugin.compare.images import NTIRE_SET
from smsr_plugin.compare.presets import MATMUL_TITLE, SWEPT
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.compare.tables import (
    UNKNOWN,
    known_columns,
    optional_text,
    ratio_text,
    seconds_text,
    table,
)
from smsr_plugin.names import table_cell
from smsr_plugin.networks.source import FORMS
from smsr_plugin.timing import summarise


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


Row = tuple[NetworkResult, Measurement]


def ratios(comparison: Comparison, set_name: str, image: str) -> list[Ratio]:
    """Return the answer to every question for which both engines have figures on an image."""
    timed = [
        (network, measurement)
        for network, measurement in comparison.on(set_name, image)
        if measurement.seconds and measurement.wanted_density is None
    ]
    by_label = {network.label: (network, measurement) for network, measurement in timed}

    def fastest(wanted: Callable[[NetworkResult], bool]) -> Row | None:
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


def _speed(question: str, engine: Row | None, baseline: Row | None) -> Ratio | None:
    """Return time of the baseline / time of the engine: how many times as fast the engine is."""
    if engine is None or baseline is None:
        return None
    slow, fast = baseline[1].median, engine[1].median
    if not slow or not fast:
        return None
    return Ratio(question, slow / fast, engine[0].label, baseline[0].label)


def _memory(question: str, engine: Row | None, baseline: Row | None) -> Ratio | None:
    if engine is None or baseline is None:
        return None
    much, little = baseline[1].peak_mib, engine[1].peak_mib
    if little is None or not much:
        return None
    return Ratio(question, little / much, engine[0].label, baseline[0].label)


def image_parts(comparison: Comparison) -> list[str]:
    """Return the paragraphs on the images without a ground truth, those of `NTIRE_SET` aside."""
    places = [place for place in comparison.images() if place[0] != NTIRE_SET]
    answered = [place for place in places if ratios(comparison, *place)]
    parts = ["## Ratios", ratio_table(comparison, answered)] if answered else []
    for set_name, image in places:
        rows = list(comparison.on(set_name, image))
        if any(measurement.wanted_density is not None for _, measurement in rows):
            parts += [f"## Time against density, {table_cell(image)}", sweep_table(rows)]
        else:
            width, height = rows[0][1].lq_size
            parts += [f"## {table_cell(image)}, lq {width}×{height}", image_table(rows)]
            parts += [text for text in (floor_text(rows), breakdown_table(rows)) if text]
    return parts


def image_table(rows: Sequence[Row]) -> str:
    """Return the figures of all engines on one image; speed and memory are against the first."""
    head = ["label", "network", "run by", "precision", "threads", "seconds", "quartiles"]
    head += ["speed", "peak MiB", "memory", "running", "density", "max error", "PSNR dB"]
    shown = [row for row in rows if row[0].title != MATMUL_TITLE]
    first = shown[0][1] if shown else None
    cells = [_cells(network, measurement, first) for network, measurement in shown]
    return table(*known_columns(head, cells), left=4)


def _cells(network: NetworkResult, measured: Measurement, first: Measurement | None) -> list[str]:
    details = [network.run_by, measured.loaded, *(f"{k}={v}" for k, v in network.env.items())]
    speed = memory = None
    if first and first.median and measured.median:
        speed = first.median / measured.median
    if first and first.peak_mib and measured.peak_mib is not None:
        memory = measured.peak_mib / first.peak_mib
    times = measured.summary
    quartiles = times and f"{seconds_text(times[1])}–{seconds_text(times[2])}"
    error = measured.difference
    return [
        network.label,
        network.title,
        ", ".join(filter(None, details)),
        network.precision,
        optional_text(network.threads, "{}"),
        seconds_text(times.median) if times else UNKNOWN,
        quartiles or UNKNOWN,
        ratio_text(speed) if speed else UNKNOWN,
        optional_text(measured.peak_mib, "{:.0f}"),
        optional_text(memory, "{:.0%}"),
        optional_text(measured.running_peak_mib, "{:.0f}"),
        optional_text(measured.density, "{:.3f}"),
        optional_text(error and error.max_abs, "{:.1e}"),
        optional_text(error and error.psnr, "{:.1f}"),
    ]


def ratio_table(comparison: Comparison, places: Sequence[tuple[str, str]]) -> str:
    """Return the answers to the comparison's questions, one column for each image."""
    answers = [{r.question: r for r in ratios(comparison, *place)} for place in places]
    questions = list(dict.fromkeys(question for answer in answers for question in answer))
    rows = []
    for question in questions:
        row = [question]
        for answer in answers:
            found = answer.get(question)
            row.append(
                f"{ratio_text(found.ratio)} ({found.baseline} → {found.engine})"
                if found
                else UNKNOWN
            )
        rows.append(row)
    return table(["", *(image for _, image in places)], rows)


def floor_text(rows: Sequence[Row]) -> str | None:
    """Return the floor of the kept multiply-adds; None if they or the peak were not measured."""
    peak = peak_of(rows)
    kept = next((m.macs for _, m in rows if m.macs and m.spa_densities), None)
    if peak is None or kept is None:
        return None
    return (
        f"Floor of direct fp32 convolution: {seconds_text(floor_seconds(kept, peak))} s for "
        f"{kept / 1e9:.1f} G multiply-adds kept, at the {peak / 1e9:.0f} GFLOP/s that a large "
        "matrix product reached."
    )


def peak_of(rows: Sequence[Row]) -> float | None:
    """Return the machine's fp32 peak, operations per second; None where it was not measured."""
    found = [m.seconds for network, m in rows if network.title == MATMUL_TITLE and m.seconds]
    return peak_flops(found[0]) if found else None


def breakdown_table(rows: Sequence[Row]) -> str | None:
    """Return the time of each part in ms (median of runs), one column for each engine."""
    parts = {
        network.label: {
            part: summarise(seconds).median for part, seconds in measurement.breakdown.items()
        }
        for network, measurement in rows
        if measurement.breakdown
    }
    if not parts:
        return None
    names = list(dict.fromkeys(part for values in parts.values() for part in values))

    def row(label: str, value: Callable[[dict[str, float]], float | None]) -> list[str]:
        values = (value(of_engine) for of_engine in parts.values())
        return [label, *(optional_text(v and v * 1e3, "{:.1f}") for v in values)]

    lines = [row(name, lambda values, name=name: values.get(name)) for name in names]
    lines.append(row("sum", lambda values: sum(values.values())))
    return table(["part, ms", *parts], lines)


def sweep_table(rows: Sequence[Row]) -> str:
    """Return the times at each density, then those of the dense engines."""
    shown = [row for row in rows if row[0].title != MATMUL_TITLE and row[1].median]
    lines = [
        [
            network.label,
            optional_text(measured.density, "{:.3f}"),
            seconds_text(measured.median or 0),
            optional_text(_kept_macs(measured), "{:.1f}"),
        ]
        for network, measured in sorted(shown, key=lambda row: row[1].wanted_density is None)
    ]
    return table(["label", "density", "seconds", "G multiply-adds"], lines)


def _kept_macs(measured: Measurement) -> float | None:
    """Return the multiply-adds that masks keep, in G; None without masks."""
    return measured.macs / 1e9 if measured.macs and measured.spa_densities else None
