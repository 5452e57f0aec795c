"""What a training has written so far: of TensorBoard's files, else of its log."""

from __future__ import annotations

import importlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from io import TextIOWrapper
from pathlib import Path
from typing import Any, NamedTuple

from smsr_plugin.images.files import DataError
from smsr_plugin.staging import open_regular

LOGS, EVENTS = "train_*.log", "events.out.tfevents.*"
#: Beside `experiments`, where BasicSR keeps the files of TensorBoard.
TENSORBOARD = "tb_logger"
VALIDATION = "validation.json"

_TOTAL = re.compile(r"^ *total_iter: (\d+)$")
_ITERATION = re.compile(
    r"iter: *([\d,]+), lr:\(([^)]*)\)\] \[eta: .*, time \(data\): ([\d.]+) \([^)]*\)\] (.*)"
)
_VALUE = re.compile(r"(\w+): ([-+.\w]+)")
_VALIDATED = re.compile(r"INFO: Validation (.+)$")
_METRIC = re.compile(r"^\t # (\w+): ([-+.\w]+)")


class Point(NamedTuple):
    """A value after an iteration."""

    iteration: int
    value: float


class Drawn(NamedTuple):
    """A picture of masks after an iteration, as PNG."""

    iteration: int
    png: bytes


@dataclass
class History:
    """A training so far.

    Attributes:
        name: Of the experiment.
        source: What was read, for people.
        written: When the training last wrote.
        total: How many iterations there will be, if that is known.
        series: Values by TensorBoard's tags: "lr", "losses/l_pix", "metrics/Set5/psnr", …
        masks: Pictures by validation set and image.
    """

    name: str
    source: str
    written: datetime
    total: int | None = None
    series: dict[str, list[Point]] = field(default_factory=dict)
    masks: dict[str, list[Drawn]] = field(default_factory=dict)

    @property
    def iteration(self) -> int:
        """The last iteration of which anything is known."""
        last = max((points[-1].iteration for points in self.series.values()), default=0)
        return min(last, self.total or last)  # trainings once counted one more at the end

    def add(self, tag: str, iteration: int, value: float) -> None:
        """Note a value; what a run wrote that was resumed before it is forgotten."""
        points = self.series.setdefault(tag, [])
        while points and points[-1].iteration >= iteration:
            points.pop()
        if math.isfinite(value):
            points.append(Point(iteration, value))

    @property
    def sets(self) -> list[str]:
        """The validation sets."""
        names = (re.fullmatch(r"metrics/(.+)/\w+", tag) for tag in self.series)
        return list(dict.fromkeys(match[1] for match in names if match))

    def between(self, start: str, end: str = "") -> dict[str, list[Point]]:
        """Return the series whose tags begin and end so, by what stands between."""
        return {
            tag.removeprefix(start).removesuffix(end): points
            for tag, points in self.series.items()
            if tag.startswith(start) and tag.endswith(end)
        }


def read_history(folder: Path) -> History:
    """Read a training's folder in `experiments`, or that of its TensorBoard files.

    Raises:
        DataError: If there is no such folder, or nothing of a training in it.
        OSError: If a file cannot be read.
    """
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder")
    place = folder.resolve()
    logs = sorted(place.glob(LOGS))
    events = _events(place)
    if not logs and not events:
        raise DataError(
            f"{folder} holds no log ({LOGS}) and no files of TensorBoard: name the folder of a "
            "training, such as experiments/NAME"
        )
    newest = max(path.stat().st_mtime for path in (*logs, *events))
    history = History(place.name, "the log", datetime.fromtimestamp(newest, UTC))
    for log in logs:
        with TextIOWrapper(open_regular(log), "utf-8", "replace") as lines:
            _add_log(history, lines)
    _add_validations(history, place / VALIDATION)
    if events and _add_events(history, events[0].parent):
        history.source = "TensorBoard’s files"
    history.series = {tag: points for tag, points in history.series.items() if points}
    if not history.series:
        raise DataError(f"{folder}: the training has not finished its first iterations yet")
    return history


def _events(place: Path) -> list[Path]:
    beside = place.parent.parent / TENSORBOARD / place.name
    return sorted(place.glob(EVENTS)) or sorted(beside.glob(EVENTS))


def _add_log(history: History, lines: Iterable[str]) -> None:
    iteration, dataset = 0, ""
    for line in lines:
        if found := _ITERATION.search(line):
            iteration, dataset = int(found[1].replace(",", "")), ""
            for tag, value in _values(found):
                history.add(tag, iteration, value)
        elif found := _VALIDATED.search(line):
            dataset = found[1].strip()
        elif dataset and (found := _METRIC.match(line)):
            _add_number(history, f"metrics/{dataset}/{found[1]}", iteration, found[2])
        elif found := _TOTAL.match(line):
            history.total = int(found[1])


def _values(line: re.Match[str]) -> Iterator[tuple[str, float]]:
    """Yield what a line of iterations says, by TensorBoard's tags."""
    rates = [rate for rate in line[2].split(",") if rate.strip()]
    texts = {"lr" if len(rates) == 1 else f"lr/group_{n}": r for n, r in enumerate(rates, 1)}
    for name, text in _VALUE.findall(line[4]):
        texts[f"losses/{name}" if name.startswith("l_") else name] = text
    for tag, text in texts.items():
        if (value := _number(text)) is not None:
            yield tag, value
    if seconds := _number(line[3]):
        yield "iterations_per_second", 1 / seconds


def _add_number(history: History, tag: str, iteration: int, text: str) -> None:
    if (value := _number(text)) is not None:
        history.add(tag, iteration, value)


def _number(text: str) -> float | None:
    try:
        return float(text)
    except ValueError:
        return None


def _add_validations(history: History, path: Path) -> None:
    """Take metrics from the file that knows their iterations, which the log's lines do not tell."""
    series: dict[str, list[Point]] = {}
    try:
        known: dict[str, dict[str, dict[str, Any]]] = json.loads(path.read_text("utf-8"))
        for dataset, validations in known.items():
            for iteration, metrics in sorted((int(i), m) for i, m in validations.items()):
                for name, value in metrics.items():
                    if math.isfinite(float(value)):
                        points = series.setdefault(f"metrics/{dataset}/{name}", [])
                        points.append(Point(iteration, float(value)))
    except FileNotFoundError:
        return
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"{path}: is not what a training writes there") from error
    history.series |= series


def _add_events(history: History, folder: Path) -> bool:
    """Take all that TensorBoard's files hold; return False where TensorBoard is not installed."""
    try:
        reading: Any = importlib.import_module(
            "tensorboard.backend.event_processing.event_accumulator"
        )
    except ImportError:
        return False
    everything = {reading.SCALARS: 0, reading.IMAGES: 0}
    events = reading.EventAccumulator(str(folder), size_guidance=everything)
    events.Reload()
    tags: Mapping[str, list[str]] = events.Tags()
    for tag in tags["scalars"]:
        history.series.pop(tag, None)
        for event in events.Scalars(tag):
            history.add(tag, event.step, event.value)
    for tag in tags["images"]:
        match = re.fullmatch(r"validation/(.+)/masks/(.+)", tag)
        if match:
            drawn = {e.step: e.encoded_image_string for e in events.Images(tag)}
            name = f"{match[1]}, {match[2]}"
            history.masks[name] = [Drawn(*item) for item in sorted(drawn.items())]
    return True
