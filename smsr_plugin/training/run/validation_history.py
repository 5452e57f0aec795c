"""The metrics of every validation of a training, so that a resumed one knows the best."""

from __future__ import annotations

import json
import math
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

from basicsr.utils import get_root_logger

from smsr_plugin.staging import replace_file
from smsr_plugin.training.options.errors import RunError

FILE = "validation.json"


class ValidationHistory:
    """Keeps the metrics by data set and iteration, in a JSON file and in `values`.

    JSON has no infinite numbers, such as the PSNR of equal images: they become the text "inf".

    Args:
        path: The file, which need not exist.
        metrics: The section `val.metrics`; `better: lower` says that less is better.
        last_iter: What was measured later is dropped: the run resumes there and measures it again.
    """

    def __init__(self, path: Path, metrics: Mapping[str, Any], last_iter: int) -> None:
        self.path, self.metrics = path, metrics
        self.values: dict[str, dict[int, dict[str, float]]] = {}
        if last_iter == 0 or not path.exists():
            return
        try:
            self.values = {
                dataset: {
                    int(i): {name: float(value) for name, value in results.items()}
                    for i, results in rows.items()
                    if int(i) <= last_iter
                }
                for dataset, rows in json.loads(path.read_text(encoding="utf-8")).items()
            }
        except (OSError, ValueError, TypeError, AttributeError) as error:
            get_root_logger().warning(f"{path} cannot be used and starts anew: {error}")

    def tell_best(self, model: Any) -> None:
        """Tell a BasicSR model that goes on the best so far."""
        for dataset, rows in self.values.items():
            model._initialize_best_metric_results(dataset)
            for iteration, results in sorted(rows.items()):
                for name in self.metrics.keys() & results.keys():
                    model._update_best_metric_result(dataset, name, results[name], iteration)

    def add(self, dataset: str, iteration: int, measured: Mapping[str, float]) -> None:
        """Add what a validation has measured, if that is one of the metrics, and write the file.

        Raises:
            RunError: If it cannot be written.
        """
        results = {name: float(measured[name]) for name in self.metrics if name in measured}
        if not results:
            return
        self.values.setdefault(dataset, {})[iteration] = results
        try:
            replace_file(self.path, self._text().encode())
        except OSError as error:
            raise RunError(f"cannot write {self.path}: {error.strerror}") from error

    def _text(self) -> str:
        told = {
            dataset: {
                i: {name: v if math.isfinite(v) else str(v) for name, v in results.items()}
                for i, results in rows.items()
            }
            for dataset, rows in self.values.items()
        }
        return json.dumps(told, indent=1, allow_nan=False) + "\n"

    def best(self, iterations: Collection[int]) -> set[int]:
        """Return which of the iterations are the best, by each metric on each data set.

        A metric that is NaN is no best one.
        """
        best = set[int]()
        for rows in self.values.values():
            for name, metric in self.metrics.items():
                sign = -1 if metric.get("better") == "lower" else 1
                scores = {i: sign * rows[i][name] for i in iterations if name in rows.get(i, {})}
                numbers = [i for i, score in scores.items() if not math.isnan(score)]
                if numbers:
                    best.add(max(numbers, key=lambda i: (scores[i], i)))
        return best
