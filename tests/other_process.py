"""What a network is asked for in another process, and the process that answers."""

from __future__ import annotations

import copy
import multiprocessing

import torch

from smsr_plugin import to_sparse

SECONDS = 60


def plain(net, sparse, x):
    return sparse(x)


def with_stats(net, sparse, x):
    sr, stats = sparse(x, return_stats=True)
    return torch.cat([sr.flatten(), stats.spa_density.flatten()])


def given_masks(net, sparse, x):
    return sparse(x, spa_mask=(x[:, :1] > 0.5).float())


def half_precision(net, sparse, x):
    return sparse(x.half())


def converted(net, sparse, x):
    return to_sparse(net, backend=sparse.backend)(x)


def copied(net, sparse, x):
    return copy.deepcopy(sparse)(x)


def dense(net, sparse, x):
    with torch.no_grad():
        return net(x)


def report(sender, call, net, sparse, x):
    try:
        sender.send_bytes(call(net, sparse, x).numpy().tobytes())
    except Exception as error:
        sender.send_bytes(f"{type(error).__name__}: {error}".encode())


def run_in(method, call, net, sparse, x):
    """Return the bytes that a process sends; fail if it hangs."""
    context = multiprocessing.get_context(method)
    receiver, sender = context.Pipe(duplex=False)
    process = context.Process(target=report, args=(sender, call, net, sparse, x))
    process.start()
    sender.close()
    try:
        assert receiver.poll(SECONDS), "the child hangs"
        sent = receiver.recv_bytes()
        process.join(SECONDS)
        assert process.exitcode == 0
        return sent
    finally:
        process.kill()
        process.join()
