"""What a pickle would build is told from its opcodes, and limited, before it is unpickled."""

from __future__ import annotations

import inspect
import io
import pickle
import struct
import time
import warnings
import zipfile

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.optim import lr_scheduler

from smsr_plugin.checkpoints import CheckpointError
from smsr_plugin.checkpoints.files import read_file
from smsr_plugin.checkpoints.pickle_machine import PickleSource, check_pickle
from smsr_plugin.checkpoints.pickle_values import Kind, Limits

#: Optimizers that need more than a step on a matrix and a vector.
SPECIAL = {"Optimizer", "SparseAdam", "Muon"}
OPTIMIZERS = sorted(
    name
    for name, value in vars(torch.optim).items()
    if inspect.isclass(value) and name not in SPECIAL
)


def check(content: object, **limits: int):
    """Check what Python's own pickler writes of plain values."""
    return check_pickle(PickleSource(pickle.dumps(content, 2), Limits(**limits)))[0]


def refusal(content: bytes, **limits: int) -> str:
    with pytest.raises(CheckpointError) as caught:
        check_pickle(PickleSource(content, Limits(**limits)))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def storage(kind: bytes) -> bytes:
    """Return the opcodes of a storage of two elements."""
    words = [b"X" + struct.pack("<I", len(t)) + t for t in (b"storage", b"0", b"cpu")]
    return b"(%sctorch\n%sStorage\n%s%sK\x02tQ" % (words[0], kind, words[1], words[2])


def stepped(name: str) -> torch.optim.Optimizer:
    net = torch.nn.Linear(3, 2)
    optimizer = getattr(torch.optim, name)(net.parameters(), lr=0.01)

    def closure():
        optimizer.zero_grad()
        loss = net(torch.ones(4, 3)).square().sum()
        loss.backward()
        return loss

    optimizer.step(closure)
    return optimizer


def schedulers(optimizer: torch.optim.Optimizer) -> list[object]:
    import smsr_plugin.training  # noqa: F401  # without it BasicSR cannot be imported

    from basicsr.models import lr_scheduler as basicsr  # isort: skip

    return [
        basicsr.MultiStepRestartLR(optimizer, [2, 2, 4], restarts=[0, 3], restart_weights=[1, 0.5]),
        basicsr.CosineAnnealingRestartLR(optimizer, [2, 4], restart_weights=[1, 0.5]),
        lr_scheduler.MultiStepLR(optimizer, [1, 2, 2]),
        lr_scheduler.LambdaLR(optimizer, lambda epoch: 1.0),
        lr_scheduler.CosineAnnealingWarmRestarts(optimizer, 4),
        lr_scheduler.ReduceLROnPlateau(optimizer),
        lr_scheduler.SequentialLR(
            optimizer,
            [lr_scheduler.ConstantLR(optimizer), lr_scheduler.LinearLR(optimizer)],
            [2],
        ),
    ]


def same(a: object, b: object) -> bool:
    if isinstance(a, torch.Tensor):
        return isinstance(b, torch.Tensor) and a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, dict):
        return (
            isinstance(b, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
        )
    if isinstance(a, list | tuple):
        return type(a) is type(b) and len(a) == len(b) and all(map(same, a, b))
    return a == b


class TestRealFiles:
    @pytest.mark.parametrize("legacy", [False, True])
    @pytest.mark.parametrize("name", OPTIMIZERS)
    def test_training_states_are_read_as_they_were(self, name, legacy, write):
        optimizer = stepped(name)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the order of calls
            states = [each.state_dict() for each in schedulers(optimizer)]
        content = {
            "epoch": 1,
            "iter": 5,
            "optimizers": [optimizer.state_dict()],
            "schedulers": states,
            "networks": {"net_g_5.pth": "0" * 64},
        }
        path = write(content, "5.state", _use_new_zipfile_serialization=not legacy)
        assert same(read_file(path).root, content)

    @pytest.mark.parametrize("wrap", [torch.nn.DataParallel, torch.compile, lambda net: net])
    @pytest.mark.parametrize("legacy", [False, True])
    def test_networks_are_read_as_they_were(self, wrap, legacy, write):
        net = torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))
        net.to(memory_format=torch.channels_last)
        content = {"params": wrap(net).state_dict(), "params_ema": net.state_dict()}
        content["params"]["0.weight"] = torch.nn.Parameter(torch.ones(2, 3, dtype=torch.bfloat16))
        path = write(content, _use_new_zipfile_serialization=not legacy)
        assert same(read_file(path).root, content)

    def test_dtypes_that_came_later_are_read(self, write):
        content = {
            str(dtype): torch.ones(3).to(dtype)
            for dtype in (torch.float8_e4m3fn, torch.uint16, torch.uint32)
        }
        found = read_file(write(content)).root
        assert {key: value.dtype for key, value in found.items()} == {
            key: value.dtype for key, value in content.items()
        }

    @pytest.mark.reference
    def test_published_networks_are_read(self, test_data):
        paths = sorted((test_data / "weights").glob("*.p*"))
        assert len(paths) >= 10
        for path in paths:
            expected = torch.load(path, map_location="cpu", weights_only=True)
            assert same(read_file(path).root, expected)


PLAIN = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(-(2**63), 2**63), st.floats(allow_nan=False),
        st.text(max_size=8),
    ),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.lists(inner, max_size=4).map(tuple),
        st.dictionaries(st.one_of(st.text(max_size=4), st.integers(0, 2**31 - 1)), inner,
                        max_size=4),
    ),
    max_leaves=20,
)  # fmt: skip


def weight(value: object) -> int:
    if isinstance(value, dict):
        return 1 + sum(weight(key) + weight(each) for key, each in value.items())
    return 1 + sum(map(weight, value)) if isinstance(value, list | tuple) else 1


def depth(value: object) -> int:
    if isinstance(value, dict):
        return 1 + max(map(depth, value.values()), default=0)
    return 1 + max(map(depth, value), default=0) if isinstance(value, list | tuple) else 0


class TestLimits:
    @given(content=PLAIN)
    @settings(max_examples=200)
    def test_values_are_counted_as_they_are(self, content):
        found = check(content)
        assert (found.weight, found.depth) == (weight(content), depth(content))
        assert check(content, values=weight(content), depth=depth(content) or 1)

    @pytest.mark.parametrize("content", [[[[1]]], ((({},),),), {"a": {"b": {"c": 1}}}])
    def test_depth(self, content):
        assert check(content, depth=depth(content)).depth == depth(content)
        assert "nests containers more than" in refusal(
            pickle.dumps(content, 2), depth=depth(content) - 1
        )

    def test_values_that_are_shared_count_each_time(self):
        inner = ["a", "b"]
        content = pickle.dumps([inner, inner, inner], 2)
        assert check_pickle(PickleSource(content, Limits(values=10)))[0].weight == 10
        assert "refers to more than 9 values" in refusal(content, values=9)

    def test_values_that_are_copied_by_calls_count_each_time(self):
        """Nothing of what is called needs to be part of the result for the calls to take time."""
        pairs = b"](" + b"X\x01\x00\x00\x00aK\x01\x86" * 3 + b"eq\x00"
        ordered = b"ccollections\nOrderedDict\nh\x00\x85R"
        content = b"\x80\x02(" + pairs + 3 * ordered + b"t."
        assert pickle.loads(content)[1:] == 3 * ({"a": 1},)
        assert check_pickle(PickleSource(content, Limits(values=33)))[0].weight == 32
        assert "gives calls more than 32 values" in refusal(content, values=32)

    def test_values_that_calls_drop_count_each_time(self):
        """A parameter's `requires_grad`, which may be a copy of anything, is dropped."""
        tensor = b"ctorch._utils\n_rebuild_tensor\n(" + storage(b"Float") + b"K\x00))tRq\x01"
        counted = b"ccollections\nCounter\nh\x00\x85R"
        parameter = b"ctorch._utils\n_rebuild_parameter\nh\x01" + counted + b"N\x87R"
        counts = b"}(" + b"X\x01\x00\x00\x00aK\x01" * 5 + b"uq\x00"
        content = b"\x80\x02(" + counts + tensor + 9 * parameter + b"t."
        found = check_pickle(PickleSource(content))[0]
        assert found.weight == 1 + 11 + 1 + 9
        assert "gives calls more than 200 values" in refusal(content, values=200)

    def test_steps_and_texts(self):
        content = pickle.dumps(["abcdef"] * 3, 2)
        assert "more than 5 steps" in refusal(content, opcodes=5)
        assert "a text or number of 6 bytes; up to 5 are read" in refusal(content, text=5)
        assert check(["abcdef"] * 3, text=6, opcodes=20).kind is Kind.LIST

    def test_a_long_name_is_refused(self):
        assert "a name of more than 1,024 bytes" in refusal(b"\x80\x02c" + b"x" * 2000 + b"\ny\n.")


class TestStructure:
    def test_what_contains_itself_is_refused(self):
        for content in ([], {}):
            if isinstance(content, list):
                content.append(content)
            else:
                content["x"] = content
            assert "which is no such container or complete" in refusal(pickle.dumps(content, 2))

    @pytest.mark.parametrize("key", [(1, 2), 1.5, True, None, -1, 2**31])
    def test_keys_are_texts_and_indices(self, key):
        assert "is a key of a dict; texts and indices are taken" in refusal(
            pickle.dumps({key: 1}, 2)
        )

    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"", "damaged"),
            (b".", "damaged"),
            (b"\x80\x02]", "damaged"),
            (b"\x80\x02(.", "a value that is not there"),
            (b"\x80\x02(q\x00.", "a value that is not there"),
            (b"\x80\x02h\x05.", "damaged"),
            (b"\x80\x02NN.", "left over"),
            (b"\x80\x02}(Nu.", "damaged"),
            (b"\x80\x02}(K\x01u.", "a key without a value"),
            (b"\x80\x02)(K\x01e.", "fills a tuple"),
            (b"\x80\x02K\x01)R.", "calls what cannot be called"),
            (b"\x80\x02\x8f.", "no state dict needs the pickle opcode EMPTY_SET"),
            (b"\x80\x02X\x01\x00\x00\x00aQ.", "refers to something that is no storage"),
            (b"\x80\x02ccollections\nOrderedDict\n)R}X\x01\x00\x00\x00aK\x01sb.", "attributes"),
            (b"\x80\x02ccollections\nOrderedDict\nK\x01\x85R.", "other arguments"),
        ],
    )
    def test_other_programs_are_refused(self, content, message):
        assert message in refusal(content)

    @pytest.mark.parametrize("value", [b"bytes", {1, 2}, 1j, bytearray(3), print])
    def test_other_objects_are_named(self, value):
        assert "needs the Python object" in refusal(pickle.dumps([value], 2))

    @given(data=st.data())
    @settings(max_examples=300)
    def test_any_bytes_are_read_or_refused_in_one_line(self, data):
        stream = io.BytesIO()
        torch.save({"a": torch.ones(2), "b": [1, "x", (2.5, None)]}, stream)
        with zipfile.ZipFile(stream) as archive:
            (name,) = (name for name in archive.namelist() if name.endswith("data.pkl"))
            content = bytearray(archive.read(name))
        for _ in range(data.draw(st.integers(1, 4))):
            place = data.draw(st.integers(0, len(content) - 1))
            content[place : place + data.draw(st.integers(0, 3))] = data.draw(st.binary(max_size=3))
        message, start = "", time.process_time()
        try:
            check_pickle(PickleSource(bytes(content)))
        except CheckpointError as error:
            message = str(error)
        assert "\n" not in message
        assert time.process_time() - start < 2


class TestStorages:
    @pytest.mark.parametrize("legacy", [False, True])
    def test_tensors_that_claim_more_than_their_storage_are_refused(self, legacy, write):
        wide = torch.ones(2).expand(3, 2)
        path = write({"a": wide}, _use_new_zipfile_serialization=not legacy)
        with pytest.raises(CheckpointError, match="not ordinary: 24 bytes in a storage of 8"):
            read_file(path)

    @pytest.mark.parametrize("legacy", [False, True])
    def test_many_copies_of_one_storage_are_refused(self, legacy, write):
        shared = torch.ones(10)
        state = {"optimizers": [{"state": {n: shared.view(10) for n in range(17)}}]}
        path = write(state, "5.state", _use_new_zipfile_serialization=not legacy)
        with pytest.raises(CheckpointError, match="names 680 bytes of values and stores 40"):
            read_file(path)

    def test_a_storage_is_described_once(self):
        first, second = storage(b"Float"), storage(b"Byte")
        assert check_pickle(PickleSource(b"\x80\x02]" + first + b"a."))[1] == {"0": 8}
        assert "in two ways" in refusal(b"\x80\x02](" + first + second + b"e.")
