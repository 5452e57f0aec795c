"""Tiles and the whole image: the same but for channel attention."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from image_files import smooth
from networks import split_channels, stats_of, tiny_smsr, upscaling_network

from smsr_plugin.archs.smsr_arch import SMSR
from smsr_plugin.upscaling import RequestError
from smsr_plugin.upscaling import network as network_module
from smsr_plugin.upscaling.network import IN_BANDS, SHARE, WHOLE, Network
from smsr_plugin.upscaling.tiles import smallest_tile, spans

#: How far a pixel of the tiny networks sees: 2 of the head, in each of the 2 blocks 3 layers, of
#: which all but the last look at masks that see 5 pixels, 1 of collect, 1 of the tail, 2 bicubic.
REACH = 24


def net_of(upscale: int = 2, seed: int = 3) -> SMSR:
    counts = [[[0, 1], [2], [5]], [[3], [], [0, 4]]]
    return split_channels(tiny_smsr(seed, upscale=upscale), counts).float()


def without_attention(net: SMSR) -> SMSR:
    """Let channel attention scale every channel alike, whatever it pools."""
    with torch.no_grad():
        for block in net.blocks:
            block.attention.excite.weight.zero_()
    return net


def lq_of(height: int, width: int) -> np.ndarray:
    noise = np.random.default_rng(0).random((height, width, 3)) * 0.3
    return np.ascontiguousarray(
        (smooth(height, width) * 0.7 + noise).transpose(2, 0, 1), np.float32
    )


@pytest.mark.parametrize("dense", [False, True])
@pytest.mark.parametrize("upscale", [2, 3])
def test_the_whole_image_is_the_network(dense, upscale):
    net, lq = net_of(upscale), lq_of(13, 18)
    with torch.no_grad():
        expected = net(torch.from_numpy(lq)[None], return_masks=True)
    run = upscaling_network(net, dense=dense)(lq)
    assert run.sr == pytest.approx(expected.sr[0].numpy(), abs=1e-5)
    assert (run.spa_mask == (expected.spa_mask[0] > 0).numpy()).all()
    assert run.tiles == 1
    counted = stats_of(net, torch.from_numpy(lq)[None])
    assert run.macs_dense == counted.macs_dense
    assert run.macs == pytest.approx(counted.macs_dense if dense else counted.macs[0])


@settings(max_examples=12)
@given(
    height=st.integers(1, 120),
    width=st.integers(90, 250),
    tile=st.integers(smallest_tile(2 * REACH), 160),
    dense=st.booleans(),
)
def test_without_attention_tiles_are_the_whole_image(height, width, tile, dense):
    net, lq = without_attention(net_of()), lq_of(height, width)
    whole = upscaling_network(net, dense=dense, tile=0)(lq)
    tiled = upscaling_network(net, dense=dense, tile=tile, overlap=2 * REACH)(lq)
    assert (tiled.tiles > 1) == (max(height, width) > tile)
    # Each mask is taken from the tile that sees all around it, and so is colour outside overlaps;
    # inside them, the other tile has a share.
    assert (tiled.spa_mask == whole.spa_mask).all()
    alone = [np.ones(side, bool) for side in (height, width)]
    for side, length in zip(alone, (height, width), strict=True):
        for span in spans(length, tile, 2 * REACH):
            side[span.stop - span.after : span.stop] = False
    exact = np.outer(*alone).repeat(2, 0).repeat(2, 1)
    assert (np.abs(tiled.sr - whole.sr) * exact).max() < 1e-5


def test_attention_makes_tiles_differ():
    net, lq = net_of(), lq_of(40, 200)
    whole, tiled = (upscaling_network(net, tile=tile)(lq).sr for tile in (0, 120))
    assert 1e-4 < np.abs(tiled - whole).max() < 0.2


def test_tiles_begin_where_the_mask_predictor_pools_the_same_pixels():
    net, lq = without_attention(net_of()), lq_of(9, 200)
    for overlap in (REACH * 2 + 1, REACH * 2 + 3):
        tiled = upscaling_network(net, tile=smallest_tile(overlap) + 1, overlap=overlap)(lq)
        assert (tiled.spa_mask == upscaling_network(net, tile=0)(lq).spa_mask).all()


def test_the_threshold_and_the_precision_reach_the_network():
    net, lq = net_of(), lq_of(30, 40)
    density = {t: upscaling_network(net, threshold=t)(lq).spa_mask.mean() for t in (-1e9, 0, 1e9)}
    assert density[-1e9] == 1
    assert 0 < density[0] < 1
    assert density[1e9] == 0
    assert upscaling_network(net, threshold=1e9, dense=True)(lq).spa_mask.mean() == 0
    half, full = (
        upscaling_network(net, precision=precision)(lq).sr for precision in ("bf16", "fp32")
    )
    assert 1e-6 < np.abs(half - full).max() < 0.05


def test_tiles_follow_from_the_size_alone_where_memory_suffices(monkeypatch):
    for available in (1 << 33, 1 << 40):
        monkeypatch.setattr(network_module, "available_bytes", lambda value=available: value)
        for network in (upscaling_network(net_of()), upscaling_network(net_of(), dense=True)):
            side = math.isqrt(IN_BANDS if network.model.has_bands else WHOLE)
            assert network.tiles_for(side, side)[0] == 0
            assert network.tiles_for(1, side * side)[0] == 0
            assert network.tiles_for(side, side + 1)[0] == 512
        network = upscaling_network(net_of())
        assert network.tiles_for(4000, 3000) == [512, 256, 128]
        assert upscaling_network(net_of(), overlap=200).tiles_for(4000, 3000) == [512]
        assert upscaling_network(net_of(), overlap=400).tiles_for(4000, 3000) == [804]
        assert upscaling_network(net_of(), tile=0).tiles_for(4000, 3000) == [0]
        assert upscaling_network(net_of(), tile=100).tiles_for(4000, 3000) == [100]


@pytest.mark.parametrize("dense", [False, True])
def test_where_memory_does_not_suffice_tiles_are_smaller(monkeypatch, dense):
    needed_by = upscaling_network(net_of(), dense=dense).model.bytes_needed
    result = 4 * 30 * 1000 * 1000  # 30 bytes for each pixel of the result

    def sides(side: int, less: int = 0) -> list[int]:
        needed = (result + needed_by(side, side) - less) / SHARE
        monkeypatch.setattr(network_module, "available_bytes", lambda: math.ceil(needed))
        return upscaling_network(net_of(), dense=dense).tiles_for(1000, 1000)

    assert sides(1000) == [0, 512, 256, 128]
    assert sides(1000, less=1) == [512, 256, 128]
    assert sides(512, less=1) == [256, 128]
    assert sides(256, less=1) == [128]
    assert sides(0) == [128]  # to be tried all the same


def test_memory_that_turns_out_short_is_asked_for_less(monkeypatch):
    net, lq = net_of(), lq_of(140, 300)
    expected = upscaling_network(net, tile=128)(lq)
    plain = Network._run

    def greedy(self, lq):
        if lq.shape[1] * lq.shape[2] > 128 * 128:
            raise MemoryError if lq.shape[2] > 256 else RuntimeError("can't allocate memory")
        return plain(self, lq)

    monkeypatch.setattr(Network, "_run", greedy)
    run = upscaling_network(net)(lq)
    assert run.short
    assert run.tiles == expected.tiles > 1
    assert (run.sr == expected.sr).all()
    for options, error in (({"tile": 0}, MemoryError), ({"tile": 200}, RuntimeError)):
        with pytest.raises(error):
            upscaling_network(net, **options)(lq)
    monkeypatch.setattr(Network, "_run", lambda self, lq: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        upscaling_network(net)(lq)


def test_the_same_image_gives_the_same_pixels_whatever_memory_is_free(monkeypatch):
    net, lq = net_of(), lq_of(1030, 1030)
    results = []
    for available in (1 << 31, 1 << 36):
        monkeypatch.setattr(network_module, "available_bytes", lambda value=available: value)
        run = upscaling_network(net)(lq)
        assert not run.short
        results.append(run.sr)
    assert (results[0] == results[1]).all()


def test_progress_counts_tiles():
    seen = []
    upscaling_network(net_of(), tile=60, overlap=16)(lq_of(8, 150), lambda *done: seen.append(done))
    assert seen == [(i, len(seen)) for i in range(len(seen))]
    assert len(seen) > 2


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dense": True, "precision": "bf16"}, "the dense oracle computes in fp32, not in bf16"),
        ({"tile": 67}, "tiles of 67 cannot overlap by 32: they must be at least 68"),
    ],
)
def test_options_that_do_not_fit_are_an_error(options, message):
    with pytest.raises(RequestError, match=message):
        upscaling_network(net_of(), **options)


def test_a_network_for_other_channels_is_an_error():
    net = tiny_smsr(num_in_ch=4, num_out_ch=4, rgb_mean=(0.5,) * 4).float()
    with pytest.raises(RequestError, match="for 4 channels and returns 4: images need one for RGB"):
        upscaling_network(net)
