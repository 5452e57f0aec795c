from __future__ import annotations

import json
import math

import pytest

from smsr_plugin.compare.journal import Journal, JournalError
from smsr_plugin.compare.results import Difference, Measurement
from smsr_plugin.images.quality import Quality

SETTINGS = {"threads": 2, "networks": {"A": {"options": {"rgb_mean": (0.1, 0.2)}}, "B": {}}}
FIRST = Measurement(
    *("A", "Set5", "baby", (64, 32), Quality(38.1234567890123, 0.96, math.inf, 1.0)),
    *([0.1, 0.25], 120.5, 99.0, Difference(1e-6, None), [0.5, 0.25], 1e9, {"head": [0.1]}, "amx"),
)
SECOND = Measurement("B", "Set5", "baby", (64, 32), wanted_density=0.3)


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.jsonl"


def test_what_was_measured_comes_back_as_it_was(path):
    journal = Journal(path, SETTINGS)
    journal.append(FIRST)
    journal.append(SECOND)
    again = Journal(path, SETTINGS)
    assert list(again.measurements.values()) == [FIRST, SECOND]
    assert list(again.measurements) == [("A", "Set5", "baby", None), ("B", "Set5", "baby", 0.3)]
    assert [p.name for p in path.parent.iterdir()] == [path.name]


@pytest.mark.parametrize("cut", [1, 20, 150])
def test_a_line_that_was_cut_short_is_dropped_and_written_over(path, cut):
    Journal(path, SETTINGS).append(FIRST)
    whole = path.read_bytes()
    Journal(path, SETTINGS).append(SECOND)
    path.write_bytes(path.read_bytes()[:-cut])
    again = Journal(path, SETTINGS)
    assert list(again.measurements.values()) == [FIRST]
    assert path.read_bytes() == whole
    again.append(SECOND)
    assert list(Journal(path, SETTINGS).measurements.values()) == [FIRST, SECOND]


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"threads": 1}, r"other settings \(threads: 2, now 1\); take another folder"),
        ({"networks": {"A": {"options": {}}, "B": {}}}, r"other settings \(networks: A\)"),
        ({"networks": {**SETTINGS["networks"], "C": {}}}, r"other settings \(networks: C\)"),
        ({"scale": 3}, r"other settings \(scale: None, now 3\)"),
    ],
)
def test_other_settings_are_refused_and_the_file_is_left_alone(path, changed, message):
    Journal(path, SETTINGS).append(FIRST)
    before = path.read_bytes()
    with pytest.raises(JournalError, match=message):
        Journal(path, {**SETTINGS, **changed})
    assert path.read_bytes() == before


@pytest.mark.parametrize(
    "content",
    [b"", b"no journal\n", b'{"settings": {}}\n{"network": 1}\n', b"[]\n", b"\xff\n"],
)
def test_other_files_are_refused_and_left_alone(path, content):
    path.write_bytes(content)
    with pytest.raises(JournalError, match="is no journal of this command; remove it"):
        Journal(path, {})
    assert path.read_bytes() == content


def test_every_line_is_json(path):
    journal = Journal(path, SETTINGS)
    journal.append(FIRST)

    def refuse(constant):
        raise AssertionError(constant)

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
