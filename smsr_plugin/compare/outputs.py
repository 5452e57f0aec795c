"""The files of a comparison: JSON, CSV, Markdown, plots."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from smsr_plugin.compare.images import NTIRE_SET
from smsr_plugin.compare.markdown import markdown
from smsr_plugin.compare.paper import ntire_latex, ntire_markdown
from smsr_plugin.compare.plots import plots
from smsr_plugin.compare.results import Comparison, Measurement, NetworkResult
from smsr_plugin.names import csv_cell
from smsr_plugin.staging import replace_file
from smsr_plugin.timing import summarise

#: The file that holds everything.
JSON = "results.json"


def write(comparison: Comparison, folder: Path) -> str:
    """Write `results.json`, `results.md`, `networks.csv`, `images.csv` and the plots.

    With the images of `NTIRE_SET` also their table, `ntire.md` and `ntire.tex`.

    Returns:
        Why there are no plots, empty if there are.

    Raises:
        OSError: If a file cannot be written.
    """
    drawn: Mapping[str, bytes] = {}
    missing = ""
    try:
        drawn = plots(comparison)
    except ImportError as error:
        missing = f"no plots: {error} (pip install matplotlib)"
    texts = {
        JSON: comparison.to_json() + "\n",
        "results.md": markdown(comparison, list(drawn)),
        "networks.csv": _csv(network_rows(comparison)),
        "images.csv": _csv(image_rows(comparison)),
    }
    if NTIRE_SET in comparison.sets:
        texts["ntire.md"] = ntire_markdown(comparison) + "\n"
        texts["ntire.tex"] = ntire_latex(comparison)
    for name, content in {**{n: t.encode() for n, t in texts.items()}, **drawn}.items():
        replace_file(folder / name, content)
    return missing


def network_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row for each network."""
    return [
        {
            "network": network.label,
            "run_by": network.run_by,
            "loaded": network.loaded,
            "precision": network.precision,
            "params": network.params,
            "macs": network.macs,
            "dense_macs": network.dense_macs,
            "activations": network.activations,
            "density": network.density,
            "peak_mib": network.peak_mib,
            **_set_columns(network, comparison.sets, comparison.perceptual_metrics),
        }
        for network in comparison.networks
    ]


def _set_columns(
    network: NetworkResult, sets: Iterable[str], metrics: Iterable[str]
) -> dict[str, Any]:
    columns = {}
    for name in sets:
        columns[f"{name}_psnr_y"] = network.psnr_y(name)
        columns[f"{name}_ssim_y"] = network.ssim_y(name)
        columns[f"{name}_seconds"] = network.seconds(name)
        columns.update({f"{name}_{m}": network.perceptual(m, name) for m in metrics})
    return columns


def image_rows(comparison: Comparison) -> list[dict[str, Any]]:
    """Return one row for each network and image."""
    metrics = comparison.perceptual_metrics
    return [
        {**_image_row(m), **{metric: (m.perceptual or {}).get(metric) for metric in metrics}}
        for network in comparison.networks
        for m in network.measurements
    ]


def _image_row(measurement: Measurement) -> dict[str, Any]:
    width, height = measurement.lq_size
    quality, times = measurement.quality, measurement.seconds
    median, first, third = summarise(times) if times else (None, None, None)
    return {
        "network": measurement.network,
        "dataset": measurement.set_name,
        "image": measurement.image,
        "lq_width": width,
        "lq_height": height,
        "psnr_rgb": quality and quality.psnr_rgb,
        "ssim_rgb": quality and quality.ssim_rgb,
        "psnr_y": quality and quality.psnr_y,
        "ssim_y": quality and quality.ssim_y,
        "seconds": median,
        "first_quartile": first,
        "third_quartile": third,
        "macs": measurement.macs,
        "activations": measurement.activations,
        "density": measurement.density,
        "wanted_density": measurement.wanted_density,
        "max_error": measurement.difference and measurement.difference.max_abs,
        "peak_mib": measurement.peak_mib,
    }


def _csv(rows: list[dict[str, Any]]) -> str:
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(rows[0]) if rows else ["network"], lineterminator="\n")
    writer.writeheader()
    writer.writerows([{key: csv_cell(value) for key, value in row.items()} for row in rows])
    return stream.getvalue()
