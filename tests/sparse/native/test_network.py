"""The network on the native kernels against the paper's formula in float64."""

from __future__ import annotations

import copy
import multiprocessing
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from native_planes import inside
from networks import literal_forward, split_channels, tiny_smsr

from smsr_plugin import to_sparse
from smsr_plugin.sparse.native import float32
from smsr_plugin.sparse.native.run import BlockMask

kernels = pytest.importorskip("smsr_plugin._kernels", reason="the native kernels were not built")

#: fp32: 24 bits, sums of a few thousand terms through about 20 layers of values of about 1. bf16: 8
#: bits, rounded once for each of those layers, errors independent, values up to about 2.
CLOSE = {"fp32": {"rtol": 0, "atol": 1e-5}, "bf16": {"rtol": 0, "atol": 2 * 20**0.5 * 2.0**-9}}

PRECISIONS = [
    "fp32",
    pytest.param(
        "bf16",
        marks=pytest.mark.skipif(
            not kernels.has_half(), reason="this processor has no bfloat16 kernels"
        ),
    ),
]
per_precision = pytest.mark.parametrize("precision", PRECISIONS)

#: How the weights of the blocks are scaled, so that one pixel of a mask changes the output by
#: far more than the tolerances; in a fresh network blocks hardly matter.
LOUD = 4.0


def loud_smsr(seed=0, **options):
    """Return a small network whose output depends on each of its masks' pixels."""
    net = tiny_smsr(seed, **options)
    with torch.no_grad():
        for block in net.blocks:
            block.fuse.weight *= LOUD
            for conv in block.convs:
                conv.weight *= LOUD
    return net


def image(*size, batch=1, seed=0):
    return torch.rand(batch, 3, *size, generator=torch.Generator().manual_seed(seed))


def random_masks(net, x, density=0.5, seed=0):
    shape = (x.shape[0], net.config.num_block, *x.shape[2:])
    return (torch.rand(shape, generator=torch.Generator().manual_seed(seed)) < density).double()


def native(net, precision="fp32", **options):
    return to_sparse(net, precision, backend="native", **options)


def channel_sets(num_feat):
    """Draw which channels of a layer are dense."""
    return st.one_of(
        st.sets(st.integers(0, num_feat - 1)), st.just(set()), st.just(set(range(num_feat)))
    )


@st.composite
def splits(draw):
    """Draw a number of features, and the dense channels of each layer of each block."""
    num_feat = draw(st.sampled_from([6, 16, 20, 40]))
    layer = channel_sets(num_feat).map(sorted)
    return num_feat, [[draw(layer) for _ in range(3)] for _ in range(2)]


def check(net, precision, size, batch, density, seed=0):
    """Compare with the formula, the masks given."""
    x = image(*size, batch=batch, seed=seed)
    masks = random_masks(net, x, density, seed)
    sr = native(net, precision)(x, spa_mask=masks)
    assert sr.dtype == x.dtype
    expected = literal_forward(net, x.double(), masks, net.channel_masks())
    torch.testing.assert_close(sr.double(), expected, **CLOSE[precision])


@per_precision
@given(
    split=splits(),
    upscale=st.integers(2, 4),
    size=st.tuples(st.integers(1, 13), st.integers(1, 35)),
    batch=st.integers(1, 3),
    density=st.sampled_from([0.0, 0.1, 0.5, 0.9, 1.0]),
    plan=st.sampled_from(["measured", "tiles", "pixels"]),
    seed=st.integers(0, 99),
)
@settings(max_examples=40, deadline=None)
def test_equals_the_formula_for_any_split_and_mask(
    precision, split, upscale, size, batch, density, plan, seed
):
    num_feat, dense = split
    net = split_channels(loud_smsr(seed, num_feat=num_feat, upscale=upscale), dense)
    with pytest.MonkeyPatch.context() as patch:
        if plan != "measured":
            patch.setattr(float32, "tiles_are_cheaper", lambda *_: plan == "tiles")
        check(net, precision, size, batch, density, seed)


@per_precision
@pytest.mark.parametrize(
    "size",
    [
        (1, 1), (1, 2), (2, 1), (1, 33), (33, 1), (3, 3), (4, 4), (5, 8), (2, 15), (3, 16),
        (4, 17), (3, 32), (150, 9),
    ],
)  # fmt: skip
def test_boundaries_of_sizes(precision, size):
    check(loud_smsr(num_feat=40), precision, size, 3, 0.5)


@per_precision
@pytest.mark.parametrize("blocks", [1, 2, 3, 4, 5])
def test_even_and_odd_numbers_of_blocks(precision, blocks):
    check(tiny_smsr(num_block=blocks), precision, (6, 18), 2, 0.5)


@per_precision
@pytest.mark.parametrize("plan", ["tiles", "pixels"])
@pytest.mark.parametrize(
    "dense",
    [
        pytest.param([[], [0, 1, 2, 3, 4, 5], [0, 1, 2, 3, 4, 5]], id="the first layer sparse"),
        pytest.param([[0, 2], [], [1, 3, 5]], id="a sparse layer between dense ones"),
        pytest.param([[], [], [0, 1]], id="the last layer dense"),
        pytest.param([[0, 1, 2, 3, 4, 5]] * 3, id="every channel dense"),
        pytest.param([[]] * 3, id="every channel sparse"),
    ],
)
def test_boundaries_of_splits(monkeypatch, precision, plan, dense):
    monkeypatch.setattr(float32, "tiles_are_cheaper", lambda *_: plan == "tiles")
    check(split_channels(loud_smsr(), [dense] * 2), precision, (9, 11), 1, 0.4)


@per_precision
@pytest.mark.parametrize("active", [0, 1, "all but one", "all"])
def test_boundaries_of_masks(precision, active):
    net = loud_smsr()
    x = image(7, 10)
    masks = torch.full((1, 2, 7, 10), float(active in ("all", "all but one")))
    if active in (1, "all but one"):
        masks[..., 3, 4] = 1 - masks[..., 3, 4]
    sr = native(net, precision)(x, spa_mask=masks).double()
    expected = literal_forward(net, x.double(), masks.double(), net.channel_masks())
    torch.testing.assert_close(sr, expected, **CLOSE[precision])


@per_precision
@pytest.mark.parametrize(
    "options",
    [
        {"num_feat": 64, "num_layer": 4, "num_block": 5},
        {"num_feat": 1},
        {"num_layer": 1, "num_block": 1},
        {"num_layer": 17},
        {"num_block": 17},
        {"img_range": 255.0},
        {"num_in_ch": 1, "num_out_ch": 1, "rgb_mean": [0.5]},
        {"num_in_ch": 15, "num_out_ch": 15, "rgb_mean": [0.5] * 15, "upscale": 4},
    ],
    ids=lambda options: " ".join(options),
)
def test_configurations(precision, options):
    net = tiny_smsr(**options)
    x = torch.rand(1, net.config.num_in_ch, 9, 6)
    masks = random_masks(net, x)
    sr = native(net, precision)(x, spa_mask=masks).double()
    torch.testing.assert_close(sr, net(x.double(), spa_mask=masks), **CLOSE[precision])


@pytest.mark.parametrize(
    ("channels", "upscale", "obstacle"),
    [
        (16, 2, "an image has 16 channels, which are too many"),
        (70, 4, "a layer has 1120 channels, which are too many"),
    ],
)
def test_a_configuration_beyond_the_kernels_limits_runs_all_the_same(channels, upscale, obstacle):
    ends = {"num_in_ch": channels, "num_out_ch": channels, "rgb_mean": [0.5] * channels}
    net = tiny_smsr(**ends, upscale=upscale)
    x = torch.rand(1, channels, 3, 4)
    torch.testing.assert_close(to_sparse(net)(x).double(), net(x.double()), **CLOSE["fp32"])
    with pytest.raises(RuntimeError, match=f'backend="native" cannot be used: {obstacle}'):
        native(net)(x)


class KernelsOf:
    """The kernels, held to one instruction set."""

    def __init__(self, isa, **attributes):
        self.__dict__.update(attributes)
        self._isa = isa

    def __getattr__(self, name):
        value = getattr(kernels, name)
        takes_isa = name in ("winograd", "rows", "half_rows", "compose", "has_half")
        return partial(value, isa=self._isa) if takes_isa else value


@pytest.mark.parametrize(
    ("isa", "precision"),
    [
        (isa, precision)
        for isa in kernels.available()
        for precision in (["fp32", "bf16"] if kernels.has_half(isa) else ["fp32"])
    ],
)
@pytest.mark.parametrize("plan", ["measured", "tiles", "pixels"])
def test_every_instruction_set(monkeypatch, isa, precision, plan):
    monkeypatch.setattr("smsr_plugin.sparse.network.load_kernels", lambda: KernelsOf(isa))
    if plan != "measured":
        monkeypatch.setattr(float32, "tiles_are_cheaper", lambda *_: plan == "tiles")
    net = split_channels(loud_smsr(num_feat=40), [[range(0, 40, 2), range(36), [1]]] * 2)
    check(net, precision, (13, 17), 2, 0.6)


def recorded_masks(monkeypatch, size):
    """Return a list that fills with the masks that blocks are given, (H, W) each."""
    masks, of = [], BlockMask.of

    def record(run, activity):
        masks.append(torch.from_numpy(inside(activity, *size) == kernels.ACTIVE))
        return of(run, activity)

    monkeypatch.setattr(BlockMask, "of", record)
    return masks


def logits_of(net, x, threshold):
    """Return the oracle's result, and its logits less the threshold, B·K of (H, W)."""
    logits = []
    hooks = [
        block.spa_mask.register_forward_hook(lambda *args: logits.append(args[2][:, 0] - threshold))
        for block in net.blocks
    ]
    out = net(x.double(), threshold=threshold, return_masks=True)
    for hook in hooks:
        hook.remove()
    return out, [block[i] for i in range(len(x)) for block in logits]


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (5, 7), (8, 6), (9, 16), (4, 35)])
@pytest.mark.parametrize("threshold", [0.0, 0.1])
def test_predicts_the_oracles_masks(monkeypatch, size, threshold):
    net, x = loud_smsr(num_feat=12), image(*size, batch=3)
    out, logits = logits_of(net, x, threshold)
    assert min(logit.abs().min() for logit in logits) > 1e-5, "no seed for a test of equality"
    masks = recorded_masks(monkeypatch, size)
    sr, stats = native(net, threshold=threshold)(x, return_stats=True)
    assert torch.equal(torch.stack(masks).view_as(out.spa_mask), out.spa_mask > 0)
    torch.testing.assert_close(sr.double(), out.sr, **CLOSE["fp32"])
    torch.testing.assert_close(stats.spa_density, out.spa_mask.mean((2, 3)).float())


@pytest.mark.parametrize("size", [(1, 1), (1, 6), (6, 1), (5, 7), (7, 8), (8, 5)])
def test_decides_at_any_threshold_as_the_oracle(monkeypatch, size):
    net, x = loud_smsr(num_feat=12, num_block=1), image(*size)
    _, (logit,) = logits_of(net, x, 0)
    levels = logit.flatten().sort().values
    # Between two neighbouring logits: a pixel that is off by more than their distance is found.
    middle = (levels[1:] + levels[:-1])[levels.diff() > 1e-5] / 2
    for threshold in middle[:: max(1, len(middle) // 12)].tolist():
        with monkeypatch.context() as patch:
            masks = recorded_masks(patch, size)
            native(net, threshold=threshold)(x)
        assert torch.equal(masks[0], logit > threshold)


@pytest.mark.skipif(not kernels.has_half(), reason="this processor has no bfloat16 kernels")
@pytest.mark.parametrize("size", [(5, 7), (8, 6), (14, 13)])
def test_bfloat16_predicts_the_first_masks_up_to_rounding(monkeypatch, size):
    net, x = loud_smsr(num_feat=12), image(*size, batch=2)
    out, logits = logits_of(net, x, 0)
    masks = recorded_masks(monkeypatch, size)
    native(net, "bf16")(x)
    for found, logit in zip(masks[::2], logits[::2], strict=True):
        decided = logit.abs() > 2.0**-6 * logit.abs().max()
        assert decided.double().mean() > 0.8
        assert torch.equal(found[decided], logit[decided] > 0)
    assert 0 < out.spa_mask.mean() < 1


@per_precision
def test_other_layouts_of_the_input(precision):
    net = loud_smsr()
    sparse, x = native(net, precision), image(6, 7, batch=2)
    masks = random_masks(net, x)
    expected = sparse(x, spa_mask=masks)
    wide = torch.zeros(2, 6, 6, 14)
    wide[:, ::2, :, ::2] = x
    for other in (x.to(memory_format=torch.channels_last), wide[:, ::2, :, ::2]):
        assert torch.equal(sparse(other, spa_mask=masks.bool()), expected)
    one = x[:1].expand(3, -1, -1, -1)
    assert torch.equal(sparse(one, spa_mask=masks[:1].expand(3, -1, -1, -1))[2], expected[0])


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_inputs_in_half_precision_are_computed_in_float32(dtype):
    sparse, x = native(loud_smsr()), image(5, 6).to(dtype)
    sr = sparse(x)
    assert sr.dtype == dtype
    assert torch.equal(sr, sparse(x.float()).to(dtype))


@per_precision
def test_planes_are_used_again_for_other_sizes(precision):
    sparse = native(loud_smsr(num_feat=40), precision)
    for size in [(17, 23), (3, 2), (17, 23), (23, 17), (8, 31), (16, 22), (17, 23)]:
        x = image(*size, batch=2, seed=sum(size))
        fresh = copy.deepcopy(sparse)
        assert torch.equal(sparse(x), fresh(x)), size
        assert torch.equal(sparse(x), fresh(x)), size


@per_precision
def test_nothing_is_left_of_masks_before(precision):
    net = loud_smsr(num_feat=40, num_block=3)
    sparse, x = native(net, precision), image(11, 37)
    for seed, density in enumerate([1.0, 0.3, 0.0, 0.02, 1.0, 0.0]):
        masks = random_masks(net, x, density, seed)
        fresh = copy.deepcopy(sparse)
        assert torch.equal(sparse(x, spa_mask=masks), fresh(x, spa_mask=masks)), density


@per_precision
@pytest.mark.parametrize("bad", [float("nan"), float("inf"), 1e38])
def test_nothing_is_left_of_an_image_of_other_numbers(precision, bad):
    net = loud_smsr(num_feat=40)
    sparse, x = native(net, precision), image(11, 14)
    masks = random_masks(net, x)
    expected = sparse(x, spa_mask=masks)
    broken = x.clone()
    broken[..., 5, 6] = bad
    sr = sparse(broken, spa_mask=1 - masks)
    if bad != 1e38:
        assert not sr.isfinite().all()
    assert torch.equal(sparse(x, spa_mask=masks), expected)


@per_precision
def test_nan_reaches_the_output(precision):
    net, x = loud_smsr(), image(9, 12)
    x[0, 1, 4, 5] = float("nan")
    assert native(net, precision)(x).isnan().any()


@per_precision
def test_an_image_whose_planes_are_stored_past_the_cache(precision):
    net = split_channels(loud_smsr(num_feat=64, num_block=1), [[range(40), range(20), range(64)]])
    x = image(200, 180)
    masks = random_masks(net, x, 0.4)
    expected = to_sparse(net, backend="reference")(x, spa_mask=masks)
    torch.set_num_threads(2)
    sr = native(net, precision)(x, spa_mask=masks)
    torch.testing.assert_close(sr, expected, **CLOSE[precision])


@per_precision
def test_threads_do_not_change_a_bit(precision):
    sparse, x = native(loud_smsr(num_feat=40), precision), image(40, 50)
    runs = []
    for threads in (1, 2, 4, 1):
        torch.set_num_threads(threads)
        runs.append(sparse(x))
    assert all(torch.equal(run, runs[0]) for run in runs)


@per_precision
def test_several_threads_may_infer_at_once(precision):
    sparse = native(loud_smsr(num_feat=20), precision)
    images = [image(8 + i % 5, 9 + i % 7, seed=i) for i in range(40)]
    expected = [copy.deepcopy(sparse)(x) for x in images]
    with ThreadPoolExecutor(4) as threads:
        results = list(threads.map(sparse, images))
    assert all(torch.equal(*pair) for pair in zip(results, expected, strict=True))


def test_an_error_does_not_spoil_the_next_run(monkeypatch):
    sparse, x = native(loud_smsr()), image(7, 5)
    expected = sparse(x)

    def fail(*_, **__):
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(float32.MapConv, "__call__", fail)
        with pytest.raises(MemoryError):
            sparse(x)
    assert torch.equal(sparse(x), expected)


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="the system cannot fork"
)
@pytest.mark.filterwarnings("ignore:.*multi-threaded, use of fork:DeprecationWarning")
def test_a_forked_process_can_infer():
    torch.set_num_threads(2)
    sparse, x = native(loud_smsr(num_feat=20)), image(40, 50)
    expected = sparse(x)
    fork = multiprocessing.get_context("fork")
    receiver, sender = fork.Pipe(duplex=False)
    child = fork.Process(target=lambda: sender.send_bytes(sparse(x).numpy().tobytes()))
    child.start()
    try:
        assert receiver.poll(30), "the child hangs"
        assert receiver.recv_bytes() == expected.numpy().tobytes()
        child.join(30)
        assert child.exitcode == 0
    finally:
        child.kill()
        child.join()
    assert torch.equal(sparse(x), expected)


@per_precision
def test_stats_count_what_the_reference_counts(precision):
    net, x = loud_smsr(), image(6, 9, batch=2)
    masks = random_masks(net, x, 0.3)
    _, stats = native(net, precision)(x, spa_mask=masks, return_stats=True)
    reference = to_sparse(net, precision, backend="reference")
    _, expected = reference(x, spa_mask=masks, return_stats=True)
    assert stats.macs == pytest.approx(expected.macs)
    torch.testing.assert_close(stats.spa_density, expected.spa_density)


def test_the_breakdown_names_the_parts():
    sparse = native(loud_smsr())
    seconds = sparse.breakdown(image(8, 8))
    parts = ["head", "masks", "sparse layers", "fuse", "collect", "tail", "bicubic"]
    assert list(seconds) == parts
    assert all(value > 0 for value in seconds.values())
    with pytest.raises(RuntimeError, match="only the native backend"):
        to_sparse(loud_smsr(), backend="reference").breakdown(image(8, 8))


def test_the_parts_are_also_timed_by_block():
    sparse = native(loud_smsr(num_block=3))
    timer = sparse.timed(image(8, 8, batch=2))
    own_parts = ["masks", "sparse layers", "fuse"]
    assert {k: list(parts) for k, parts in timer.block_seconds.items()} == dict.fromkeys(
        range(3), own_parts
    )
    for part in own_parts:
        total = sum(block[part] for block in timer.block_seconds.values())
        assert timer.seconds[part] == pytest.approx(total)


@per_precision
def test_the_threshold_may_be_changed_between_runs(precision):
    net, x = loud_smsr(), image(8, 9)
    sparse = native(net, precision)
    sparse(x)
    for threshold in (0.3, -0.3, float("-inf")):
        sparse.threshold = threshold
        sr, stats = sparse(x, return_stats=True)
        expected, expected_stats = native(net, precision, threshold=threshold)(x, return_stats=True)
        assert torch.equal(stats.spa_mask, expected_stats.spa_mask)
        assert torch.equal(sr, expected)
    assert stats.kept == 1
