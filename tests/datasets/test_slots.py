import gc

import pytest
import torch

from slowfast.datasets.build import build_dataset
from slowfast.datasets.loader import construct_loader
from slowfast.datasets.slots import SLOTS_OF_A_WORKER, Slots
from slowfast.multigrid.sampler import ClipIndex
from tests.datasets.data import small_cfg

WORKERS = 2


def loader_of(folder, batches, frames=4, crop=32, workers=WORKERS):
    """Return a loader of batches of 2 clips of small videos; a batch at the default grid is 4 x 32."""
    cfg = small_cfg(folder, DATA_LOADER__NUM_WORKERS=workers)
    indices = [[ClipIndex(i % 6, epoch, frames, crop) for i in (epoch, epoch + 1)] for epoch in range(batches)]
    return construct_loader(cfg, "train", build_dataset("kinetics", cfg, "train"), indices)


def same(found, wanted):
    return all(torch.equal(a["clip"], b["clip"]) for a, b in zip(found, wanted, strict=True))


def places_of(loader):
    """Return the addresses of the clips of batches that are dropped one after the other."""
    return {batch["clip"].data_ptr() for batch in loader}


def test_batches_that_are_kept_stay_as_they_are_when_there_are_more_than_slots(kinetics_dir):
    count = 3 * WORKERS * SLOTS_OF_A_WORKER
    assert same(list(loader_of(kinetics_dir, count)), list(loader_of(kinetics_dir, count, workers=0)))


def test_clips_that_are_kept_without_their_batch_stay_as_they_are(kinetics_dir):
    kept = [batch["clip"][:, 1:].permute(0, 4, 1, 2, 3) for batch in loader_of(kinetics_dir, 14)]
    wanted = [batch["clip"][:, 1:].permute(0, 4, 1, 2, 3) for batch in loader_of(kinetics_dir, 14, workers=0)]
    assert all(torch.equal(a, b) for a, b in zip(kept, wanted, strict=True))


def test_slots_are_used_again(kinetics_dir):
    assert len(places_of(loader_of(kinetics_dir, 30))) <= WORKERS * SLOTS_OF_A_WORKER


def test_an_iteration_that_is_left_early_takes_no_slots_from_the_next(kinetics_dir):
    loader = loader_of(kinetics_dir, 20)
    for _ in range(3):
        next(iter(loader))
    assert len(places_of(loader)) <= WORKERS * SLOTS_OF_A_WORKER


def test_two_iterations_of_a_loader_do_not_disturb_each_other(kinetics_dir):
    loader, wanted = loader_of(kinetics_dir, 10), list(loader_of(kinetics_dir, 10, workers=0))
    pairs = list(zip(loader, loader, strict=True))
    assert same([first for first, _ in pairs], wanted)
    assert same([second for _, second in pairs], wanted)


def test_a_batch_outlives_its_loader(kinetics_dir):
    batch = next(iter(loader_of(kinetics_dir, 4)))
    gc.collect()
    assert same([batch], list(loader_of(kinetics_dir, 1, workers=0)))


def test_a_batch_that_is_larger_than_a_slot_gets_memory_of_its_own(kinetics_dir):
    large = list(loader_of(kinetics_dir, 4, frames=8))
    assert same(large, list(loader_of(kinetics_dir, 4, frames=8, workers=0)))


@pytest.mark.parametrize("workers", [0, WORKERS])
def test_a_system_that_promises_no_memory_gives_the_same_batches(kinetics_dir, monkeypatch, workers):
    def refuse(*args):
        raise OSError("Cannot allocate memory")

    monkeypatch.setattr("slowfast.datasets.slots.mmap.mmap", refuse)
    assert len(list(loader_of(kinetics_dir, 4, workers=workers))) == 4


def test_workers_that_are_not_forked_get_no_slots(kinetics_dir):
    loader = loader_of(kinetics_dir, 2)
    loader.multiprocessing_context = "spawn"  # sends them what the loader has, and memory without a name cannot be sent
    assert loader._new_slots() is None


def in_worker(monkeypatch):
    info = type("Info", (), {"id": 0})
    monkeypatch.setattr("slowfast.datasets.slots.get_worker_info", lambda: info)


def test_pinning_copies_the_clips_and_frees_the_slot(monkeypatch):
    in_worker(monkeypatch)
    monkeypatch.setattr(torch.Tensor, "pin_memory", torch.Tensor.clone)  # there is no device to pin for
    slots, clips = Slots(workers=1, capacity=8), [torch.tensor([1, 2], dtype=torch.uint8)] * 2
    pinned = [slots.store(clips).pin_memory("cuda:0") for _ in range(2 * SLOTS_OF_A_WORKER)]
    assert all(batch.tolist() == [[1, 2], [1, 2]] for batch in pinned)


def test_a_worker_whose_slots_are_all_taken_stores_nothing_until_one_is_free(monkeypatch):
    in_worker(monkeypatch)
    slots, clips = Slots(workers=1, capacity=8), [torch.zeros(8, dtype=torch.uint8)]
    held = [slots.store(clips).tensor() for _ in range(SLOTS_OF_A_WORKER)]
    assert slots.store(clips) is None
    del held[1]
    assert slots.store(clips) is not None


@pytest.mark.parametrize("clip", [torch.zeros(8), torch.zeros(9, dtype=torch.uint8), [torch.zeros(4), torch.zeros(8)]])
def test_other_types_larger_clips_and_pathways_are_not_stored(monkeypatch, clip):
    in_worker(monkeypatch)
    assert Slots(workers=1, capacity=8).store([clip]) is None
