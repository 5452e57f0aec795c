from __future__ import annotations

import numpy as np
import pytest
import torch

from smsr_plugin.compare.presets import preset_networks
from smsr_plugin.engines.base import Input, Job
from smsr_plugin.engines.training import CHANNELS_LAST, load


@pytest.mark.parametrize(
    "label",
    ["naive", "ours-fp32", "ours-fp32-channels-last", "ours-bf16", "ours-bf16-channels-last"],
)
def test_every_variant_trains(label):
    (network,) = preset_networks("training", [], scale=2, threads=1, patterns=[label])
    threads = torch.get_num_threads()
    engine = load(Job(network.spec, None))
    batch = engine.prepare(Input(np.random.default_rng(0).random((2, 3, 8, 8), np.float32)))
    losses = [engine.run(batch).item() for _ in range(8)]
    torch.set_num_threads(threads)
    assert np.mean(losses[-2:]) < 0.9 * losses[0]
    assert batch.lq.is_contiguous() != (network.spec.backend == CHANNELS_LAST)


def test_no_variant_is_left_out():
    assert len(preset_networks("training", [], scale=2, threads=1)) == 5
