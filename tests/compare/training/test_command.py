from __future__ import annotations

import numpy as np
import pytest
import torch

from smsr_plugin.compare.engines.base import Input, Job
from smsr_plugin.compare.engines.results import CaseResult, EngineResult, Results
from smsr_plugin.compare.engines.spec import Sources
from smsr_plugin.compare.training.command import main, variants
from smsr_plugin.compare.training.engine import CHANNELS_LAST, load
from smsr_plugin.compare.training.report import training_table


def test_naive_and_ours_from_the_command_line_to_the_files(tmp_path, capsys):
    arguments = ["--batch", "2", "--side", "8", "--rounds", "2", "--threads", "1"]
    names = ["naive", "ours-bf16-channels-last"]
    assert main([*arguments, "--variants", *names, "--out", str(tmp_path)]) == 0
    (case,) = Results.from_json((tmp_path / "results.json").read_text()).cases
    assert [engine.name for engine in case.engines] == names
    for engine in case.engines:
        assert engine.failure is None
        assert len(engine.seconds) == 2
        assert engine.peak_mib is None or engine.peak_mib > 0
    report = (tmp_path / "results.md").read_text()
    assert report + "\n" == capsys.readouterr().out
    assert "# Training, 2 lq images of 8×8" in report
    assert str(tmp_path) not in report


@pytest.mark.parametrize("spec", variants(1), ids=lambda spec: spec.name)
def test_every_variant_trains(spec):
    threads = torch.get_num_threads()
    engine = load(Job(spec, Sources(None), None))
    batch = engine.prepare(Input(np.random.default_rng(0).random((2, 3, 8, 8), np.float32)))
    losses = [engine.run(batch).item() for _ in range(8)]
    torch.set_num_threads(threads)
    assert np.mean(losses[-2:]) < 0.9 * losses[0]
    assert batch.lq.is_contiguous() != (spec.backend == CHANNELS_LAST)


def test_speed_and_memory_are_against_naive():
    engines = [
        EngineResult("naive", "naive", "x", "fp32", 1, {}, seconds=[2, 3, 4], peak_mib=1000),
        EngineResult("ours", "smsr", "y", "fp32", 1, {}, seconds=[2, 1.5, 1], peak_mib=250),
        EngineResult("broken", "smsr", "z", "fp32", 1, {}, failure="no"),
    ]
    rows = training_table(CaseResult("noise", (8, 8), engines)).splitlines()[2:]
    cells = [[cell.strip() for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == ["naive", "ours"]
    assert cells[1][3:] == ["1.50", "1.25–1.75", "0.67", "2.00×", "250", "25%"]


def test_unknown_variants_are_refused(tmp_path, capsys):
    assert main(["--variants", "theirs", "--out", str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert "no engine is called 'theirs'; known are naive, ours-fp32" in error
    assert error.count("\n") == 1
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize("arguments", [["--side", "7"], ["--batch", "0"], ["--rounds", "x"]])
def test_sizes_that_cannot_be_are_refused(arguments, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(arguments)
    assert arguments[0] in capsys.readouterr().err
