from __future__ import annotations

import os
import sys

import pytest
import torch.distributed as dist
from hypothesis import given
from hypothesis import strategies as st

from smsr_plugin import processes
from smsr_plugin.processes import FAILED, Processes, current, is_lost, joined


@given(count=st.integers(0, 50), world_size=st.integers(1, 8))
def test_shares_are_a_partition_of_nearly_equal_parts(count, world_size):
    shares = [Processes(rank, world_size).share(count) for rank in range(world_size)]
    assert sorted(i for share in shares for i in share) == list(range(count))
    assert max(map(len, shares)) - min(map(len, shares)) <= 1


def test_alone_a_process_agrees_with_itself(monkeypatch):
    monkeypatch.delenv("TORCHELASTIC_RUN_ID", raising=False)
    for launcher in (None, "none"):
        with joined(launcher) as alone:
            assert current() is alone
            assert not alone.launched
            assert (alone.rank, alone.world_size) == (0, 1)
            assert [alone.agree(code) for code in (0, 15, FAILED)] == [0, 15, FAILED]
            assert alone.gather("a") == ["a"]
            assert alone.is_first_to_say("a")
            assert alone.is_first_to_say("a", consequence=True)


def test_a_process_says_what_is_new_and_consequences_only_if_nothing_was_said():
    store = dist.HashStore()
    first, second = Processes(0, 2, store), Processes(1, 2, store)
    assert first.is_first_to_say("lost", consequence=True)
    assert not second.is_first_to_say("lost", consequence=True)
    assert second.is_first_to_say("a full disk")
    assert not first.is_first_to_say("a full disk")
    assert first.is_first_to_say("another disk")
    assert not first.is_first_to_say("lost otherwise", consequence=True)


def test_slurms_variables_stand_in_for_torchruns(monkeypatch):
    class Hosts:
        stdout = "node7\nnode8\n"

    monkeypatch.setattr(processes.subprocess, "run", lambda command, **options: Hosts)
    environment = {"SLURM_PROCID": "3", "SLURM_NTASKS": "4", "SLURM_LOCALID": "1"}
    environment |= {"SLURM_NODELIST": "node[7-8]", "MASTER_PORT": "1234"}
    processes._set_from_slurm(environment)
    expected = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1"}
    expected |= {"MASTER_ADDR": "node7", "MASTER_PORT": "1234"}
    assert environment.items() >= expected.items()


def test_a_first_process_that_cannot_be_reached_is_named(monkeypatch):
    values = {"RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}
    for name, value in values.items():
        monkeypatch.setenv(name, value)

    def unreachable(url):
        raise dist.DistNetworkError("refused")

    monkeypatch.setattr(sys.modules["torch.distributed.rendezvous"], "rendezvous", unreachable)
    with (
        pytest.raises(processes.LostProcessError, match=r"cannot be reached at 127\.0\.0\.1:1$"),
        joined("pytorch"),
    ):
        pass
    assert current().world_size == 1
    assert os.environ["RANK"] == "1"


def test_errors_of_connections_are_told_from_others():
    closed = "[/src/gloo/transport/tcp/pair.cc:561] Connection closed by peer [127.0.0.1]:1"
    assert is_lost(RuntimeError(closed))
    assert is_lost(dist.DistBackendError("NCCL error"))
    assert not is_lost(RuntimeError("shapes differ"))
    assert not is_lost(ValueError("gloo"))
