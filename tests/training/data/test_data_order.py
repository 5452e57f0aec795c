from __future__ import annotations

import random
from itertools import chain

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch.utils.data import DataLoader, Dataset

from smsr_plugin.training.data.data_order import MASK_SEED, IterationSampler, SeededDataset


def epoch_of(sampler: IterationSampler, epoch: int) -> list:
    sampler.set_epoch(epoch)
    return list(sampler)


@given(images=st.integers(1, 30), ratio=st.floats(0.5, 4), seed=st.integers(0, 2**31 - 1))
def test_an_epoch_shows_every_image_equally_often(images, ratio, seed):
    sampler = IterationSampler(images, seed, ratio)
    shown = [sample.image for sample in epoch_of(sampler, 3)]
    assert len(shown) == len(sampler) >= images * ratio
    counts = np.bincount(shown, minlength=images)
    assert counts.max() - counts.min() <= 1


def test_order_follows_seed_and_epoch():
    order = epoch_of(IterationSampler(50, seed=1), 2)
    assert order == epoch_of(IterationSampler(50, seed=1), 2)
    others = [epoch_of(IterationSampler(50, seed), epoch) for seed, epoch in ((2, 2), (1, 3))]
    assert all([s.image for s in other] != [s.image for s in order] for other in others)
    keys = {sample.key for sample in order} | {s.key for other in others for s in other}
    assert len(keys) == 150


@given(done=st.integers(0, 60), images=st.integers(6, 20), batch=st.integers(1, 5))
def test_a_resumed_sampler_goes_on_where_the_other_was(done, images, batch):
    sampler = IterationSampler(images, seed=0)
    per_epoch = images // batch
    whole = [
        epoch_of(sampler, epoch)[i * batch : (i + 1) * batch]
        for epoch in range(60 // per_epoch + 2)
        for i in range(per_epoch)
    ]
    resumed = IterationSampler(images, seed=0)
    resumed.resume(done, batch)
    first = list(resumed)
    following = epoch_of(resumed, resumed.epoch + 1)
    assert first[:batch] == whole[done]
    left = per_epoch - done % per_epoch
    assert len(first) // batch == left
    assert following[:batch] == whole[done + left]


@given(world=st.integers(1, 5), images=st.integers(10, 40), done=st.integers(0, 9))
def test_processes_together_see_the_batches_of_one(world, images, done):
    batch = 2
    one = IterationSampler(images, seed=0)
    one.resume(done, batch * world)
    shares = []
    for rank in range(world):
        sampler = IterationSampler(images, seed=0, world_size=world, rank=rank)
        sampler.resume(done, batch)
        assert sampler.epoch == one.epoch
        shares.append(list(sampler)[:batch])
    assert sorted(chain(*shares)) == sorted(list(one)[: batch * world])


class Drawing(Dataset):
    """Draws from every generator."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> tuple[int, float, float]:
        return index, random.random(), np.random.rand()  # noqa: NPY002 (BasicSR's)


@pytest.mark.parametrize("workers", [0, 1, 2])
def test_random_numbers_do_not_depend_on_workers_or_on_what_was_drawn_before(workers):
    loader = DataLoader(
        SeededDataset(Drawing()), sampler=IterationSampler(8, 0), batch_size=2, num_workers=workers
    )
    drawn = torch.stack([torch.stack(batch) for batch in loader])
    random.seed(5)
    np.random.seed(5)  # noqa: NPY002
    before = random.getstate()
    alone = SeededDataset(Drawing())
    expected = [alone[sample] for sample in IterationSampler(8, 0)]
    assert random.getstate() == before
    assert drawn.transpose(1, 2).reshape(8, 3).tolist() == [list(sample) for sample in expected]
    assert len({fraction for _, fraction, _ in expected}) == 8


class Images(Dataset):
    """Gives what BasicSR's data sets give: a new dict each time."""

    def __len__(self) -> int:
        return 8

    def __getitem__(self, index: int) -> dict[str, int]:
        return {"image": index}


def test_seeds_of_masks_follow_epoch_and_position_whoever_loads_them():
    def seeds(world_size: int, rank: int, epoch: int) -> list[int]:
        sampler = IterationSampler(8, 0, world_size=world_size, rank=rank)
        sampler.set_epoch(epoch)
        loader = DataLoader(SeededDataset(Images()), sampler=sampler, batch_size=2)
        return torch.cat([batch[MASK_SEED] for batch in loader]).tolist()

    one = seeds(1, 0, epoch=0)
    assert one[0::2] == seeds(2, 0, epoch=0)
    assert one[1::2] == seeds(2, 1, epoch=0)
    assert len({*one, *seeds(1, 0, epoch=1)}) == 16
