"""Programs: SMSR's, and what is refused."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from networks import split_channels, tiny_smsr
from programs import ProgramMaker, literal

from smsr_plugin.archs.program import Program, ProgramError
from smsr_plugin.archs.steps import Conv, Decide, ImageConv, MaskedConv, Upsample

DENSE = [[[0, 3], [], [1, 2, 5]], [[], [0, 1, 2, 3, 4, 5], [4]]]


@pytest.mark.parametrize("upscale", [2, 3])
def test_smsrs_program_computes_what_smsr_does(upscale):
    net = split_channels(tiny_smsr(upscale=upscale, img_range=255.0), DENSE)
    x = torch.rand(2, 3, 7, 6, dtype=torch.float64)
    out = net(x, threshold=0.1, return_masks=True)
    sr, masks, logits = literal(net.program(), x, threshold=0.1)
    torch.testing.assert_close(sr, out.sr, rtol=1e-10, atol=1e-10)
    torch.testing.assert_close(logits, out.logits, rtol=1e-9, atol=1e-9)
    assert torch.equal(masks, out.spa_mask)


def test_smsrs_program_without_values_has_the_same_shapes():
    net = tiny_smsr()
    shapes = [(name, weight.shape) for name, weight in net.program().weights()]
    without = net.to("meta").program().weights()
    assert [(name, weight.shape) for name, weight in without] == shapes


def test_map_replaces_each_weight_and_keeps_the_rest():
    program = ProgramMaker(3).program()
    doubled = program.map(lambda name, weight: 2 * weight)
    before, after = list(program.weights()), list(doubled.weights())
    assert len({name for name, _ in before}) == len(before)
    for (name, weight), (same_name, other) in zip(before, after, strict=True):
        assert name == same_name
        assert torch.equal(other, 2 * weight)
    assert [type(step) for step in doubled.steps] == [type(step) for step in program.steps]
    assert doubled.planes == program.planes


def small(**changes):
    """Return the steps of a small program by name, some of them changed."""
    steps = {
        "head": ImageConv("head", torch.zeros(4, 4, 3, 3), torch.zeros(4)),
        "logits": Conv(("head",), "logits", torch.zeros(1, 4, 3, 3), torch.zeros(1)),
        "decide": Decide("logits", 0),
        "masked": MaskedConv("head", "masked", 0, torch.zeros(4, 4, 3, 3), 1),
        "tail": Conv(("head",), "tail", torch.zeros(12, 4, 3, 3), torch.zeros(12)),
        "upsample": Upsample("tail"),
    }
    for name, change in changes.items():
        steps[name] = replace(steps[name], **change) if isinstance(change, dict) else change
    return Program(3, 3, 2, 1, tuple(step for step in steps.values() if step is not None))


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tail": {"xs": ("nothing",)}}, "step 4, Conv: reads plane 'nothing', which nothing has"),
        ({"tail": {"xs": ("masked",)}}, "reads plane 'masked' at every pixel, and some channels"),
        ({"tail": {"weight": torch.zeros(12, 5, 3, 3)}}, r"shape \(N, 4, 3, 3\), got \(12, 5,"),
        ({"tail": {"bias": torch.zeros(1)}}, r"shape \(12\), got \(1,\)"),
        ({"tail": {"out": "head"}}, "writes plane 'head', which was written before"),
        ({"tail": {"add": "head"}}, "expected 12 channels in plane 'head', got 4"),
        ({"logits": {"weight": torch.zeros(2, 4, 3, 3), "bias": torch.zeros(2)}}, "expected 1 ch"),
        ({"decide": {"mask": 1}}, "mask 1 is decided already, or none of the program's"),
        ({"decide": None}, "mask 0 is not decided yet"),
        ({"decide": None, "masked": None}, r"expected masks 0…0 to be decided, got \[\]"),
        ({"masked": {"dense": 5}}, "expected dense in 0…4, got 5"),
        ({"head": {"weight": torch.zeros(4, 3, 3, 3)}}, r"shape \(N, 4, 3, 3\), got \(4, 3, 3"),
        ({"upsample": None}, "the last step must be an Upsample"),
    ],
)
def test_steps_that_do_not_fit_are_refused(changes, message):
    small()
    with pytest.raises(ProgramError, match=message):
        small(**changes)
