from __future__ import annotations

import pytest
import torch

from smsr_plugin.archs.rlfn_arch import RLFN
from smsr_plugin.sparsify import finetune, importance, run, state
from smsr_plugin.sparsify.run import Fit, masked_form
from smsr_plugin.sparsify.state import State, StateError

ITERS = 5
#: Steps of a fit without training, of one batch.
ALONE = 1 + 2 * (1 + 3 + 6)
FACTS = {"network": "a", "--iters": "5"}


@pytest.fixture(autouse=True)
def short(monkeypatch):
    monkeypatch.setattr(run, "PIECES", 2)
    monkeypatch.setattr(finetune, "SIDE", 16)
    monkeypatch.setattr(state, "INTERVAL", 0.0)
    for module in (run, importance):
        monkeypatch.setattr(module, "STEPS", 3)


def network(seed=0):
    torch.manual_seed(seed)
    return masked_form(RLFN(num_feat=4, upscale=2), iters=ITERS)


def pieces():
    return torch.rand(7, 3, 48, 48, generator=torch.Generator().manual_seed(0))


def test_a_fit_makes_do_with_some_pieces_and_takes_the_steps_that_are_told(monkeypatch):
    seen, masked = [], []

    def fit_at_smooth_tiles(net, pieces):
        seen.append(pieces)
        return importance.fit_at_smooth_tiles(net, pieces)

    def losses_of_tiles(net, lq, generator, masks):
        masked.append(masks is not None)
        return importance.losses_of_tiles(net, lq, generator, masks)

    monkeypatch.setattr(run, "fit_at_smooth_tiles", fit_at_smooth_tiles)
    monkeypatch.setattr(run, "losses_of_tiles", losses_of_tiles)
    net, given = network(), pieces()
    fit = Fit(net, given, iters=2)
    assert len(list(fit.run())) == fit.total == ALONE + 2 + (1 + 3)
    assert torch.equal(seen[0], given[::3])
    # In the dense network, in the one with masks, and again while it is fine-tuned.
    assert masked == [False, True, True]
    assert net.density_curve is not None


# Before the fourth step the predictor is fitted anew, in 4 parts; what is kept is the step before.
@pytest.mark.parametrize(
    ("steps", "kept"),
    [
        (3, 0),
        (ALONE + 1, ALONE),
        (ALONE + 3, ALONE + 2),
        (ALONE + 3 + 2, ALONE + 2),
        (ALONE + 3 + 4, ALONE + 2),
        (ALONE + 3 + 4 + 1, ALONE + 3 + 4),
        (ALONE + 3 + 4 + 2, ALONE + 3 + 4 + 1),
    ],
)
def test_what_was_interrupted_ends_as_if_it_had_not_been(tmp_path, steps, kept):
    whole = network()
    list(Fit(whole, pieces(), ITERS).run())
    out = tmp_path / "m.safetensors"
    stopped = Fit(network(), pieces(), ITERS, state=State(out, FACTS))
    for _, _ in zip(range(steps), stopped.run(), strict=False):
        pass
    torch.rand(3)  # whatever the next process has drawn
    again = network()
    fit = Fit(again, pieces(), ITERS, state=State(out, FACTS))
    assert fit.done == kept
    assert len(list(fit.run())) == fit.total - fit.done
    assert (out.parent / "m.safetensors.state").exists() == (ITERS > 0)
    expected = whole.state_dict()
    assert again.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in again.state_dict().items())
    assert not any(parameter.requires_grad for parameter in again.parameters())


def test_a_state_of_another_run_is_left_alone(tmp_path):
    out = tmp_path / "m.safetensors"
    next(Fit(network(), pieces(), ITERS, state=(kept := State(out, FACTS))).run())
    assert not kept.exists()
    for _, _ in zip(
        range(ALONE + 2), Fit(network(), pieces(), ITERS, state=kept).run(), strict=False
    ):
        pass
    before = kept.path.read_bytes()
    other = State(out, {**FACTS, "--iters": "6"})
    with pytest.raises(StateError, match="an interrupted run of another --iters"):
        Fit(network(), pieces(), 6, state=other)
    assert kept.path.read_bytes() == before
    kept.remove()
    kept.remove()
    assert not kept.exists()


@pytest.mark.parametrize("content", [b"", b"no state", b"PK\x03\x04"])
def test_what_is_no_state_says_what_to_do(tmp_path, content):
    found = State(tmp_path / "m.safetensors", FACTS)
    found.path.write_bytes(content)
    with pytest.raises(StateError, match="delete it to begin anew"):
        Fit(network(), pieces(), ITERS, state=found)


@pytest.mark.parametrize("spoilt", ["net", "optimizer", "generator", "done", "decided"])
def test_so_does_a_state_that_is_not_whole(tmp_path, spoilt):
    found = State(tmp_path / "m.safetensors", FACTS)
    for _, _ in zip(
        range(ALONE + 2), Fit(network(), pieces(), ITERS, state=found).run(), strict=False
    ):
        pass
    root = torch.load(found.path, weights_only=True)
    root["training"][spoilt] = torch.ones(2)
    torch.save(root, found.path)
    with pytest.raises(StateError, match="delete it to begin anew"):
        Fit(network(), pieces(), ITERS, state=found)


def test_first_weights_follow_from_the_seed_alone():
    dense = RLFN(num_feat=4, upscale=2)
    before = torch.get_rng_state()
    first, same, other = (masked_form(dense, ITERS, seed).state_dict() for seed in (0, 0, 1))
    assert torch.equal(torch.get_rng_state(), before)
    assert state.digest(first) == state.digest(same) != state.digest(other)


def test_facts_tell_networks_and_photographs_apart():
    first, second = network(), network(1)
    assert state.digest(first.state_dict()) == state.digest(network().state_dict())
    assert state.digest(first.state_dict()) != state.digest(second.state_dict())
