"""What has been measured so far, so that a run that was stopped goes on.

The first line of the file holds the settings, every other line one measurement. A line is appended
by a single write and reaches the disk before the next image is begun. A line that was cut short is
the last one, and is dropped.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from smsr_plugin.compare.results import Key, Measurement
from smsr_plugin.staging import naming, replace_file

Settings = dict[str, Any]


class JournalError(ValueError):
    """A folder's journal cannot be gone on with: one line that says why."""


class Journal:
    """The measurements of a run.

    Args:
        path: The file; made if it does not exist.
        settings: Of the run, plain values.

    Attributes:
        measurements: By `Measurement.key`, in the order of the file.

    Raises:
        JournalError: If the file is of other settings, or is no journal.
        OSError: If it cannot be read or written.
    """

    def __init__(self, path: Path, settings: Settings) -> None:
        self.path = path
        self.measurements: dict[Key, Measurement] = {}
        settings = json.loads(json.dumps(settings))  # as they will be read
        if not path.exists():
            replace_file(path, _line({"settings": settings}))
            return
        content = path.read_bytes()
        whole = content[: content.rfind(b"\n") + 1]
        try:
            head, *lines = [json.loads(line) for line in whole.splitlines()]
            earlier = head["settings"]
            found = [Measurement.from_json(values) for values in lines]
        except (ValueError, TypeError, KeyError) as error:
            raise JournalError(f"{path}: is no journal of this command; remove it") from error
        if changes := _changes(earlier, settings):
            raise JournalError(
                f"{path.parent} holds measurements with other settings ({changes}); take another "
                f"folder with --out, or remove {path} to begin anew"
            )
        if len(whole) < len(content):
            os.truncate(path, len(whole))
        for measurement in found:
            self.measurements.setdefault(measurement.key, measurement)

    def append(self, measurement: Measurement) -> None:
        """Keep a measurement, on the disk too.

        Raises:
            OSError: If it cannot be written.
        """
        with naming(self.path), self.path.open("ab") as file:
            file.write(_line(measurement.to_json()))
            file.flush()
            os.fsync(file.fileno())
        self.measurements[measurement.key] = measurement


def _line(values: dict[str, Any]) -> bytes:
    return json.dumps(values).encode() + b"\n"


def _changes(earlier: Settings, now: Settings) -> str:
    """Say what differs: "threads: 2, now 1"; nothing if nothing does."""
    changes = []
    for key in dict.fromkeys([*earlier, *now]):
        before, after = earlier.get(key), now.get(key)
        if before == after:
            continue
        if isinstance(before, dict) and isinstance(after, dict):
            names = [n for n in dict.fromkeys([*before, *after]) if before.get(n) != after.get(n)]
            changes.append(f"{key}: {', '.join(map(str, names))}")
        else:
            changes.append(f"{key}: {before}, now {after}")
    return "; ".join(changes)
