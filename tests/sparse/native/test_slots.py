"""Memory that planes share: never two at a time, and no more than need be."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from networks import tiny_smsr
from programs import ProgramMaker

from smsr_plugin.sparse.native.arithmetic import arithmetic_for
from smsr_plugin.sparse.native.kernels import load_kernels
from smsr_plugin.sparse.native.lowering import lower
from smsr_plugin.sparse.native.slots import assign

kernels = load_kernels()
pytestmark = pytest.mark.skipif(kernels is None, reason="the native kernels were not built")


def accesses(program, in_bands=False):
    """Return what the operations do; in bands, as when none of its blocks can be done so."""
    weights = program.map(lambda _, weight: weight.detach().double().numpy())
    lowered = lower(weights, arithmetic_for("fp32", kernels))
    banded = lowered.banded if in_bands else None
    operations = lowered.whole if banded is None else banded.operations
    return [operation.access for operation in operations]


@given(seed=st.integers(0, 100_000), in_bands=st.booleans())
@settings(max_examples=100)
def test_no_plane_is_written_while_another_in_its_memory_is_needed(seed, in_bands):
    steps = accesses(ProgramMaker(seed).program(), in_bands)
    places = assign(steps)
    last = {}
    for number, step in enumerate(steps):
        for name in (*step.reads, *(wanted.name for wanted in step.wants)):
            last[name] = number
    alive = {}  # slots and the plane that is in each
    for number, step in enumerate(steps):
        for name in step.reads:
            assert alive[id(places[name].slot)] == name
        for wanted in step.wants:
            slot = places[wanted.name].slot
            before = alive.get(id(slot), wanted.name)
            in_place = before == step.in_place and wanted is step.wants[0]
            assert (
                before == wanted.name
                or last[before] < number
                or (in_place and last[before] == number)
            )
            assert slot.room >= wanted.channels
            assert slot.kind == wanted.kind
            alive[id(slot)] = wanted.name


def test_smsr_needs_the_outputs_of_a_blocks_layers_its_input_and_the_sums():
    net = tiny_smsr(num_feat=16, num_block=5, num_layer=4)
    slots = {id(place.slot): place.slot for place in assign(accesses(net.program())).values()}
    kinds = [slot.kind for slot in slots.values()]
    assert kinds.count("features") == 2
    assert kinds.count("masked") == 4
    assert kinds.count("floats") == 1  # the image in lines, then the residual
    assert kinds.count("activity") == 1
