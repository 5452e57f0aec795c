import copy
import io

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from masked_networks import tiny_masked_rlfn
from networks import literal_forward, split_channels, tiny_smsr, with_peaks
from pretended_kernels import pretend
from torch import nn

from smsr_plugin import SMSR, to_sparse
from smsr_plugin.sparse import SparseNetwork
from smsr_plugin.sparse.reference.masked_conv import SplitConv

#: Relative to values of about 1; float64 sums in another order.
FP64 = {"rtol": 1e-10, "atol": 1e-10}
#: 24 bits, sums of a few thousand terms through about 20 layers.
FP32 = {"rtol": 1e-5, "atol": 1e-5}

channel_lists = st.lists(st.integers(0, 5), max_size=6, unique=True)


@given(
    dense=st.lists(st.lists(channel_lists, min_size=3, max_size=3), min_size=2, max_size=2),
    size=st.tuples(st.integers(1, 3), st.integers(1, 8), st.integers(1, 8)),
    density=st.sampled_from([0.0, 0.2, 0.7, 1.0]),
    upscale=st.sampled_from([2, 3, 4]),
    seed=st.integers(0, 999),
)
@settings(max_examples=60)
def test_equals_the_formula_for_any_split_and_mask(dense, size, density, upscale, seed):
    net = split_channels(tiny_smsr(seed, upscale=upscale), dense)
    batch, height, width = size
    x = torch.rand(batch, 3, height, width, dtype=torch.float64)
    mask = (torch.rand(batch, 2, height, width) < density).double()
    sparse = to_sparse(net, precision="fp64")
    assert sparse.dense_channels == [[len(channels) for channels in block] for block in dense]
    sr = sparse(x, spa_mask=mask)
    torch.testing.assert_close(sr, net(x, spa_mask=mask), **FP64)
    torch.testing.assert_close(sr, literal_forward(net, x, mask, net.channel_masks()), **FP64)


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 1), (5, 7), (8, 6)])
def test_predicts_the_oracles_masks(size):
    net = tiny_smsr()
    x = torch.rand(2, 3, *size, dtype=torch.float64)
    out = net(x, threshold=0.1, return_masks=True)
    sr, stats = to_sparse(net, "fp64", threshold=0.1)(x, return_stats=True)
    torch.testing.assert_close(sr, out.sr, **FP64)
    torch.testing.assert_close(stats.spa_density, out.spa_mask.mean((2, 3)).float())


def test_equals_the_oracle_in_float32_given_the_same_masks():
    net = tiny_smsr(num_feat=16).float()
    x = torch.rand(2, 3, 11, 9)
    mask = (torch.rand(2, 2, 11, 9) < 0.4).float()
    torch.testing.assert_close(to_sparse(net)(x, spa_mask=mask), net(x, spa_mask=mask), **FP32)


def test_bf16_stays_close_and_returns_the_inputs_dtype():
    net = tiny_smsr(num_feat=16).float()
    x = torch.rand(1, 3, 9, 9)
    mask = (torch.rand(1, 2, 9, 9) < 0.5).float()
    sr = to_sparse(net, "bf16")(x, spa_mask=mask)
    assert sr.dtype == torch.float32
    torch.testing.assert_close(sr, net(x, spa_mask=mask), rtol=0, atol=0.02)


def test_img_range_is_folded():
    net = SMSR(num_feat=4, num_layer=2, num_block=1, img_range=255.0).double().eval()
    x = torch.rand(1, 3, 6, 6, dtype=torch.float64)
    torch.testing.assert_close(to_sparse(net, "fp64")(x), net(x), **FP64)


def test_computation_is_skipped_for_real(monkeypatch):
    net = split_channels(tiny_smsr(num_block=1), [[[], [], []]])
    x = torch.rand(1, 3, 8, 8, dtype=torch.float64)
    sparse = to_sparse(net, "fp64")
    rows, call = [], SplitConv.__call__

    def record(conv, x, active, shape):
        rows.append([part.shape for part in x])
        return call(conv, x, active, shape)

    monkeypatch.setattr(SplitConv, "__call__", record)
    mask = torch.zeros(1, 1, 8, 8)
    mask[0, 0, 2, 3:6] = 1
    sparse(x, spa_mask=mask)
    # The last layer: no dense channel of 64 pixels; 6 sparse channels of 3 pixels, beside a row of
    # what lies outside the image and one of what the skipped pixels hold.
    assert rows[2] == [(65, 0), (5, 6)]


def test_stats_count_between_the_extremes():
    net = tiny_smsr()
    sparse = to_sparse(net, "fp64")
    x = torch.rand(2, 3, 6, 4, dtype=torch.float64)
    full, empty = torch.ones(2, 2, 6, 4), torch.zeros(2, 2, 6, 4)
    half = empty.clone()
    half[1] = 1
    dense_stats = sparse(x, spa_mask=full, return_stats=True)[1]
    assert dense_stats.macs == pytest.approx([dense_stats.macs_dense] * 2)
    assert dense_stats.kept == pytest.approx(1)
    stats = sparse(x, spa_mask=half, return_stats=True)[1]
    assert stats.macs[0] < stats.macs[1] == pytest.approx(stats.macs_dense)
    assert stats.spa_density.tolist() == [[0, 0], [1, 1]]


def test_the_original_is_left_as_it_is_and_the_copy_is_frozen():
    net = tiny_smsr().train()
    before = copy.deepcopy(net.state_dict())
    sparse = to_sparse(net)
    assert net.training
    assert all(torch.equal(net.state_dict()[key], before[key]) for key in before)
    assert not any(p.requires_grad for p in sparse.parameters())
    assert {p.data_ptr() for p in sparse.parameters()}.isdisjoint(
        {p.data_ptr() for p in net.parameters()}
    )
    with pytest.raises(RuntimeError, match="only infers"):
        sparse.train()


def test_state_dict_deepcopy_and_saving():
    sparse = to_sparse(tiny_smsr(), "fp64")
    x = torch.rand(1, 3, 5, 5, dtype=torch.float64)
    twin = copy.deepcopy(sparse)
    for tensor in twin.state_dict().values():
        tensor.zero_()
    assert not torch.equal(twin(x), sparse(x))
    twin.load_state_dict(sparse.state_dict())
    assert torch.equal(twin(x), sparse(x))
    buffer = io.BytesIO()
    torch.save(sparse, buffer)
    buffer.seek(0)
    assert torch.equal(torch.load(buffer, weights_only=False)(x), sparse(x))


def test_a_data_parallel_network_is_unwrapped():
    assert isinstance(to_sparse(nn.DataParallel(tiny_smsr())), SparseNetwork)


@pytest.mark.parametrize(
    ("options", "error"),
    [({"precision": "int4"}, "precision"), ({"backend": "cuda"}, "backend")],
)
def test_unknown_options_are_named(options, error):
    with pytest.raises(ValueError, match=error):
        to_sparse(tiny_smsr(), **options)


def test_other_networks_are_refused():
    with pytest.raises(TypeError, match="Conv2d"):
        to_sparse(nn.Conv2d(1, 1, 1))


def test_weights_that_are_not_finite_are_refused():
    net = tiny_smsr()
    net.tail[0].bias.data[0] = float("nan")
    with pytest.raises(ValueError, match=r"tail\.0\.bias"):
        to_sparse(net)


@pytest.mark.parametrize(
    ("isa", "make", "message"),
    [
        ("amx", tiny_smsr, "no peaks tell what 8 bits have to span"),
        ("amx", tiny_masked_rlfn, "this network has masks at tiles"),
        ("avx512", lambda: with_peaks(tiny_smsr()), "AMX.*avx512 has none: take fp32"),
        (None, lambda: with_peaks(tiny_smsr()), "they were not built"),
    ],
)
def test_int8_is_refused_where_it_does_not_run(monkeypatch, isa, make, message):
    net = make()
    pretend(monkeypatch, isa)
    with pytest.raises(ValueError, match=f'precision="int8" cannot be used: .*{message}'):
        to_sparse(net, "int8")


def test_int8_is_accepted_where_it_runs(monkeypatch):
    net = with_peaks(tiny_smsr())
    pretend(monkeypatch, "amx")
    sparse = to_sparse(net, "int8")
    assert (sparse.precision, sparse.runs_native) == ("int8", True)
