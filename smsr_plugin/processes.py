"""The processes that share one piece of work, on one machine or several; usually there is one.

torchrun starts the same command in each. A process takes its share of the images by its rank, and
all of them meet now and then. Every meeting opens with the same question, whether someone has to
stop, so that a process which cannot go on meets the others wherever they wait for it, and nobody
waits for a process that has left.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import time
from collections.abc import Iterator, MutableMapping
from contextlib import contextmanager, suppress
from datetime import timedelta
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # a process that is alone does without PyTorch
    import torch.distributed as dist
    from torch.distributed.distributed_c10d import Store

#: How long the step of one iteration may take in one process and not yet in another.
STEP_TIMEOUT = timedelta(minutes=10)
#: Processes that wait between two iterations, or for a share of the images, wait for real work.
#: One that has died is noticed at once, by its connections.
MEETING_TIMEOUT = timedelta(days=7)
#: Seconds that the first process stays for what the others have to say.
LAST_WORDS = 3.0
#: The variable by which `torch.distributed.is_torchelastic_launched` tells as well.
TORCHRUN = "TORCHELASTIC_RUN_ID"
#: The code of a process that fails, above all signals.
FAILED = 1000
LOST = (
    "another process of this run has ended or does not answer "
    "(killed, out of memory, or its machine is gone)"
)


class LostProcessError(RuntimeError):
    """Another process has gone without a word."""


class AgreedStop(Exception):
    """All processes have agreed to stop; `code` is a signal's number or `FAILED`."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Processes:
    """This process among those of its run. Alone, meetings are with oneself.

    Args:
        rank: Which one this is; 0 writes and tells.
        world_size: How many there are.
        store: What the processes have in common before and after they are connected.
    """

    def __init__(self, rank: int = 0, world_size: int = 1, store: Store | None = None) -> None:
        self.rank, self.world_size, self._store = rank, world_size, store
        self._group: dist.ProcessGroup | None = None
        #: Whether a meeting is going on, which a signal's handler must not leave.
        self.meeting = False

    @property
    def launched(self) -> bool:
        """Whether a launcher has started this process, be it as the only one."""
        return self._store is not None

    def connect(self, backend: str) -> None:
        """Connect all processes: `backend` (gloo, nccl) for gradients, gloo for meetings.

        Raises:
            LostProcessError: If one of them does not come.
        """
        import torch.distributed as dist

        with self._meeting():
            dist.init_process_group(
                backend,
                store=self._store,
                rank=self.rank,
                world_size=self.world_size,
                timeout=STEP_TIMEOUT,
            )
            # A group of its own: meetings neither wait for a GPU nor mix with the gradients.
            self._group = dist.new_group(backend="gloo", timeout=MEETING_TIMEOUT)  # type: ignore[assignment]

    def agree(self, code: int = 0) -> int:
        """Meet, and return the largest code that a process brings; 0 to go on.

        Raises:
            LostProcessError: If one does not come.
        """
        if self._group is None:
            return code
        import torch
        import torch.distributed as dist

        codes = torch.tensor([code])
        with self._meeting():
            dist.all_reduce(codes, dist.ReduceOp.MAX, group=self._group)
        return int(codes)

    def gather(self, value: Any) -> list[Any]:
        """Meet, and return what every process brings, by rank.

        Raises:
            AgreedStop: If one comes to stop.
            LostProcessError: If one does not come.
        """
        if self._group is None:
            return [value]
        import torch.distributed as dist

        values = [None] * self.world_size
        with self._meeting():
            code = self.agree()
            if code == 0:
                dist.all_gather_object(values, value, group=self._group)
        if code:
            raise AgreedStop(code)
        return values

    def share(self, count: int) -> range:
        """Return which of `count` things are this process's to do: every `world_size`th."""
        return range(self.rank, count, self.world_size)

    def is_first_to_say(self, text: str, consequence: bool = False) -> bool:
        """Whether this process should print `text`: no other has, in this run.

        Args:
            text: What would be printed.
            consequence: It only follows from what another process has to say: print it if none
                has said anything.
        """
        if self._store is None:
            return True
        try:
            if self._store.add("said", 0 if consequence else 1) and consequence:
                return False
            return self._store.add(hashlib.sha256(text.encode()).hexdigest(), 1) == 1
        except RuntimeError:  # the store has gone with the process that held it
            return True

    def leave(self) -> None:
        """Disconnect. The first process stays for the others' last words if it holds the store."""
        # The last reference ends gloo's threads: one that still held a meeting's tensor when Python
        # shuts down would abort the process.
        import torch.distributed as dist

        self._group = None
        if dist.is_initialized():
            dist.destroy_process_group()
        if self._store is None or os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True":
            return
        with suppress(RuntimeError):
            gone, last = self._store.add("gone", 1), time.monotonic() + LAST_WORDS
            while self.rank == 0 and gone < self.world_size and time.monotonic() < last:
                time.sleep(0.02)
                gone = self._store.add("gone", 0)

    @contextmanager
    def _meeting(self) -> Iterator[None]:
        outer, self.meeting = self.meeting, True
        try:
            yield
        except RuntimeError as error:
            raise LostProcessError(LOST) from error
        finally:
            self.meeting = outer


_current = Processes()


def current() -> Processes:
    """Return this process among those of the run that is going on."""
    return _current


@contextmanager
def joined(launcher: str | None = None) -> Iterator[Processes]:
    """Find the processes of this run, and leave them at the end; `connect` them in between.

    Args:
        launcher: `none`, `pytorch` (torchrun, or any that sets its variables), `slurm`; None
            finds out whether torchrun has started this process.

    Raises:
        ValueError: If the environment lacks what the launcher should have set.
        LostProcessError: If the first process cannot be reached.
    """
    global _current
    if launcher == "none" or (launcher is None and TORCHRUN not in os.environ):
        yield _current
        return
    if launcher == "slurm":
        _set_from_slurm(os.environ)
    outer, _current = _current, _rendezvous(launcher or "pytorch")
    try:
        yield _current
    finally:
        _current.leave()
        _current = outer


def is_lost(error: BaseException) -> bool:
    """Whether an error of PyTorch means that another process has gone."""
    import torch.distributed as dist

    # Under gloo it is a RuntimeError, with the name of gloo's source file in it.
    return isinstance(error, dist.DistError | LostProcessError) or (
        isinstance(error, RuntimeError) and "gloo" in str(error)
    )


def _rendezvous(launcher: str) -> Processes:
    names = ("RANK", "WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
    missing = [name for name in names if name not in os.environ]
    if missing:
        raise ValueError(
            f"--launcher {launcher}: expected the variables of a launcher, got no "
            f"{', '.join(missing)}; start with torchrun --nproc-per-node N --no-python smsr …"
        )
    import torch.distributed as dist
    from torch.distributed.rendezvous import rendezvous

    try:
        store, rank, world_size = next(iter(rendezvous("env://")))
    except dist.DistError as error:
        place = f"{os.environ['MASTER_ADDR']}:{os.environ['MASTER_PORT']}"
        raise LostProcessError(f"the first process cannot be reached at {place}") from error
    return Processes(rank, world_size, store)


def _set_from_slurm(environment: MutableMapping[str, str]) -> None:
    """Set torchrun's variables from those of Slurm's srun, but for those that are set."""
    pairs = {"RANK": "PROCID", "WORLD_SIZE": "NTASKS", "LOCAL_RANK": "LOCALID"}
    for name, slurm in pairs.items():
        if f"SLURM_{slurm}" in environment:
            environment.setdefault(name, environment[f"SLURM_{slurm}"])
    environment.setdefault("MASTER_PORT", "29500")
    if "MASTER_ADDR" not in environment and "SLURM_NODELIST" in environment:
        command = ["scontrol", "show", "hostnames", environment["SLURM_NODELIST"]]
        hosts = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        environment["MASTER_ADDR"] = hosts.split()[0]
